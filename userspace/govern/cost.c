// The charge at admission, per endpoint, in tokens (and images).
//
// OpenAI documents max(max_tokens, characters / 4). What it does was read off recorded exchanges as
// x-ratelimit-limit-tokens − x-ratelimit-remaining-tokens of a request's own response, on idle
// accounts; the formulas below are what has been observed since March 2025:
//   chat/completions  characters / 4 + 2 + about 1 a message + 765 an image + n × max_tokens. The
//                     SDKs' newer max_completion_tokens is not counted, nor are tools.
//   completions       characters / 4 + 1 + max(n, best_of) × max_tokens
//   responses         characters / 4 + 26; max_output_tokens is not counted
//   embeddings        characters / 4
// Token arrays count one for each element. Reading (GET and its like) is charged as a request, not
// in tokens. Elsewhere a JSON body or one that nothing is known of counts a quarter of its bytes;
// an upload (files, audio) counts none: those are limited in other units.
//
// An estimate too low shows in the response's headers, and governor_learn() lowers the bucket; one
// too high costs throughput. So no safety margin is added here.
#include "govern/cost.h"

#include <math.h>
#include <string.h>

#define CHARS_PER_TOKEN 4
#define TOKENS_PER_IMAGE 765
#define CHAT_OVERHEAD 2
#define COMPLETION_OVERHEAD 1
#define RESPONSES_OVERHEAD 26

static bool path_ends(const struct request *r, const char *suffix)
{
	size_t n = strnlen(r->path, sizeof(r->path)), n_suffix = strlen(suffix);

	return n >= n_suffix && !memcmp(r->path + n - n_suffix, suffix, n_suffix);
}

static bool only_reads(const struct request *r)
{
	static const char *const methods[] = {"GET", "HEAD", "DELETE", "OPTIONS"};

	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		if (!strcmp(r->method, methods[i]))
			return true;
	return false;
}

static double at_least_one(uint64_t field)
{
	return field == REQUEST_ABSENT || field == 0 ? 1 : (double)field;
}

static double or_zero(uint64_t field)
{
	return field == REQUEST_ABSENT ? 0 : (double)field;
}

static double text_tokens(const struct request *r, uint64_t unread_bytes)
{
	double chars = (double)r->text_chars;

	if (!r->body_json_whole)
		chars += (double)unread_bytes;
	return floor(chars / CHARS_PER_TOKEN);
}

static double other_tokens(const struct request *r, uint64_t unread_bytes)
{
	if (r->path[0] && !r->has_json_body)
		return 0;
	return floor(((double)r->body_bytes + (double)unread_bytes) / CHARS_PER_TOKEN);
}

struct cost cost_of_request(const struct request *r, uint64_t unread_bytes)
{
	double text = text_tokens(r, unread_bytes);
	double images_in = TOKENS_PER_IMAGE * (double)r->images_in;
	double cap = or_zero(r->max_tokens);

	if (only_reads(r))
		return (struct cost){0};
	if (path_ends(r, "/chat/completions"))
		return (struct cost){.tokens = text + CHAT_OVERHEAD + fmax(r->messages, 1) +
					       images_in + at_least_one(r->n) * cap};
	if (path_ends(r, "/completions"))
		return (struct cost){
			.tokens = text + COMPLETION_OVERHEAD + (double)r->input_tokens +
				  fmax(at_least_one(r->n), at_least_one(r->best_of)) * cap};
	if (path_ends(r, "/responses"))
		return (struct cost){.tokens = text + RESPONSES_OVERHEAD + images_in};
	if (path_ends(r, "/embeddings"))
		return (struct cost){.tokens = fmax(text + (double)r->input_tokens, 1)};
	if (path_ends(r, "/images/generations") || path_ends(r, "/images/edits") ||
	    path_ends(r, "/images/variations"))
		return (struct cost){.images = at_least_one(r->n)};
	return (struct cost){.tokens = other_tokens(r, unread_bytes)};
}
