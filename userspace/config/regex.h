// Regular expressions of label matchers: Aperture's are RE2's, ours POSIX extended ones.
#ifndef SLUICE_CONFIG_REGEX_H
#define SLUICE_CONFIG_REGEX_H

#include <regex.h>

#include "config/values.h"

// For tables: the text (char *) of an expression that compiles.
int value_regex(const char *text, void *ret, struct value_error *error);

// A malloc'd regex_t of a text that value_regex() takes. 0, -EINVAL or -ENOMEM.
int regex_compile(const char *text, regex_t **ret);

#endif
