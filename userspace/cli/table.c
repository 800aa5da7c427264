// Two passes: table_add() keeps the cells and the widest of each column, table_print() pads them.
// Widths are terminal columns (wcwidth), neither bytes nor characters. See table.h.
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>
#include "cli/table.h"
#include "base/cleanup.h"

#define GAP 2

struct cell {
	char *text;
	int width;
	enum paint paint;
};

struct table {
	const struct column *columns;
	size_t n_columns;
	int *widths;
	struct cell *cells; // line by line
	size_t n_cells, room;
};

static const char *const codes[] = {
	[PAINT_GOOD] = "\033[32m",
	[PAINT_WARN] = "\033[33m",
	[PAINT_BAD] = "\033[31m",
	[PAINT_TITLE] = "\033[1m",
};

struct style style_of(FILE *out)
{
	const char *no_color = getenv("NO_COLOR"); // no-color.org: set and not empty
	const char *terminal = getenv("TERM");
	struct winsize size;
	struct style style = {0};

	if (!isatty(fileno(out)))
		return style;
	style.color = !(no_color && *no_color) && !(terminal && !strcmp(terminal, "dumb"));
	if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0)
		style.width = size.ws_col;
	return style;
}

// One character at `text`: its bytes, and its columns; 0 columns for what must not be printed.
static size_t next_character(const char *text, mbstate_t *state, int *ret_width)
{
	wchar_t c;
	size_t n = mbrtowc(&c, text, strlen(text), state);

	if (n == 0 || n == (size_t)-1 || n == (size_t)-2) {
		*state = (mbstate_t){0};
		*ret_width = 0;
		return 1;
	}
	*ret_width = wcwidth(c) > 0 ? wcwidth(c) : 0;
	return n;
}

char *printable(const char *text)
{
	char *out = malloc(strlen(text) + 1), *to = out;
	mbstate_t state = {0};

	if (!out)
		return NULL;
	while (*text) {
		int width;
		size_t n = next_character(text, &state, &width);

		if (width) {
			memcpy(to, text, n);
			to += n;
		} else {
			*to++ = '?';
		}
		text += n;
	}
	*to = '\0';
	return out;
}

int printable_width(const char *text)
{
	mbstate_t state = {0};
	int all = 0, width;

	while (*text) {
		text += next_character(text, &state, &width);
		all += width;
	}
	return all;
}

struct table *table_new(const struct column *columns, size_t n_columns)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->columns = columns;
	table->n_columns = n_columns;
	table->widths = calloc(n_columns, sizeof(*table->widths));
	if (!table->widths) {
		free(table);
		return NULL;
	}
	for (size_t i = 0; i < n_columns; i++)
		if (columns[i].title)
			table->widths[i] = printable_width(columns[i].title);
	return table;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table->widths);
	free(table);
}

static bool make_room(struct table *table)
{
	size_t room = table->room ? table->room * 2 : 64;
	struct cell *cells;

	if (table->n_cells < table->room)
		return true;
	cells = reallocarray(table->cells, room, sizeof(*cells));
	if (!cells)
		return false;
	table->cells = cells;
	table->room = room;
	return true;
}

void table_add(struct table *table, enum paint paint, const char *format, ...)
{
	CLEANUP_FREE char *raw = NULL;
	struct cell cell = {.paint = paint};
	int *widest;
	va_list arguments;
	int length;

	if (!table || !make_room(table))
		return;
	va_start(arguments, format);
	length = vasprintf(&raw, format, arguments);
	va_end(arguments);
	if (length < 0)
		raw = NULL;
	cell.text = raw ? printable(raw) : NULL;
	cell.width = cell.text ? printable_width(cell.text) : 0;
	widest = &table->widths[table->n_cells % table->n_columns];
	if (cell.width > *widest)
		*widest = cell.width;
	table->cells[table->n_cells++] = cell;
}

// What is left of a line.
struct line {
	FILE *out;
	bool color;
	int left; // columns
};

static void put_spaces(struct line *line, int n)
{
	if (n > line->left)
		n = line->left;
	if (n > 0) {
		fprintf(line->out, "%*s", n, "");
		line->left -= n;
	}
}

static void put_text(struct line *line, const char *text, enum paint paint)
{
	bool painted = line->color && codes[paint] && line->left > 0;
	mbstate_t state = {0};

	if (painted)
		fputs(codes[paint], line->out);
	while (*text && line->left > 0) {
		int width;
		size_t n = next_character(text, &state, &width);

		if (width > line->left)
			line->left = 0;
		else
			fwrite(text, 1, n, line->out);
		line->left -= width;
		text += n;
	}
	if (painted)
		fputs("\033[0m", line->out);
}

// Prints a line of cells; the last one is not padded. A line that is cut ends in "…".
static void put_line(const struct table *table, const struct cell *cells, size_t n, FILE *out,
		     const struct style *style)
{
	const struct column *columns = table->columns;
	struct line line = {.out = out, .color = style->color, .left = 1 << 30};
	int all = 0;
	bool cut;

	while (n && !cells[n - 1].width)
		n--;
	for (size_t i = 0; i < n; i++)
		all += i + 1 < n || columns[i].align == RIGHT
			       ? table->widths[i] + (i + 1 < n ? GAP : 0)
			       : cells[i].width;
	cut = style->width > 0 && all > style->width;
	if (cut)
		line.left = style->width - 1;
	for (size_t i = 0; i < n; i++) {
		int padding = table->widths[i] - cells[i].width;

		if (columns[i].align == RIGHT)
			put_spaces(&line, padding);
		if (cells[i].text)
			put_text(&line, cells[i].text, cells[i].paint);
		if (i + 1 < n)
			put_spaces(&line, (columns[i].align == LEFT ? padding : 0) + GAP);
	}
	if (cut)
		fputs(MB_CUR_MAX > 1 ? "…" : ">", out);
	fputc('\n', out);
}

static void put_titles(const struct table *table, FILE *out, const struct style *style)
{
	struct cell cells[table->n_columns];

	for (size_t i = 0; i < table->n_columns; i++) {
		const char *title = table->columns[i].title;

		cells[i] = (struct cell){.text = (char *)title,
					 .width = title ? printable_width(title) : 0,
					 .paint = PAINT_TITLE};
	}
	put_line(table, cells, table->n_columns, out, style);
}

void table_print(const struct table *table, FILE *out, const struct style *style)
{
	if (!table)
		return;
	if (table->columns[0].title)
		put_titles(table, out, style);
	for (size_t i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns)
		put_line(table, table->cells + i, table->n_columns, out, style);
}
