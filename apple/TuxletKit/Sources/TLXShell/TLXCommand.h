/* A command while it runs: what reads its streams, waits for it and tells its lines. */
#import "TLXShell.h"
#include <tuxlet.h>

@class TLXDelivery;

/* Takes lines and the end of a command, in order. */
@protocol TLXSink <NSObject>
- (void)deliver:(TLXDelivery *)delivery;
@end

/* A line, or the end of a command, on its way to a callback. */
@interface TLXDelivery : NSObject {
  TLXLineCallback _lineCallback;
  TLXCompletion _completion;
  NSString *_line;
  BOOL _isStdErr;
  TLXShellResult *_result;
}
- (instancetype)initWithLine:(NSString *)line isStdErr:(BOOL)isStdErr callback:(TLXLineCallback)callback;
- (instancetype)initWithResult:(TLXShellResult *)result completion:(TLXCompletion)completion;
- (void)call;
/* Nil for a line. */
- (TLXShellResult *)result;
@end

/* Keeps everything, in order, for a thread that waits for it. */
@interface TLXMailbox : NSObject <TLXSink> {
  NSCondition *_condition;
  NSMutableArray *_waiting;
  /* Held while a callback is called. */
  NSRecursiveLock *_turn;
}
/* Waits for the next delivery and calls its callback; its result. */
- (TLXShellResult *)callNext;
/* Calls the callbacks as they come, until the end. */
- (TLXShellResult *)run;
@end

/*
 * Has everything called by a queue. Operations of a queue are in no order that one could rely on, so each of them calls what is next,
 * when it is its turn.
 */
@interface TLXQueueSink : TLXMailbox {
  NSOperationQueue *_queue;
}
- (instancetype)initWithQueue:(NSOperationQueue *)queue;
@end

@interface TLXShellResult ()
- (instancetype)initWithExitCode:(int)exitCode
                             pid:(int)pid
                           error:(NSError *)error
                          output:(NSData *)output
                     errorOutput:(NSData *)errorOutput
                        duration:(NSTimeInterval)duration;
@end

@interface TLXProcess ()
/* Takes the process. Its streams are told from now on. */
- (instancetype)initWithProcess:(tux_process *)process
                           sink:(id<TLXSink>)sink
                        timeout:(NSTimeInterval)timeout
                          limit:(NSUInteger)limit
                   lineCallback:(TLXLineCallback)lineCallback
                     completion:(TLXCompletion)completion;
@end

NSError *TLXMakeError(NSInteger code, NSString *message);
