#import "TLXCommand.h"
#import "TLXMemory.h"

@implementation TLXShell

static NSString *message(const tux_error *error) {
  return [NSString stringWithUTF8String:error->message];
}

static TLXShellErrorCode startError(const tux_error *error) {
  /* ENOMEM, EAGAIN and ENFILE come from making a process, whatever it is to execute. */
  switch (error->linux_errno) {
    case 0:
    case 11:
    case 12:
    case 23:
      return TLXShellErrorProcessCreationFailed;
    default:
      return TLXShellErrorExecFailed;
  }
}

/* NO if the text has a zero byte in it, where it would end for C. */
static BOOL whole(NSString *text) {
  return strlen([text UTF8String]) == [text lengthOfBytesUsingEncoding:NSUTF8StringEncoding];
}

- (instancetype)initWithRoot:(int (*)(tux_builder *, const char *, tux_error *))setRoot
                   directory:(NSString *)directory
                       error:(NSError **)error {
  if ((self = [super init])) {
    tux_builder *builder = tux_builder_new();
    tux_error failure;
    int code = setRoot(builder, [directory UTF8String], &failure);
    _outputLimit = 16 << 20;
    _callbackQueue = TLX_RETAIN([NSOperationQueue mainQueue]);
    if (code == TUX_OK) {
      code = tux_builder_build(builder, &_machine, &failure);
    } else {
      tux_builder_free(builder);
    }
    if (code != TUX_OK) {
      if (error) *error = TLXMakeError(TLXShellErrorMachine, message(&failure));
      TLX_RELEASE(self);
      return nil;
    }
  }
  return self;
}

- (instancetype)initWithRootDirectory:(NSString *)directory error:(NSError **)error {
  return [self initWithRoot:tux_builder_root_dir directory:directory error:error];
}

- (instancetype)initWithStore:(NSString *)directory error:(NSError **)error {
  return [self initWithRoot:tux_builder_root_store directory:directory error:error];
}

- (void)dealloc {
  tux_machine_free(_machine);
  TLX_RELEASE(_callbackQueue);
  TLX_DEALLOC;
}

- (NSOperationQueue *)callbackQueue {
  @synchronized(self) {
    return TLX_AUTORELEASE(TLX_RETAIN(_callbackQueue));
  }
}

- (void)setCallbackQueue:(NSOperationQueue *)queue {
  @synchronized(self) {
    if (queue == _callbackQueue) return;
    TLX_RELEASE(_callbackQueue);
    _callbackQueue = TLX_RETAIN(queue);
  }
}

- (NSUInteger)outputLimit {
  @synchronized(self) {
    return _outputLimit;
  }
}

- (void)setOutputLimit:(NSUInteger)limit {
  @synchronized(self) {
    _outputLimit = limit;
  }
}

/* NULL and an error, or a command with all that it needs. */
- (tux_command *)newCommand:(NSString *)path
                  arguments:(NSArray *)arguments
                environment:(NSDictionary *)environment
                  directory:(NSString *)directory
                   hasInput:(BOOL)hasInput
                      error:(tux_error *)error {
  tux_command *command = whole(path) ? tux_command_new([path UTF8String]) : NULL;
  NSMutableArray *texts = [NSMutableArray arrayWithObject:path];
  NSString *text;
  int code = command == NULL ? TUX_INVALID : TUX_OK;
  if (arguments) [texts addObjectsFromArray:arguments];
  if (directory) [texts addObject:directory];
  [texts addObjectsFromArray:[environment allKeys]];
  [texts addObjectsFromArray:[environment allValues]];
  memset(error, 0, sizeof *error);
  strcpy(error->message, "a text has a zero byte in it");
  for (text in texts) {
    if (!whole(text)) code = TUX_INVALID;
  }
  for (text in arguments) {
    if (code == TUX_OK) code = tux_command_arg(command, [text UTF8String], error);
  }
  for (text in environment) {
    const char *value = [[environment objectForKey:text] UTF8String];
    if (code == TUX_OK) code = tux_command_env(command, [text UTF8String], value, error);
  }
  if (code == TUX_OK && directory) code = tux_command_cwd(command, [directory UTF8String], error);
  if (code == TUX_OK) code = tux_command_stdio(command, TUX_STDIN, hasInput ? TUX_PIPE : TUX_NULL, error);
  if (code == TUX_OK) code = tux_command_stdio(command, TUX_STDOUT, TUX_PIPE, error);
  if (code == TUX_OK) code = tux_command_stdio(command, TUX_STDERR, TUX_PIPE, error);
  if (code == TUX_OK) return command;
  tux_command_free(command);
  return NULL;
}

- (TLXProcess *)start:(NSString *)path
            arguments:(NSArray *)arguments
          environment:(NSDictionary *)environment
            directory:(NSString *)directory
             hasInput:(BOOL)hasInput
                 sink:(id<TLXSink>)sink
              timeout:(NSTimeInterval)timeout
         lineCallback:(TLXLineCallback)lineCallback
           completion:(TLXCompletion)completion {
  tux_error error;
  tux_process *process = NULL;
  tux_command *command = [self newCommand:path
                                arguments:arguments
                              environment:environment
                                directory:directory
                                 hasInput:hasInput
                                    error:&error];
  TLXProcess *started;
  if (command == NULL || tux_exec(_machine, command, &process, &error) != TUX_OK) {
    NSError *failure = TLXMakeError(startError(&error), message(&error));
    TLXShellResult *result = [[TLXShellResult alloc] initWithExitCode:-1
                                                                  pid:-1
                                                                error:failure
                                                               output:[NSData data]
                                                          errorOutput:[NSData data]
                                                             duration:0];
    TLXDelivery *delivery = [[TLXDelivery alloc] initWithResult:result completion:completion];
    [sink deliver:delivery];
    TLX_RELEASE(delivery);
    TLX_RELEASE(result);
    return nil;
  }
  started = [[TLXProcess alloc] initWithProcess:process
                                           sink:sink
                                        timeout:timeout
                                          limit:[self outputLimit]
                                   lineCallback:lineCallback
                                     completion:completion];
  return TLX_AUTORELEASE(started);
}

- (TLXProcess *)startExecutable:(NSString *)path
                      arguments:(NSArray *)arguments
                    environment:(NSDictionary *)environment
                      directory:(NSString *)directory
                       hasInput:(BOOL)hasInput
                   lineCallback:(TLXLineCallback)lineCallback
                     completion:(TLXCompletion)completion {
  TLXQueueSink *sink = [[TLXQueueSink alloc] initWithQueue:[self callbackQueue]];
  TLXProcess *process = [self start:path
                          arguments:arguments
                        environment:environment
                          directory:directory
                           hasInput:hasInput
                               sink:sink
                            timeout:0
                       lineCallback:lineCallback
                         completion:completion];
  TLX_RELEASE(sink);
  return process;
}

- (TLXProcess *)executeExecutable:(NSString *)path
                        arguments:(NSArray *)arguments
                      environment:(NSDictionary *)environment
                     lineCallback:(TLXLineCallback)lineCallback
                       completion:(TLXCompletion)completion {
  return [self startExecutable:path
                     arguments:arguments
                   environment:environment
                     directory:nil
                      hasInput:NO
                  lineCallback:lineCallback
                    completion:completion];
}

- (TLXProcess *)executeCommand:(NSString *)command
                  lineCallback:(TLXLineCallback)lineCallback
                    completion:(TLXCompletion)completion {
  return [self executeExecutable:@"/bin/sh"
                       arguments:[NSArray arrayWithObjects:@"-c", command, nil]
                     environment:nil
                    lineCallback:lineCallback
                      completion:completion];
}

- (TLXShellResult *)executeCommandSync:(NSString *)command
                               timeout:(NSTimeInterval)timeout
                          lineCallback:(TLXLineCallback)lineCallback {
  TLXMailbox *mailbox = TLX_AUTORELEASE([[TLXMailbox alloc] init]);
  [self start:@"/bin/sh"
        arguments:[NSArray arrayWithObjects:@"-c", command, nil]
      environment:nil
        directory:nil
         hasInput:NO
             sink:mailbox
          timeout:timeout
     lineCallback:lineCallback
       completion:nil];
  return [mailbox run];
}

- (BOOL)killProcess:(int)pid withSignal:(int)signal {
  return pid > 0 && tux_machine_kill(_machine, (uint32_t)pid, signal, NULL) == TUX_OK;
}

- (BOOL)suspendWithTimeout:(NSTimeInterval)timeout error:(NSError **)error {
  tux_error failure;
  uint64_t milliseconds = timeout > 0 ? (uint64_t)(timeout * 1000) : 0;
  if (tux_machine_suspend(_machine, milliseconds, &failure) == TUX_OK) return YES;
  if (error) *error = TLXMakeError(TLXShellErrorMachine, message(&failure));
  return NO;
}

- (BOOL)resumeWithError:(NSError **)error {
  tux_error failure;
  if (tux_machine_resume(_machine, &failure) == TUX_OK) return YES;
  if (error) *error = TLXMakeError(TLXShellErrorMachine, message(&failure));
  return NO;
}
@end
