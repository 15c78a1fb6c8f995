/* Guest bytes as text. */
#import <Foundation/Foundation.h>

/* Decodes UTF-8; every byte that belongs to no character becomes U+FFFD. The caller owns the string. */
NSString *TLXNewText(const uint8_t *bytes, NSUInteger length);
