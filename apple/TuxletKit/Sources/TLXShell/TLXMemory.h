/* The same code with and without automatic reference counting. GCC's runtime has no blocks that are objects. */
#if __has_feature(objc_arc)
#define TLX_RETAIN(object) (object)
#define TLX_RELEASE(object) ((void)0)
#define TLX_AUTORELEASE(object) (object)
#define TLX_DEALLOC ((void)0)
#define TLX_COPY_BLOCK(block) [(block) copy]
#define TLX_RELEASE_BLOCK(block) ((void)0)
#else
#include <Block.h>
#define TLX_RETAIN(object) [(object) retain]
#define TLX_RELEASE(object) [(object) release]
#define TLX_AUTORELEASE(object) [(object) autorelease]
#define TLX_DEALLOC [super dealloc]
#define TLX_COPY_BLOCK(block) ((block) ? Block_copy(block) : NULL)
#define TLX_RELEASE_BLOCK(block) ((block) ? Block_release(block) : (void)0)
#endif
