// YAML, written event by event through libyaml's emitter, which knows when a text needs quotes.
// What the values look like is the reverse of values.h: whatever is written reads back as the very
// same number of bits.
#ifndef SLUICE_CONFIG_EMIT_H
#define SLUICE_CONFIG_EMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <yaml.h>

// The first error stays, and makes all further calls do nothing.
struct emitter {
	yaml_emitter_t yaml;
	int err; // negative errno
};

// Opens the one document of `out`. Whatever it returns, call emit_end(), which flushes it and says
// how all went: 0, -ENOMEM (also: a text is not UTF-8), -EINVAL (a number is not finite) or -EIO.
void emit_begin(struct emitter *e, FILE *out);
int emit_end(struct emitter *e);
void emit_fail(struct emitter *e, int err);

void emit_mapping(struct emitter *e);
void emit_mapping_end(struct emitter *e);
void emit_list(struct emitter *e, bool on_one_line);
void emit_list_end(struct emitter *e);

// Also keys. Quoted where YAML, of whatever version, would read something else than this text.
void emit_text(struct emitter *e, const char *text);
void emit_null(struct emitter *e);
void emit_count(struct emitter *e, unsigned int value);

// A pair of a mapping.
void emit_pair(struct emitter *e, const char *key, const char *text);
void emit_flag(struct emitter *e, const char *key, bool value);
void emit_number(struct emitter *e, const char *key, double value); // 0 to 1e15, in fixed notation
void emit_percent(struct emitter *e, const char *key, double value);
void emit_duration(struct emitter *e, const char *key, uint64_t ns);  // "1h30m"
void emit_memory(struct emitter *e, const char *key, uint64_t bytes); // "64MiB", else bytes
// NULL-terminated; a lone one without brackets if `single`.
void emit_texts(struct emitter *e, const char *key, char *const *texts, bool single);

#endif
