// UTF-8 that is certain to be UTF-8.
#ifndef SLUICE_SERVE_UTF8_H
#define SLUICE_SERVE_UTF8_H

#include <stddef.h>

// Bytes of the well-formed UTF-8 character at text[0] (Unicode 15, table 3-7); 0 if there is none
// within `length` bytes.
size_t utf8_character(const char *text, size_t length);

#endif
