/* As much of Apple's Foundation as TLXShell uses, to compile it for iOS with reference counting by the compiler where there is no SDK. */
#include <stddef.h>
#include <stdint.h>

#define NS_ASSUME_NONNULL_BEGIN _Pragma("clang assume_nonnull begin")
#define NS_ASSUME_NONNULL_END _Pragma("clang assume_nonnull end")
#define NS_ENUM(type, name) enum name : type name; enum name : type
#define nil ((id)0)
#define YES ((BOOL)1)
#define NO ((BOOL)0)

typedef long NSInteger;
typedef unsigned long NSUInteger;
typedef double NSTimeInterval;
typedef unsigned short unichar;
typedef struct NSFastEnumerationState NSFastEnumerationState;
typedef signed char BOOL;

void *memset(void *, int, size_t);
char *strcpy(char *, const char *);
size_t strlen(const char *);

@class NSArray, NSString;

@protocol NSObject
@end
__attribute__((objc_root_class)) @interface NSObject <NSObject>
+ (instancetype)alloc;
- (instancetype)init;
- (id)copy;
- (void)dealloc;
@end
@protocol NSFastEnumeration
- (NSUInteger)countByEnumeratingWithState:(NSFastEnumerationState *)state objects:(id __unsafe_unretained *)to count:(NSUInteger)count;
@end
@interface NSString : NSObject
+ (instancetype)stringWithUTF8String:(const char *)text;
- (instancetype)initWithCharacters:(const unichar *)units length:(NSUInteger)length;
- (const char *)UTF8String;
- (NSUInteger)lengthOfBytesUsingEncoding:(NSUInteger)encoding;
@end
enum { NSUTF8StringEncoding = 4 };
@interface NSConstantString : NSString
@end
@interface NSData : NSObject
+ (instancetype)data;
- (const void *)bytes;
- (NSUInteger)length;
@end
@interface NSMutableData : NSData
- (instancetype)initWithLength:(NSUInteger)length;
- (void *)mutableBytes;
- (void)appendBytes:(const void *)bytes length:(NSUInteger)length;
- (void)setLength:(NSUInteger)length;
@end
@interface NSArray : NSObject <NSFastEnumeration>
+ (instancetype)arrayWithObjects:(id)first, ...;
- (NSUInteger)count;
- (id)objectAtIndex:(NSUInteger)index;
@end
@interface NSMutableArray : NSArray
+ (instancetype)arrayWithObject:(id)object;
- (void)addObject:(id)object;
- (void)addObjectsFromArray:(NSArray *)other;
- (void)removeObjectAtIndex:(NSUInteger)index;
@end
@interface NSDictionary : NSObject <NSFastEnumeration>
+ (instancetype)dictionaryWithObject:(id)object forKey:(id)key;
- (id)objectForKey:(id)key;
- (NSArray *)allKeys;
- (NSArray *)allValues;
@end
@interface NSError : NSObject
+ (instancetype)errorWithDomain:(NSString *)domain code:(NSInteger)code userInfo:(NSDictionary *)info;
@end
extern NSString *const NSLocalizedDescriptionKey;
@interface NSDate : NSObject
- (NSTimeInterval)timeIntervalSinceNow;
@end
@interface NSCondition : NSObject
- (void)lock;
- (void)unlock;
- (void)wait;
- (void)signal;
@end
@interface NSRecursiveLock : NSObject
- (void)lock;
- (void)unlock;
@end
@interface NSThread : NSObject
+ (void)detachNewThreadSelector:(SEL)selector toTarget:(id)target withObject:(id)object;
@end
@interface NSOperation : NSObject
@end
@interface NSInvocationOperation : NSOperation
- (instancetype)initWithTarget:(id)target selector:(SEL)selector object:(id)object;
@end
@interface NSOperationQueue : NSObject
+ (NSOperationQueue *)mainQueue;
- (void)addOperation:(NSOperation *)operation;
@end
