/* GNUstep 1.28 asks for it under this name; with GCC's runtime it is that of BlocksRuntime. */
#include <Block.h>
