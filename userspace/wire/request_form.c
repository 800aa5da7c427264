// See request_form.h.
#include "wire/request_form.h"

#include <string.h>
#include "wire/request.h"
#include "wire/text.h"

static uint64_t number_of(const struct multipart_field *field)
{
	char text[24];
	uint64_t number;

	if (field->bytes >= sizeof(text))
		return REQUEST_ABSENT;
	memcpy(text, field->value, field->value_bytes);
	text[field->value_bytes] = '\0';
	return text_parse_u64(text, &number) ? REQUEST_ABSENT : number;
}

void request_form_field(void *request, const struct multipart_field *field)
{
	struct request *r = request;
	size_t bytes = field->value_bytes;

	if (field->is_file)
		return;
	if (!strcmp(field->name, "model"))
		text_copy(r->model, sizeof(r->model), field->value, bytes);
	else if (!strcmp(field->name, "user"))
		text_copy(r->user, sizeof(r->user), field->value, bytes);
	else if (!strcmp(field->name, "n"))
		r->n = number_of(field);
	else if (!strcmp(field->name, "stream"))
		r->stream = bytes == 4 && !memcmp(field->value, "true", 4);
	else if (!strcmp(field->name, "prompt"))
		r->text_chars = field->code_points;
}
