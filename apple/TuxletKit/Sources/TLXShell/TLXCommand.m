#import "TLXCommand.h"
#import "TLXMemory.h"
#import "TLXText.h"

NSString *const TLXShellErrorDomain = @"TLXShellErrorDomain";

/* SIGKILL of Linux on arm64. */
static const int KILL = 9;

NSError *TLXMakeError(NSInteger code, NSString *message) {
  NSDictionary *info = [NSDictionary dictionaryWithObject:message forKey:NSLocalizedDescriptionKey];
  return [NSError errorWithDomain:TLXShellErrorDomain code:code userInfo:info];
}

@implementation TLXShellResult
@synthesize exitCode = _exitCode, pid = _pid, error = _error, output = _output, errorOutput = _errorOutput;
@synthesize outputData = _outputData, errorOutputData = _errorOutputData, duration = _duration;

- (instancetype)initWithExitCode:(int)exitCode
                             pid:(int)pid
                           error:(NSError *)error
                          output:(NSData *)output
                     errorOutput:(NSData *)errorOutput
                        duration:(NSTimeInterval)duration {
  if ((self = [super init])) {
    _exitCode = exitCode;
    _pid = pid;
    _error = TLX_RETAIN(error);
    _outputData = TLX_RETAIN(output);
    _errorOutputData = TLX_RETAIN(errorOutput);
    _output = TLXNewText([output bytes], [output length]);
    _errorOutput = TLXNewText([errorOutput bytes], [errorOutput length]);
    _duration = duration;
  }
  return self;
}

- (void)dealloc {
  TLX_RELEASE(_error);
  TLX_RELEASE(_output);
  TLX_RELEASE(_errorOutput);
  TLX_RELEASE(_outputData);
  TLX_RELEASE(_errorOutputData);
  TLX_DEALLOC;
}
@end

@implementation TLXDelivery
- (instancetype)initWithLine:(NSString *)line isStdErr:(BOOL)isStdErr callback:(TLXLineCallback)callback {
  if ((self = [super init])) {
    _line = TLX_RETAIN(line);
    _isStdErr = isStdErr;
    _lineCallback = TLX_COPY_BLOCK(callback);
  }
  return self;
}

- (instancetype)initWithResult:(TLXShellResult *)result completion:(TLXCompletion)completion {
  if ((self = [super init])) {
    _result = TLX_RETAIN(result);
    _completion = TLX_COPY_BLOCK(completion);
  }
  return self;
}

- (TLXShellResult *)result {
  return _result;
}

- (void)call {
  if (_lineCallback) _lineCallback(_line, _isStdErr);
  if (_completion) _completion(_result);
}

- (void)dealloc {
  TLX_RELEASE_BLOCK(_lineCallback);
  TLX_RELEASE_BLOCK(_completion);
  TLX_RELEASE(_line);
  TLX_RELEASE(_result);
  TLX_DEALLOC;
}
@end

@implementation TLXMailbox
- (instancetype)init {
  if ((self = [super init])) {
    _condition = [[NSCondition alloc] init];
    _waiting = [[NSMutableArray alloc] init];
    _turn = [[NSRecursiveLock alloc] init];
  }
  return self;
}

- (void)deliver:(TLXDelivery *)delivery {
  [_condition lock];
  [_waiting addObject:delivery];
  [_condition signal];
  [_condition unlock];
}

- (TLXShellResult *)callNext {
  TLXShellResult *result;
  TLXDelivery *delivery;
  [_turn lock];
  [_condition lock];
  while ([_waiting count] == 0) [_condition wait];
  delivery = TLX_RETAIN([_waiting objectAtIndex:0]);
  [_waiting removeObjectAtIndex:0];
  [_condition unlock];
  [delivery call];
  result = TLX_RETAIN([delivery result]);
  TLX_RELEASE(delivery);
  [_turn unlock];
  return TLX_AUTORELEASE(result);
}

- (TLXShellResult *)run {
  TLXShellResult *result = nil;
  while (result == nil) {
    @autoreleasepool {
      result = TLX_RETAIN([self callNext]);
    }
  }
  return TLX_AUTORELEASE(result);
}

- (void)dealloc {
  TLX_RELEASE(_condition);
  TLX_RELEASE(_waiting);
  TLX_RELEASE(_turn);
  TLX_DEALLOC;
}
@end

@implementation TLXQueueSink
- (instancetype)initWithQueue:(NSOperationQueue *)queue {
  if ((self = [super init])) _queue = TLX_RETAIN(queue);
  return self;
}

- (void)takeTurn {
  [self callNext];
}

- (void)deliver:(TLXDelivery *)delivery {
  NSOperation *operation = [[NSInvocationOperation alloc] initWithTarget:self selector:@selector(takeTurn) object:nil];
  [super deliver:delivery];
  [_queue addOperation:operation];
  TLX_RELEASE(operation);
}

- (void)dealloc {
  TLX_RELEASE(_queue);
  TLX_DEALLOC;
}
@end

@implementation TLXProcess
@synthesize pid = _pid;

- (instancetype)initWithProcess:(tux_process *)process
                           sink:(id<TLXSink>)sink
                        timeout:(NSTimeInterval)timeout
                          limit:(NSUInteger)limit
                   lineCallback:(TLXLineCallback)lineCallback
                     completion:(TLXCompletion)completion {
  if ((self = [super init])) {
    _process = process;
    _pid = (int)tux_process_pid(process);
    _timeout = timeout;
    _limit = limit;
    _start = [[NSDate alloc] init];
    _sink = TLX_RETAIN(sink);
    _lineCallback = TLX_COPY_BLOCK(lineCallback);
    _completion = TLX_COPY_BLOCK(completion);
    _output = [[NSMutableData alloc] init];
    _errorOutput = [[NSMutableData alloc] init];
    _condition = [[NSCondition alloc] init];
    _readers = 2;
    /* Threads keep what they run on. */
    [NSThread detachNewThreadSelector:@selector(readOutput) toTarget:self withObject:nil];
    [NSThread detachNewThreadSelector:@selector(readErrorOutput) toTarget:self withObject:nil];
    [NSThread detachNewThreadSelector:@selector(waitForEnd) toTarget:self withObject:nil];
  }
  return self;
}

- (void)dealloc {
  tux_process_free(_process);
  TLX_RELEASE(_start);
  TLX_RELEASE(_sink);
  TLX_RELEASE_BLOCK(_lineCallback);
  TLX_RELEASE_BLOCK(_completion);
  TLX_RELEASE(_output);
  TLX_RELEASE(_errorOutput);
  TLX_RELEASE(_condition);
  TLX_DEALLOC;
}

- (BOOL)writeData:(NSData *)data {
  return tux_process_write(_process, [data bytes], [data length], NULL) == TUX_OK;
}

- (void)closeInput {
  /* That it is closed already is no news. */
  tux_process_close(_process, TUX_STDIN, NULL);
}

- (BOOL)killWithSignal:(int)signal {
  return tux_process_kill(_process, signal, NULL) == TUX_OK;
}

- (void)cancel {
  [_condition lock];
  /* Only what ends because of it is cancelled. */
  _cancelled = tux_process_kill_group(_process, KILL, NULL) == TUX_OK || _cancelled;
  [_condition unlock];
}

- (void)readOutput {
  [self read:TUX_STDOUT to:_output];
}

- (void)readErrorOutput {
  [self read:TUX_STDERR to:_errorOutput];
}

/* Runs on a thread of its own, until the stream ends. */
- (void)read:(int)stream to:(NSMutableData *)kept {
  uint8_t chunk[16384];
  NSMutableData *line = [[NSMutableData alloc] init];
  int64_t count;
  while ((count = tux_process_read(_process, stream, chunk, sizeof chunk, TUX_FOREVER, NULL)) > 0) {
    @autoreleasepool {
      NSUInteger length = (NSUInteger)count, room = _limit - [kept length], begin = 0, i;
      [kept appendBytes:chunk length:length < room ? length : room];
      for (i = 0; i < length; i++) {
        if (chunk[i] != '\n') continue;
        [line appendBytes:chunk + begin length:i - begin];
        [self tell:line isStdErr:stream == TUX_STDERR];
        [line setLength:0];
        begin = i + 1;
      }
      [line appendBytes:chunk + begin length:length - begin];
    }
  }
  @autoreleasepool {
    if ([line length] > 0) [self tell:line isStdErr:stream == TUX_STDERR];
  }
  TLX_RELEASE(line);
  [_condition lock];
  _readers--;
  [_condition signal];
  [_condition unlock];
}

- (void)tell:(NSData *)line isStdErr:(BOOL)isStdErr {
  NSString *text;
  TLXDelivery *delivery;
  if (_lineCallback == nil) return;
  text = TLXNewText([line bytes], [line length]);
  delivery = [[TLXDelivery alloc] initWithLine:text isStdErr:isStdErr callback:_lineCallback];
  [_sink deliver:delivery];
  TLX_RELEASE(delivery);
  TLX_RELEASE(text);
}

/* Runs on a thread of its own. */
- (void)waitForEnd {
  @autoreleasepool {
    uint64_t limit = _timeout > 0 ? (uint64_t)(_timeout * 1000) + 1 : TUX_FOREVER;
    NSError *error = nil;
    TLXShellResult *result;
    TLXDelivery *delivery;
    tux_status status;
    if (tux_process_wait(_process, limit, &status, NULL) != TUX_OK) {
      error = TLXMakeError(TLXShellErrorTimeout, @"the time was over");
      tux_process_kill_group(_process, KILL, NULL);
      tux_process_wait(_process, TUX_FOREVER, &status, NULL);
    }
    /* What it left in the background is not listened to, but all that was printed until now is. */
    tux_process_finish(_process, NULL);
    [_condition lock];
    while (_readers > 0) [_condition wait];
    if (_cancelled) error = TLXMakeError(TLXShellErrorCancelled, @"cancelled");
    [_condition unlock];
    result = [[TLXShellResult alloc] initWithExitCode:status.code
                                                  pid:_pid
                                                error:error
                                               output:_output
                                          errorOutput:_errorOutput
                                             duration:-[_start timeIntervalSinceNow]];
    delivery = [[TLXDelivery alloc] initWithResult:result completion:_completion];
    [_sink deliver:delivery];
    TLX_RELEASE(delivery);
    TLX_RELEASE(result);
  }
}
@end
