// Columns of text. Numbers to the right, words to the left, two spaces between; colours and a cut
// at the right edge only where a person looks at a terminal.
//
// What programs chose (names, hosts, models) may hold anything: control characters and bytes that
// are no text in this locale are shown as "?", so none of it can steer the terminal.
#ifndef SLUICE_CLI_TABLE_H
#define SLUICE_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum paint { PAINT_NONE, PAINT_GOOD, PAINT_WARN, PAINT_BAD, PAINT_TITLE };

// How to print to a file.
struct style {
	bool color;
	int width; // columns of the terminal; 0: no terminal, nothing is cut
};
struct style style_of(FILE *out);

enum align { LEFT, RIGHT };

struct column {
	const char *title; // NULL in all columns: no line of titles
	enum align align;
};

struct table;

// The columns are borrowed. NULL: out of memory; the functions below do nothing with a NULL.
struct table *table_new(const struct column *columns, size_t n_columns);
void table_free(struct table *table);
// The next cell, from left to right and then on the next line.
void table_add(struct table *table, enum paint paint, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void table_print(const struct table *table, FILE *out, const struct style *style);

// A malloc'd copy that is fit for a terminal; NULL: out of memory.
char *printable(const char *text);
// Columns that it takes there.
int printable_width(const char *text);

#endif
