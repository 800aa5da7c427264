// Small, bounded operations on text that came from outside: header values and JSON strings.
//
// Names (model, user, host, …) end up in terminals, Prometheus labels and JSON. They are made
// harmless once, here where they enter: valid UTF-8 without control characters.
#ifndef SLUICE_WIRE_TEXT_H
#define SLUICE_WIRE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Copies the `len` bytes of src into dst, which holds `size` bytes, its terminator included. What
// does not fit is cut off; every byte that is not part of a printable UTF-8 character becomes '?'.
void text_copy(char *dst, size_t size, const char *src, size_t len);

// ASCII letters only, in place: host names and media types, not natural language.
void text_lower(char *text);

// Cuts trailing spaces and tabs (HTTP's optional whitespace, RFC 9110 section 5.6.3), in place.
void text_trim_end(char *text);

// Decimal digits and nothing else. 0, or -EINVAL (nothing, or not digits), or -ERANGE.
int text_parse_u64(const char *text, uint64_t *ret_value);

// Whether a Content-Type value names JSON: application/json, or any type ending in +json (RFC
// 6839).
bool text_is_json_type(const char *content_type);

#endif
