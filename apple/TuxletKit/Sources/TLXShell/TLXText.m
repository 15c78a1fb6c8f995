#import "TLXText.h"
#import "TLXMemory.h"

/* Length of the character that begins at `bytes`, of which `left` are there; 0 if it is none: Unicode, table 3-7. */
static NSUInteger character(const uint8_t *bytes, NSUInteger left, uint32_t *value) {
  uint8_t first = bytes[0], low = 0x80, high = 0xbf;
  NSUInteger length, i;
  if (first < 0x80) {
    *value = first;
    return 1;
  }
  if (first < 0xc2 || first > 0xf4) return 0;
  length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (length > left) return 0;
  if (first == 0xe0) low = 0xa0;
  if (first == 0xed) high = 0x9f;
  if (first == 0xf0) low = 0x90;
  if (first == 0xf4) high = 0x8f;
  *value = first & (0x7f >> length);
  for (i = 1; i < length; i++) {
    if (bytes[i] < low || bytes[i] > high) return 0;
    *value = *value << 6 | (bytes[i] & 0x3f);
    low = 0x80;
    high = 0xbf;
  }
  return length;
}

NSString *TLXNewText(const uint8_t *bytes, NSUInteger length) {
  /* No character needs more units than bytes. */
  NSMutableData *room = [[NSMutableData alloc] initWithLength:length * sizeof(unichar)];
  unichar *units = [room mutableBytes];
  NSUInteger at = 0, count = 0;
  NSString *text;
  while (at < length) {
    uint32_t value = 0;
    NSUInteger taken = character(bytes + at, length - at, &value);
    if (taken == 0) {
      units[count++] = 0xfffd;
      taken = 1;
    } else if (value < 0x10000) {
      units[count++] = (unichar)value;
    } else {
      units[count++] = (unichar)(0xd800 + ((value - 0x10000) >> 10));
      units[count++] = (unichar)(0xdc00 + (value & 0x3ff));
    }
    at += taken;
  }
  text = [[NSString alloc] initWithCharacters:units length:count];
  TLX_RELEASE(room);
  return text;
}
