// What is wrong with a configuration: up to PROBLEMS_MAX lines "file:line: what; expected …".
// They are collected, not thrown at the first one, so that a person mends a file in one go.
// Lines are counted from 1. Line 0 stands for the file as a whole ("file: cannot be read …").
#ifndef SLUICE_CONFIG_PROBLEMS_H
#define SLUICE_CONFIG_PROBLEMS_H

#include <stdbool.h>
#include <stddef.h>

#define PROBLEMS_MAX 20

struct problems {
	char *lines[PROBLEMS_MAX];
	size_t count;
	size_t unshown;     // those that came when the list was full
	bool out_of_memory; // something could not be allocated: the result cannot be used either
};

void problems_add(struct problems *problems, const char *path, size_t line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

// Is there anything at all that forbids using what was read?
bool problems_any(const struct problems *problems);

// No further problem would be shown: readers may stop looking.
bool problems_full(const struct problems *problems);

// One malloc'd text, a line for each problem, the last one without a newline; NULL: -ENOMEM.
char *problems_text(const struct problems *problems);

// Frees the lines; leaves an empty list.
void problems_clear(struct problems *problems);

// A piece of the file, in double quotes, fit for a message: on one line, cut when long, and an
// OpenAI key ("sk-…") in the wrong place is never shown. Use as problems_quote(text).text in an
// argument.
struct quoted {
	char text[72];
};
struct quoted problems_quote(const char *text);

#endif
