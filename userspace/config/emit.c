// See emit.h.
#include "config/emit.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NUMBER_SIZE 400 // the smallest double has some 330 decimals

void emit_fail(struct emitter *e, int err)
{
	if (!e->err)
		e->err = err;
}

static void emit(struct emitter *e, yaml_event_t *event, int is_made)
{
	if (e->err)
		return;
	if (!is_made)
		emit_fail(e, -ENOMEM);
	else if (!yaml_emitter_emit(&e->yaml, event)) // frees the event in any case
		emit_fail(e, e->yaml.error == YAML_MEMORY_ERROR ? -ENOMEM : -EIO);
}

void emit_begin(struct emitter *e, FILE *out)
{
	yaml_event_t event;

	*e = (struct emitter){0};
	if (!yaml_emitter_initialize(&e->yaml)) {
		emit_fail(e, -ENOMEM);
		return;
	}
	yaml_emitter_set_output_file(&e->yaml, out);
	yaml_emitter_set_width(&e->yaml, -1); // a folded text is hard to search for
	yaml_emitter_set_unicode(&e->yaml, 1);
	emit(e, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
	if (!e->err)
		emit(e, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
}

int emit_end(struct emitter *e)
{
	yaml_event_t event;

	if (!e->err)
		emit(e, &event, yaml_document_end_event_initialize(&event, 1));
	if (!e->err)
		emit(e, &event, yaml_stream_end_event_initialize(&event));
	if (!e->err && !yaml_emitter_flush(&e->yaml))
		emit_fail(e, -EIO);
	yaml_emitter_delete(&e->yaml);
	return e->err;
}

void emit_mapping(struct emitter *e)
{
	yaml_event_t event;

	if (!e->err)
		emit(e, &event,
		     yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
							 YAML_BLOCK_MAPPING_STYLE));
}

void emit_mapping_end(struct emitter *e)
{
	yaml_event_t event;

	if (!e->err)
		emit(e, &event, yaml_mapping_end_event_initialize(&event));
}

void emit_list(struct emitter *e, bool on_one_line)
{
	yaml_event_t event;

	if (!e->err)
		emit(e, &event,
		     yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
							  on_one_line ? YAML_FLOW_SEQUENCE_STYLE
								      : YAML_BLOCK_SEQUENCE_STYLE));
}

void emit_list_end(struct emitter *e)
{
	yaml_event_t event;

	if (!e->err)
		emit(e, &event, yaml_sequence_end_event_initialize(&event));
}

static void emit_scalar(struct emitter *e, const char *text, yaml_scalar_style_t style)
{
	yaml_event_t event;

	if (!e->err)
		emit(e, &event,
		     yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
						  (int)strlen(text), 1, 1, style));
}

// Would a plain text be taken for a number, a truth value or nothing at all? By our reader only the
// last (node_is_null()), but other tools read these files too.
static bool is_more_than_text(const char *text)
{
	static const char *const words[] = {"null", "true", "false", "yes", "no",
					    "on",   "off",  "y",     "n"};

	if (!*text || strchr("0123456789+-.~=<", *text))
		return true;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(words[i], text) == 0)
			return true;
	return false;
}

void emit_text(struct emitter *e, const char *text)
{
	// A plain one is quoted by libyaml if YAML's syntax wants it.
	emit_scalar(e, text,
		    is_more_than_text(text) ? YAML_SINGLE_QUOTED_SCALAR_STYLE
					    : YAML_PLAIN_SCALAR_STYLE);
}

void emit_null(struct emitter *e)
{
	emit_scalar(e, "~", YAML_PLAIN_SCALAR_STYLE);
}

void emit_pair(struct emitter *e, const char *key, const char *text)
{
	emit_text(e, key);
	emit_text(e, text);
}

// Of numbers and their like, which are what they seem to be.
static void emit_plain(struct emitter *e, const char *key, const char *text)
{
	emit_text(e, key);
	emit_scalar(e, text, YAML_PLAIN_SCALAR_STYLE);
}

void emit_flag(struct emitter *e, const char *key, bool value)
{
	emit_plain(e, key, value ? "true" : "false");
}

// The fewest digits that read back as the same double, without an exponent (values.h has none) and
// with a point in any locale.
static void format_number(double value, char out[NUMBER_SIZE])
{
	char scientific[32], digits[20];
	int n_digits = 0, n_significant = 1;

	do
		snprintf(scientific, sizeof(scientific), "%.*e", n_significant - 1, value);
	while (strtod(scientific, NULL) != value && ++n_significant <= 17);
	for (const char *at = scientific; *at != 'e'; at++)
		if (*at >= '0' && *at <= '9')
			digits[n_digits++] = *at;
	int exponent = atoi(strchr(scientific, 'e') + 1);
	int first = exponent > 0 ? exponent : 0, last = exponent - n_digits + 1;

	for (int place = first; place >= 0 || place >= last; place--) { // of 10^place
		int i = exponent - place;

		if (place == -1)
			*out++ = '.';
		*out++ = i >= 0 && i < n_digits ? digits[i] : '0';
	}
	*out = '\0';
}

static void emit_number_with(struct emitter *e, const char *key, double value, const char *unit)
{
	char text[NUMBER_SIZE + 1];

	if (!isfinite(value) || value < 0) {
		emit_fail(e, -EINVAL);
		return;
	}
	format_number(value, text);
	strcat(text, unit);
	emit_plain(e, key, text);
}

void emit_count(struct emitter *e, unsigned int value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	emit_scalar(e, text, YAML_PLAIN_SCALAR_STYLE);
}

void emit_number(struct emitter *e, const char *key, double value)
{
	emit_number_with(e, key, value, "");
}

void emit_percent(struct emitter *e, const char *key, double value)
{
	emit_number_with(e, key, value, "%");
}

void emit_duration(struct emitter *e, const char *key, uint64_t ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{"d", 86400000000000}, {"h", 3600000000000}, {"m", 60000000000}, {"s", 1000000000},
		{"ms", 1000000},       {"us", 1000},         {"ns", 1},
	};
	char text[64], *at = text;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (ns >= units[i].ns)
			at += sprintf(at, "%llu%s", (unsigned long long)(ns / units[i].ns),
				      units[i].name);
		ns %= units[i].ns;
	}
	emit_plain(e, key, at == text ? "0s" : text);
}

void emit_memory(struct emitter *e, const char *key, uint64_t bytes)
{
	bool is_whole = bytes % (1 << 20) == 0;
	char text[32];

	sprintf(text, "%llu%s", (unsigned long long)(is_whole ? bytes >> 20 : bytes),
		is_whole ? "MiB" : "");
	emit_plain(e, key, text);
}

void emit_texts(struct emitter *e, const char *key, char *const *texts, bool single)
{
	emit_text(e, key);
	if (single && texts[0] && !texts[1]) {
		emit_text(e, texts[0]);
		return;
	}
	emit_list(e, true);
	for (; *texts; texts++)
		emit_text(e, *texts);
	emit_list_end(e);
}
