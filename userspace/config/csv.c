// See csv.h.
#include "config/csv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/values.h"

// The next line that is neither empty nor a comment; NULL: none, or no memory.
static char *next_line(struct csv *csv)
{
	while (*csv->at) {
		size_t length = strcspn(csv->at, "\n");
		const char *begin = csv->at;

		csv->at += length + (begin[length] == '\n');
		csv->line++;
		if (length && begin[length - 1] == '\r')
			length--;
		if (length == 0 || *begin == '#')
			continue;
		char *line = strndup(begin, length);
		if (!line)
			csv->problems->out_of_memory = true;
		return line;
	}
	return NULL;
}

static int split(struct csv *csv, char *line, char *cells[CSV_COLUMNS_MAX])
{
	size_t n = 0;

	if (strchr(line, '"')) {
		problems_add(csv->problems, csv->path, csv->line,
			     "a quoted field; expected plain fields between commas");
		return -EINVAL;
	}
	memset(cells, 0, CSV_COLUMNS_MAX * sizeof(*cells));
	for (char *cell; (cell = strsep(&line, ","));) {
		if (n == CSV_COLUMNS_MAX - 1) {
			problems_add(csv->problems, csv->path, csv->line,
				     "too many fields; expected at most %d", CSV_COLUMNS_MAX - 1);
			return -EINVAL;
		}
		cells[n++] = cell;
	}
	return 0;
}

static size_t count_cells(char *const cells[CSV_COLUMNS_MAX])
{
	size_t n = 0;

	while (cells[n])
		n++;
	return n;
}

int csv_open(struct csv *csv, const char *path, const char *text, struct problems *problems)
{
	*csv = (struct csv){.path = path, .at = text, .problems = problems};
	csv->header = next_line(csv);
	if (csv->header)
		return split(csv, csv->header, csv->columns);
	if (problems->out_of_memory)
		return -ENOMEM;
	problems_add(problems, path, 0, "is empty; expected a line of column names, then rows");
	return -EINVAL;
}

int csv_next(struct csv *csv)
{
	free(csv->row);
	csv->row = next_line(csv);
	if (!csv->row)
		return csv->problems->out_of_memory ? -ENOMEM : 0;
	if (split(csv, csv->row, csv->cells) < 0)
		return -EINVAL;
	if (count_cells(csv->cells) == count_cells(csv->columns))
		return 1;
	problems_add(csv->problems, csv->path, csv->line,
		     "%zu fields; expected %zu, as in the header", count_cells(csv->cells),
		     count_cells(csv->columns));
	return -EINVAL;
}

void csv_close(struct csv *csv)
{
	free(csv->header);
	free(csv->row);
}

int csv_text(struct csv *csv, const char *column, const char **ret)
{
	for (size_t i = 0; csv->columns[i]; i++)
		if (strcmp(csv->columns[i], column) == 0) {
			*ret = csv->cells[i];
			return 0;
		}
	problems_add(csv->problems, csv->path, 1, "no column %s; expected one of that name",
		     column);
	return -EINVAL;
}

int csv_number(struct csv *csv, const char *column, double absent, double *ret)
{
	struct value_error error;
	const char *text;
	int err = csv_text(csv, column, &text);

	if (err)
		return err;
	if (!*text) {
		*ret = absent;
		return 0;
	}
	err = value_count(text, ret, &error);
	if (err)
		problems_add(csv->problems, csv->path, csv->line, "%s %s %s; expected %s", column,
			     problems_quote(text).text, error.problem, error.expected);
	return err;
}
