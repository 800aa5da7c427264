// The text fields of an upload (multipart/form-data) become struct request: of images/edits,
// images/variations, audio/transcriptions and audio/translations. Files are passed over.
#ifndef SLUICE_WIRE_REQUEST_FORM_H
#define SLUICE_WIRE_REQUEST_FORM_H

#include "wire/multipart.h"

// A multipart_fn, whose owner is a struct request.
void request_form_field(void *request, const struct multipart_field *field);

#endif
