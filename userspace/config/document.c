// File → bytes → bounds → tree. See document.h for the bounds and their reasons.
#include "config/document.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

#define TAG_STANDARD "tag:yaml.org,2002:"

struct text {
	char *bytes;
	size_t size;
};

static void text_release(struct text *text)
{
	free(text->bytes);
}
#define CLEANUP_TEXT __attribute__((cleanup(text_release)))

static void parser_delete(yaml_parser_t *parser)
{
	yaml_parser_delete(parser);
}
#define CLEANUP_PARSER __attribute__((cleanup(parser_delete)))

static int out_of_memory(struct problems *problems)
{
	problems->out_of_memory = true;
	return -ENOMEM;
}

// Reads at most one byte more than is allowed, which also bounds what has no size (a pipe).
static int read_text(const char *path, struct text *ret, struct problems *problems)
{
	struct stat st;
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP_FREE char *bytes = NULL;
	size_t size = 0;

	if (fd < 0 || fstat(fd, &st) < 0) {
		problems_add(problems, path, 0, "cannot be opened (%m); expected a readable file");
		return -EINVAL;
	}
	if (S_ISDIR(st.st_mode)) {
		problems_add(problems, path, 0, "is a directory; expected a YAML file");
		return -EINVAL;
	}
	bytes = malloc(DOCUMENT_BYTES_MAX + 1);
	if (!bytes)
		return out_of_memory(problems);
	while (size <= DOCUMENT_BYTES_MAX) {
		ssize_t n = read(fd, bytes + size, DOCUMENT_BYTES_MAX + 1 - size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			problems_add(problems, path, 0,
				     "cannot be read (%m); expected a readable file");
			return -EINVAL;
		}
		if (n == 0)
			break;
		size += (size_t)n;
	}
	if (size > DOCUMENT_BYTES_MAX) {
		problems_add(problems, path, 0, "is too large; expected at most 1 MB");
		return -EINVAL;
	}
	*ret = (struct text){.bytes = TAKE_PTR(bytes), .size = size};
	return 0;
}

static int parser_open(yaml_parser_t *parser, const struct text *text, struct problems *problems)
{
	if (!yaml_parser_initialize(parser))
		return out_of_memory(problems);
	// Said, not guessed: libyaml would take UTF-16 by its byte order mark.
	yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(parser, (const unsigned char *)text->bytes, text->size);
	return 0;
}

static size_t line_of_offset(const struct text *text, size_t offset)
{
	size_t line = 1;

	for (size_t i = 0; i < offset && i < text->size; i++)
		line += text->bytes[i] == '\n';
	return line;
}

// libyaml says of a tab only that it "cannot start any token".
static bool line_is_indented_by_tab(const struct text *text, size_t line)
{
	const char *at = text->bytes, *end = at + text->size;

	while (--line > 0 && at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		at = newline ? newline + 1 : end;
	}
	while (at < end && *at == ' ')
		at++;
	return at < end && *at == '\t';
}

static int add_parser_problem(const yaml_parser_t *parser, const struct text *text,
			      const char *path, struct problems *problems)
{
	size_t line = parser->problem_mark.line + 1;

	if (parser->error == YAML_MEMORY_ERROR || !parser->problem)
		return out_of_memory(problems);
	if (parser->error == YAML_READER_ERROR)
		problems_add(problems, path, line_of_offset(text, parser->problem_offset),
			     "%s; expected UTF-8 text without control characters", parser->problem);
	else if (line_is_indented_by_tab(text, line))
		problems_add(problems, path, line, "a tab in the indentation; expected spaces");
	else if (parser->context)
		problems_add(problems, path, line, "%s, %s from line %zu; expected valid YAML",
			     parser->problem, parser->context, parser->context_mark.line + 1);
	else
		problems_add(problems, path, line, "%s; expected valid YAML", parser->problem);
	return -EINVAL;
}

struct bounds {
	size_t depth, anchors;
};

static bool tag_is_known(const yaml_char_t *tag)
{
	return !tag || strcmp((const char *)tag, "!") == 0 ||
	       strncmp((const char *)tag, TAG_STANDARD, strlen(TAG_STANDARD)) == 0;
}

static int check_event(const yaml_event_t *event, struct bounds *bounds, const char *path,
		       struct problems *problems)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;
	size_t line = event->start_mark.line + 1;

	switch (event->type) {
	case YAML_SCALAR_EVENT:
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
		bounds->depth++;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
		bounds->depth++;
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		bounds->depth--;
		break;
	default:
		break;
	}
	bounds->anchors += anchor != NULL;

	if (bounds->depth > DOCUMENT_DEPTH_MAX)
		problems_add(problems, path, line, "nested too deep; expected at most %d levels",
			     DOCUMENT_DEPTH_MAX);
	else if (bounds->anchors > DOCUMENT_ANCHORS_MAX)
		problems_add(problems, path, line, "too many anchors (&…); expected at most %d",
			     DOCUMENT_ANCHORS_MAX);
	else if (!tag_is_known(tag))
		problems_add(problems, path, line, "unknown tag %s; expected plain values",
			     problems_quote((const char *)tag).text);
	else
		return 0;
	return -EINVAL;
}

// A first pass over the events, before anything is built: linear in time, constant in memory.
static int check_bounds(const struct text *text, const char *path, struct problems *problems)
{
	CLEANUP_PARSER yaml_parser_t parser = {0};
	struct bounds bounds = {0};
	int err = parser_open(&parser, text, problems);

	for (bool end = false; !err && !end;) {
		yaml_event_t event;
		if (!yaml_parser_parse(&parser, &event))
			return add_parser_problem(&parser, text, path, problems);
		err = check_event(&event, &bounds, path, problems);
		end = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	return err;
}

// A file holds one document: what followed a second "---" would otherwise be ignored silently.
static int check_no_more(yaml_parser_t *parser, const struct text *text, const char *path,
			 struct problems *problems)
{
	yaml_document_t next;
	int err = 0;

	if (!yaml_parser_load(parser, &next))
		return add_parser_problem(parser, text, path, problems);
	const yaml_node_t *root = yaml_document_get_root_node(&next);
	if (root) {
		problems_add(problems, path, node_line(root),
			     "a second document begins; expected one in a file");
		err = -EINVAL;
	}
	yaml_document_delete(&next);
	return err;
}

static int load_tree(struct document *document, const struct text *text, struct problems *problems)
{
	CLEANUP_PARSER yaml_parser_t parser = {0};
	int err = parser_open(&parser, text, problems);

	if (err)
		return err;
	if (!yaml_parser_load(&parser, &document->yaml))
		return add_parser_problem(&parser, text, document->path, problems);
	document->root = yaml_document_get_root_node(&document->yaml);
	if (document->root) {
		err = check_no_more(&parser, text, document->path, problems);
		if (!err && node_is_null(document->root))
			document->root = NULL; // "---" and comments
	}
	if (!err && document->root && document->root->type != YAML_MAPPING_NODE) {
		problems_add(problems, document->path, node_line(document->root),
			     "wrong type for the file; expected a mapping (mode: …, teams: …), "
			     "found %s",
			     node_type_name(document->root));
		err = -EINVAL;
	}
	if (err)
		yaml_document_delete(&document->yaml);
	return err;
}

int document_load(struct document *document, const char *path, struct problems *problems)
{
	CLEANUP_TEXT struct text text = {0};
	int err = read_text(path, &text, problems);

	*document = (struct document){0};
	if (!err)
		err = check_bounds(&text, path, problems);
	if (err)
		return err;
	document->path = strdup(path);
	if (!document->path)
		return out_of_memory(problems);
	err = load_tree(document, &text, problems);
	if (err)
		free(TAKE_PTR(document->path));
	return err;
}

void document_close(struct document *document)
{
	yaml_document_delete(&document->yaml);
	free(document->path);
	*document = (struct document){0};
}

const yaml_node_t *document_node(const struct document *document, int id)
{
	// libyaml only reads it; its prototype lacks the const.
	return yaml_document_get_node((yaml_document_t *)&document->yaml, id);
}

const yaml_node_t *document_find(const struct document *document, const yaml_node_t *mapping,
				 const char *key)
{
	if (!mapping || mapping->type != YAML_MAPPING_NODE)
		return NULL;
	for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
	     pair < mapping->data.mapping.pairs.top; pair++) {
		const char *text = node_text(document_node(document, pair->key));
		if (text && strcmp(text, key) == 0)
			return document_node(document, pair->value);
	}
	return NULL;
}

size_t node_line(const yaml_node_t *node)
{
	return node->start_mark.line + 1;
}

const char *node_text(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

bool node_has_nul(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE &&
	       strlen((const char *)node->data.scalar.value) != node->data.scalar.length;
}

bool node_is_null(const yaml_node_t *node)
{
	const char *text = node_text(node);

	return text && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

const char *node_type_name(const yaml_node_t *node)
{
	switch (node->type) {
	case YAML_MAPPING_NODE:
		return "a mapping";
	case YAML_SEQUENCE_NODE:
		return "a list";
	default:
		return node_is_null(node) ? "nothing" : "a single value";
	}
}
