// Conditions in memory: freeing, walking, comparing. See matcher.h; they are read in
// matcher_read.c.
#include "config/matcher.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#define WILDCARDS "*?[\\"

static void release(struct matcher *matcher)
{
	for (char **at = matcher->values; at && *at; at++)
		free(*at);
	free(matcher->values);
	if (matcher->regex)
		regfree(matcher->regex);
	free(matcher->regex);
	for (size_t i = 0; i < matcher->n_children; i++)
		release(&matcher->children[i]);
	free(matcher->children);
}

void matcher_free(struct matcher *matcher)
{
	if (matcher)
		release(matcher);
	free(matcher);
}

void matcher_each(const struct matcher *matcher, void (*fn)(void *, const struct matcher *),
		  void *ctx)
{
	if (!matcher)
		return;
	if (matcher->kind >= MATCHER_EXISTS)
		fn(ctx, matcher);
	for (size_t i = 0; i < matcher->n_children; i++)
		matcher_each(&matcher->children[i], fn, ctx);
}

void matcher_print(const struct matcher *matcher, FILE *out)
{
	if (!matcher) {
		fputs("*", out);
		return;
	}
	fprintf(out, "(%d", matcher->kind);
	if (matcher->kind >= MATCHER_EXISTS)
		fprintf(out, " %zu", matcher->label);
	for (char **at = matcher->values; at && *at; at++)
		fprintf(out, " %zu:%s", strlen(*at), *at);
	for (size_t i = 0; i < matcher->n_children; i++)
		matcher_print(&matcher->children[i], out);
	fputs(")", out);
}

static bool has_value(const struct matcher *matcher, const char *value)
{
	for (char **at = matcher->values; *at; at++)
		if (strcmp(*at, value) == 0)
			return true;
	return false;
}

static bool globs_match(const struct matcher *matcher, const char *text)
{
	for (char **at = matcher->values; *at; at++)
		if (fnmatch(*at, text, 0) == 0)
			return true;
	return false;
}

static bool is_equal(const struct matcher *a, const struct matcher *b)
{
	char **x = a->values, **y = b->values;

	if (a->kind != b->kind || a->label != b->label || a->n_children != b->n_children ||
	    !x != !y)
		return false;
	for (; x && *x && *y; x++, y++)
		if (strcmp(*x, *y) != 0)
			return false;
	if (x && (*x || *y))
		return false;
	for (size_t i = 0; i < a->n_children; i++)
		if (!is_equal(&a->children[i], &b->children[i]))
			return false;
	return true;
}

// Is each value that `later` allows a plain text that `earlier` takes?
static bool values_are_taken(const struct matcher *earlier, const struct matcher *later)
{
	for (char **at = later->values; *at; at++) {
		if (later->kind == MATCHER_GLOB && strpbrk(*at, WILDCARDS)) {
			if (earlier->kind != MATCHER_GLOB || !has_value(earlier, *at))
				return false;
		} else if (earlier->kind == MATCHER_IN ? !has_value(earlier, *at)
						       : !globs_match(earlier, *at)) {
			return false;
		}
	}
	return true;
}

// Does the single condition `earlier` hold where `later`, which is not MATCHER_ALL, does?
static bool condition_covers(const struct matcher *earlier, const struct matcher *later)
{
	bool is_values = later->kind == MATCHER_IN || later->kind == MATCHER_GLOB;

	if (is_equal(earlier, later))
		return true;
	if (earlier->kind < MATCHER_EXISTS || !is_values || earlier->label != later->label)
		return false;
	if (earlier->kind == MATCHER_EXISTS)
		return later->kind == MATCHER_IN;
	return earlier->kind != MATCHER_REGEX && values_are_taken(earlier, later);
}

bool matcher_covers(const struct matcher *earlier, const struct matcher *later)
{
	if (!earlier)
		return true;
	if (earlier->kind == MATCHER_ALL) {
		for (size_t i = 0; i < earlier->n_children; i++)
			if (!matcher_covers(&earlier->children[i], later))
				return false;
		return true;
	}
	if (earlier->kind == MATCHER_GLOB && has_value(earlier, "*"))
		return true;
	if (!later)
		return false;
	if (later->kind != MATCHER_ALL)
		return condition_covers(earlier, later);
	for (size_t i = 0; i < later->n_children; i++)
		if (matcher_covers(earlier, &later->children[i]))
			return true;
	return false;
}

const char *matcher_pins(const struct matcher *matcher, size_t label)
{
	const char *pinned = NULL;

	if (!matcher)
		return NULL;
	if (matcher->kind == MATCHER_ALL)
		for (size_t i = 0; !pinned && i < matcher->n_children; i++)
			pinned = matcher_pins(&matcher->children[i], label);
	if ((matcher->kind == MATCHER_IN || matcher->kind == MATCHER_GLOB) &&
	    matcher->label == label && !matcher->values[1] &&
	    (matcher->kind == MATCHER_IN || !strpbrk(*matcher->values, WILDCARDS)))
		pinned = *matcher->values;
	return pinned;
}
