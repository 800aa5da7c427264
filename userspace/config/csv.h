// The plain comma-separated tables that Sluice brings: a line of column names, then rows. No
// quotes, as none of the fields needs any; "#" begins a comment line.
#ifndef SLUICE_CONFIG_CSV_H
#define SLUICE_CONFIG_CSV_H

#include "config/problems.h"

#define CSV_COLUMNS_MAX 16

struct csv {
	const char *path; // for messages
	const char *at;   // what is not read yet
	struct problems *problems;
	size_t line;                                             // of the row last read, from 1
	char *columns[CSV_COLUMNS_MAX], *cells[CSV_COLUMNS_MAX]; // NULL behind the last
	char *header, *row;                                      // the text that they point into
};

// Reads the column names of a text. -EINVAL: that is noted; -ENOMEM, too.
int csv_open(struct csv *csv, const char *path, const char *text, struct problems *problems);
// 1: a row was read; 0: there is none left; -EINVAL or -ENOMEM, noted.
int csv_next(struct csv *csv);
void csv_close(struct csv *csv);

// The row's cell in the column of that name, which must be there (or -EINVAL, noted).
int csv_text(struct csv *csv, const char *column, const char **ret);
// The same as a number of at least 0; `absent` if the cell is empty.
int csv_number(struct csv *csv, const char *column, double absent, double *ret);

#endif
