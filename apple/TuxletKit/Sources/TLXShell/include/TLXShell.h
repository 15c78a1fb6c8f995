/*
 * Commands in a Tuxlet machine, for Objective-C. Builds with and without ARC, for Apple's Foundation and for GNUstep's.
 *
 * Every line and the end of a command are told in order: the completion comes after the last line, and the result has all of the output.
 * All methods may be called by any thread.
 */
#import <Foundation/Foundation.h>

NS_ASSUME_NONNULL_BEGIN

/* Of errors whose codes are those below. */
extern NSString *const TLXShellErrorDomain;

typedef NS_ENUM(NSInteger, TLXShellErrorCode) {
  TLXShellErrorNone = 0,
  TLXShellErrorProcessCreationFailed = -1, /* the machine cannot make a process */
  TLXShellErrorExecFailed = -2,            /* there is no such program, or it cannot be executed */
  TLXShellErrorTimeout = -3,               /* the time was over, and the program was killed */
  TLXShellErrorCancelled = -4,             /* -[TLXProcess cancel] */
  TLXShellErrorMachine = -5                /* the machine cannot be made */
};

@class TLXShellResult;
struct tux_machine;
struct tux_process;

/* A line without its end. */
typedef void (^TLXLineCallback)(NSString *line, BOOL isStdErr);
typedef void (^TLXCompletion)(TLXShellResult *result);

/* How a command ended. */
@interface TLXShellResult : NSObject {
@private
  int _exitCode, _pid;
  NSError *_error;
  NSString *_output, *_errorOutput;
  NSData *_outputData, *_errorOutputData;
  NSTimeInterval _duration;
}
/* As a shell shows it: 128 + number for a signal; -1 if the command was not started. */
@property(nonatomic, readonly) int exitCode;
/* In the machine; -1 if the command was not started. */
@property(nonatomic, readonly) int pid;
@property(nonatomic, readonly, nullable) NSError *error;
/* What it printed, as text; what is not UTF-8 is replaced. */
@property(nonatomic, readonly) NSString *output;
@property(nonatomic, readonly) NSString *errorOutput;
/* The same as bytes. */
@property(nonatomic, readonly) NSData *outputData;
@property(nonatomic, readonly) NSData *errorOutputData;
/* Seconds from start to end. */
@property(nonatomic, readonly) NSTimeInterval duration;
@end

/* A running command. Letting go of it leaves the command running, and its callbacks come. */
@interface TLXProcess : NSObject {
@private
  struct tux_process *_process;
  int _pid;
  NSTimeInterval _timeout;
  NSUInteger _limit;
  NSDate *_start;
  id _sink;
  TLXLineCallback _lineCallback;
  TLXCompletion _completion;
  NSMutableData *_output, *_errorOutput;
  NSCondition *_condition;
  int _readers;
  BOOL _cancelled;
}
/* In the machine. */
@property(nonatomic, readonly) int pid;
/* Writes to the standard input; waits until the program has made room for all. NO if the program does not read any more. */
- (BOOL)writeData:(NSData *)data;
/* Ends the standard input. */
- (void)closeInput;
/* Sends a signal to the program; NO if it has ended. */
- (BOOL)killWithSignal:(int)signal;
/* Kills the program and what it has started in its process group. The result's error is TLXShellErrorCancelled. */
- (void)cancel;
@end

/* A machine that runs commands. */
@interface TLXShell : NSObject {
@private
  struct tux_machine *_machine;
  NSOperationQueue *_callbackQueue;
  NSUInteger _outputLimit;
}
/* Where callbacks are called, those of one command one after the other. The main queue if it is never set. */
@property(retain) NSOperationQueue *callbackQueue;
/* Bytes of each stream that results keep; 16 MiB if it is never set. Lines are told beyond that. */
@property(assign) NSUInteger outputLimit;

/* A machine whose root is a directory of the host. */
- (nullable instancetype)initWithRootDirectory:(NSString *)directory error:(NSError *_Nullable *_Nullable)error;
/* A machine whose root is a store that `tuxlet` has made. */
- (nullable instancetype)initWithStore:(NSString *)directory error:(NSError *_Nullable *_Nullable)error;

/*
 * Starts a line for `/bin/sh`, whose standard input is empty. If that fails the completion is told so, and nil comes back.
 */
- (nullable TLXProcess *)executeCommand:(NSString *)command
                           lineCallback:(nullable TLXLineCallback)lineCallback
                             completion:(nullable TLXCompletion)completion;

/* Starts a program, whose standard input is empty. The environment is put on top of what every command has. */
- (nullable TLXProcess *)executeExecutable:(NSString *)path
                                 arguments:(nullable NSArray *)arguments
                               environment:(nullable NSDictionary *)environment
                              lineCallback:(nullable TLXLineCallback)lineCallback
                                completion:(nullable TLXCompletion)completion;

/* As above, in a directory of the machine (nil: its usual one); with `hasInput` its standard input is -[TLXProcess writeData:]. */
- (nullable TLXProcess *)startExecutable:(NSString *)path
                               arguments:(nullable NSArray *)arguments
                             environment:(nullable NSDictionary *)environment
                               directory:(nullable NSString *)directory
                                hasInput:(BOOL)hasInput
                            lineCallback:(nullable TLXLineCallback)lineCallback
                              completion:(nullable TLXCompletion)completion;

/*
 * Runs a line for `/bin/sh` to its end. Lines are told by the calling thread. After `timeout` seconds (0: never) it and what it has started
 * in its process group are killed; what was printed until then is in the result.
 */
- (TLXShellResult *)executeCommandSync:(NSString *)command
                               timeout:(NSTimeInterval)timeout
                          lineCallback:(nullable TLXLineCallback)lineCallback;

/* Sends a signal to any process of the machine; NO if there is none of that id. */
- (BOOL)killProcess:(int)pid withSignal:(int)signal;

/* For apps that go to the background: see tux_machine_suspend. */
- (BOOL)suspendWithTimeout:(NSTimeInterval)timeout error:(NSError *_Nullable *_Nullable)error;
- (BOOL)resumeWithError:(NSError *_Nullable *_Nullable)error;
@end

NS_ASSUME_NONNULL_END
