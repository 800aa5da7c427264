// The list of what is wrong with a configuration, and how it is put into words. See problems.h.
#include "config/problems.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define KEY_PREFIX "sk-"

void problems_add(struct problems *problems, const char *path, size_t line, const char *format, ...)
{
	if (problems_full(problems)) {
		problems->unshown++;
		return;
	}

	CLEANUP_FREE char *message = NULL;
	va_list args;
	va_start(args, format);
	if (vasprintf(&message, format, args) < 0) {
		message = NULL; // asprintf leaves it undefined
		problems->out_of_memory = true;
	}
	va_end(args);
	if (!message)
		return;

	char *whole;
	int length = line ? asprintf(&whole, "%s:%zu: %s", path, line, message)
			  : asprintf(&whole, "%s: %s", path, message);
	if (length < 0)
		problems->out_of_memory = true;
	else
		problems->lines[problems->count++] = whole;
}

bool problems_any(const struct problems *problems)
{
	return problems->count > 0 || problems->out_of_memory;
}

bool problems_full(const struct problems *problems)
{
	return problems->count == PROBLEMS_MAX;
}

char *problems_text(const struct problems *problems)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (size_t i = 0; i < problems->count; i++)
		fprintf(out, "%s%s", i ? "\n" : "", problems->lines[i]);
	if (problems->unshown)
		fprintf(out, "\n%zu more problems are not shown", problems->unshown);
	if (problems->out_of_memory)
		fprintf(out, "%sout of memory while reading the configuration",
			problems->count ? "\n" : "");
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

void problems_clear(struct problems *problems)
{
	for (size_t i = 0; i < problems->count; i++)
		free(problems->lines[i]);
	*problems = (struct problems){0};
}

static bool is_utf8_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

// Where an OpenAI key begins, wherever it was pasted ("Bearer sk-…"); NULL: nowhere.
static const char *find_key(const char *text)
{
	for (const char *at = text; (at = strstr(at, KEY_PREFIX)); at++)
		if (at == text || !isalnum((unsigned char)at[-1]))
			return at;
	return NULL;
}

struct quoted problems_quote(const char *text)
{
	static const char ellipsis[] = "…";
	struct quoted quoted;
	// Room for two quotes, an ellipsis and the final NUL.
	const size_t room = sizeof(quoted.text) - 2 - sizeof(ellipsis);
	const char *key = find_key(text);
	size_t length = key ? (size_t)(key - text) + strlen(KEY_PREFIX) : strlen(text);
	bool cut = key || length > room;
	char *out = quoted.text;

	if (length > room)
		for (length = room; length > 0 && is_utf8_continuation(text[length]);)
			length--;
	*out++ = '"';
	for (size_t i = 0; i < length; i++)
		*out++ = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
	if (cut)
		out = stpcpy(out, ellipsis);
	*out++ = '"';
	*out = '\0';
	return quoted;
}
