/* Exercises TLXShell under GNUstep; the argument is a directory with the guest's shell. Without reference counting by the compiler. */
#import "TLXShell.h"

#define CHECK(what)                                                                      \
  do {                                                                                   \
    if (!(what)) {                                                                       \
      fprintf(stderr, "line %d: %s\n", __LINE__, #what);                                 \
      exit(1);                                                                           \
    }                                                                                    \
  } while (0)

/* What callbacks have told; other threads wait for the end. */
@interface Told : NSObject {
@public
  NSCondition *condition;
  NSMutableArray *lines;
  TLXShellResult *result;
}
- (TLXShellResult *)wait;
- (void)waitForLines:(NSUInteger)count;
@end

@implementation Told
- (instancetype)init {
  if ((self = [super init])) {
    condition = [[NSCondition alloc] init];
    lines = [[NSMutableArray alloc] init];
  }
  return self;
}
- (TLXShellResult *)wait {
  [condition lock];
  while (result == nil) [condition wait];
  [condition unlock];
  return result;
}
- (void)waitForLines:(NSUInteger)count {
  [condition lock];
  while ([lines count] < count) [condition wait];
  [condition unlock];
}
- (void)line:(NSString *)line isStdErr:(BOOL)isStdErr {
  [condition lock];
  /* Nothing comes after the end. */
  CHECK(result == nil);
  [lines addObject:[NSString stringWithFormat:@"%@%@", isStdErr ? @"2:" : @"1:", line]];
  [condition broadcast];
  [condition unlock];
}
- (void)end:(TLXShellResult *)with {
  [condition lock];
  CHECK(result == nil);
  result = [with retain];
  [condition broadcast];
  [condition unlock];
}
@end

static TLXLineCallback lines(Told *told) {
  TLXLineCallback block = ^(NSString *line, BOOL isStdErr) {
    [told line:line isStdErr:isStdErr];
  };
  return Block_copy(block);
}

static TLXCompletion end(Told *told) {
  TLXCompletion block = ^(TLXShellResult *result) {
    [told end:result];
  };
  return Block_copy(block);
}

static void asynchronous(TLXShell *shell) {
  Told *told = [[Told alloc] init];
  TLXProcess *process;
  TLXShellResult *result;
  NSData *line;
  NSUInteger i;

  process = [shell executeCommand:@"echo a;warn schön;exit 3" lineCallback:lines(told) completion:end(told)];
  result = [told wait];
  CHECK([process pid] > 0 && [result pid] == [process pid]);
  CHECK([result exitCode] == 3 && [result error] == nil && [result duration] > 0);
  CHECK([[result output] isEqualToString:@"a\n"] && [[result errorOutput] isEqualToString:@"schön\n"]);
  CHECK([told->lines count] == 2 && [told->lines containsObject:@"1:a"] && [told->lines containsObject:@"2:schön"]);

  /* A real standard input; characters that come in pieces. */
  told = [[Told alloc] init];
  process = [shell startExecutable:@"/bin/sh"
                         arguments:[NSArray arrayWithObjects:@"-c", @"env X;pwd;cat", nil]
                       environment:[NSDictionary dictionaryWithObject:@"y" forKey:@"X"]
                         directory:@"/bin"
                          hasInput:YES
                      lineCallback:lines(told)
                        completion:end(told)];
  line = [@"漢字 😀" dataUsingEncoding:NSUTF8StringEncoding];
  for (i = 0; i < [line length]; i++) CHECK([process writeData:[line subdataWithRange:NSMakeRange(i, 1)]]);
  CHECK([process writeData:[NSData dataWithBytes:"\n\xff\xe6z" length:4]]);
  [process closeInput];
  result = [told wait];
  CHECK([[result output] isEqualToString:[NSString stringWithUTF8String:"y\n/bin\n漢字 😀\n\xef\xbf\xbd\xef\xbf\xbdz"]]);
  CHECK([told->lines count] == 4 && [[told->lines objectAtIndex:2] isEqualToString:@"1:漢字 😀"]);
  CHECK([[result outputData] length] == 7 + [line length] + 4 && ![process writeData:line]);

  /* All of much output. */
  for (i = 0; i < 20; i++) {
    told = [[Told alloc] init];
    [shell executeCommand:@"flood 300000;echo;echo end" lineCallback:lines(told) completion:end(told)];
    result = [told wait];
    CHECK([[result output] length] == 300005 && [told->lines count] == 2);
    CHECK([[told->lines objectAtIndex:1] isEqualToString:@"1:end"]);
  }

  /* What is left behind is not waited for. */
  told = [[Told alloc] init];
  [shell executeCommand:@"echo x;daemon" lineCallback:nil completion:end(told)];
  CHECK([[[told wait] output] isEqualToString:@"x\n"]);

  /* Cancelled, killed. */
  told = [[Told alloc] init];
  process = [shell executeCommand:@"echo on;hang" lineCallback:lines(told) completion:end(told)];
  [told waitForLines:1];
  [process cancel];
  result = [told wait];
  CHECK([[result error] code] == TLXShellErrorCancelled && [result exitCode] == 137);
  CHECK([[result output] isEqualToString:@"on\n"]);
  CHECK(![process killWithSignal:15]);
  [process cancel];
  told = [[Told alloc] init];
  process = [shell executeCommand:@"hang" lineCallback:nil completion:end(told)];
  CHECK([shell killProcess:[process pid] withSignal:15] && ![shell killProcess:99999 withSignal:15]);
  result = [told wait];
  CHECK([result exitCode] == 143 && [result error] == nil);

  /* Not started. */
  told = [[Told alloc] init];
  CHECK([shell executeExecutable:@"/none" arguments:nil environment:nil lineCallback:nil completion:end(told)] == nil);
  result = [told wait];
  CHECK([result pid] == -1 && [result exitCode] == -1 && [[result error] code] == TLXShellErrorExecFailed);
  CHECK([[[result error] domain] isEqualToString:TLXShellErrorDomain]);
}

static void synchronous(TLXShell *shell) {
  NSMutableArray *told = [NSMutableArray array];
  NSThread *here = [NSThread currentThread];
  TLXShellResult *result = [shell executeCommandSync:@"echo a;echo b;exit 1"
                                             timeout:0
                                        lineCallback:^(NSString *line, BOOL isStdErr) {
                                          CHECK([NSThread currentThread] == here && !isStdErr);
                                          [told addObject:line];
                                        }];
  CHECK([result exitCode] == 1 && [[told componentsJoinedByString:@","] isEqualToString:@"a,b"]);
  result = [shell executeCommandSync:@"hang" timeout:0.2 lineCallback:nil];
  CHECK([[result error] code] == TLXShellErrorTimeout && [result exitCode] == 137 && [result duration] >= 0.2);
  [shell setOutputLimit:3];
  result = [shell executeCommandSync:@"echo hello" timeout:0 lineCallback:nil];
  CHECK([[result output] isEqualToString:@"hel"] && [result error] == nil);
}

int main(int argc, char **argv) {
  @autoreleasepool {
    NSError *error = nil;
    NSOperationQueue *queue = [[NSOperationQueue alloc] init];
    TLXShell *shell;
    if (argc != 2) return 2;
    CHECK([[TLXShell alloc] initWithRootDirectory:@"/none" error:&error] == nil);
    CHECK([error code] == TLXShellErrorMachine && [[error localizedDescription] length] > 0);
    shell = [[TLXShell alloc] initWithRootDirectory:[NSString stringWithUTF8String:argv[1]] error:&error];
    CHECK(shell != nil && [shell callbackQueue] == [NSOperationQueue mainQueue]);
    [queue setMaxConcurrentOperationCount:1];
    [shell setCallbackQueue:queue];
    asynchronous(shell);
    synchronous(shell);
    CHECK([shell suspendWithTimeout:60 error:&error]);
    CHECK([[[shell executeCommandSync:@"echo" timeout:0 lineCallback:nil] error] code] < 0);
    CHECK([shell resumeWithError:&error]);
    [shell release];
  }
  puts("ok");
  return 0;
}
