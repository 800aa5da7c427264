// What a request takes: of the provider's token limits at admission, and of what people pay for.
//
// The charge. OpenAI documents max(max_tokens, characters / 4). What it does was read off recorded
// exchanges as x-ratelimit-limit-tokens − x-ratelimit-remaining-tokens of a request's own response,
// on idle accounts:
//
//                       since March 2025                          before
//   chat/completions    characters / 4 + 2 + 1 a message          the same, but no images, and
//                       + 765 an image + n × max_tokens           max_tokens is 16 when absent
//   completions         characters / 4 + 1                        the same, but max_tokens is 16
//                       + max(n, best_of) × max_tokens            when absent
//   responses           input tokens + 765 an image + EXPECTED    (was not there)
//   embeddings          characters / 4                            the same
//
// max_completion_tokens, max_output_tokens and a chat's tools are not counted. Token arrays count
// one for each element. EXPECTED is the output that OpenAI foresees, whatever the cap: 19 tokens;
// 217 if the model may call functions, or reasons first (gpt-5.4: 163); 496 if both. The headers of
// a reasoning model's response come when it has been generated. By then this charge has been
// refilled and what was foreseen too low has been added, so they say max(0, output − EXPECTED): to
// the token for 12 of the 13 such recordings that are not 0, and it cannot be known before.
//
// Anthropic counts input tokens when a request arrives, and output as it is generated: the charge
// of /messages is the estimate of its input.
//
// Input tokens of /responses are exact there; here they are characters / 4 + 7, and a seventh of
// the tools' JSON. Reading (GET and its like) is charged as a request, not in tokens; so are files,
// uploads and batches, whose work is done later and has limits of its own, and the counting of
// tokens. Elsewhere a JSON body or one that nothing is known of counts a quarter of its bytes; an
// upload (files, audio) counts none: those are limited in other units.
//
// A charge too low shows in the response's headers, and governor_learn() lowers the bucket; one too
// high costs throughput. So no safety margin is added here.
#include "govern/cost.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#define CHARS_PER_TOKEN 4
#define MAX_ANSWERS 128 // documented
#define MAX_CAP_TOKENS 1e8
#define TOOL_BYTES_PER_TOKEN 7
#define TOKENS_PER_IMAGE 765
#define CHAT_OVERHEAD 2
#define COMPLETION_OVERHEAD 1
#define DEFAULT_MAX_TOKENS 16 // of /completions, documented; of both until 2025, observed
// Of the recordings' usage: what surrounds the text.
#define INPUT_TOKENS_PER_CHAT 3
#define INPUT_TOKENS_PER_MESSAGE 4
#define INPUT_TOKENS_PER_RESPONSE 7
// And the mean of their output, for requests without a cap (the median is 25 and 200; but budgets
// add up, and so do means).
#define OUTPUT_TOKENS 70
#define OUTPUT_TOKENS_REASONING 450

enum endpoint {
	ENDPOINT_READ, // nothing but a request
	ENDPOINT_CHAT,
	ENDPOINT_COMPLETIONS,
	ENDPOINT_RESPONSES,
	ENDPOINT_EMBEDDINGS,
	ENDPOINT_MESSAGES, // Anthropic's
	ENDPOINT_IMAGES,
	ENDPOINT_UPLOAD,
	ENDPOINT_OTHER,
	ENDPOINT_UNKNOWN, // of an opaque connection
};

static bool only_reads(const struct request *r)
{
	static const char *const methods[] = {"GET", "HEAD", "DELETE", "OPTIONS"};

	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		if (!strcmp(r->method, methods[i]))
			return true;
	return false;
}

static bool path_ends(const struct request *r, const char *suffix)
{
	size_t n = strnlen(r->path, sizeof(r->path)), n_suffix = strlen(suffix);

	return n >= n_suffix && !memcmp(r->path + n - n_suffix, suffix, n_suffix);
}

// Whether `segment`, "/batches" say, stands in the path as a whole.
static bool path_has(const struct request *r, const char *segment)
{
	size_t n = strlen(segment);

	for (const char *at = r->path; (at = strstr(at, segment)); at += n)
		if (at[n] == '/' || !at[n])
			return true;
	return false;
}

// What it is about takes no tokens when it is asked for.
static bool takes_no_tokens(const struct request *r)
{
	static const char *const segments[] = {"/files", "/uploads", "/batches"};

	for (size_t i = 0; i < sizeof(segments) / sizeof(*segments); i++)
		if (path_has(r, segments[i]))
			return true;
	return path_ends(r, "/messages/count_tokens") || path_ends(r, "/responses/input_tokens");
}

static enum endpoint endpoint_of(const struct request *r)
{
	static const struct {
		const char *suffix;
		enum endpoint endpoint;
	} endpoints[] = {
		{"/chat/completions", ENDPOINT_CHAT},     {"/completions", ENDPOINT_COMPLETIONS},
		{"/responses", ENDPOINT_RESPONSES},       {"/embeddings", ENDPOINT_EMBEDDINGS},
		{"/images/generations", ENDPOINT_IMAGES}, {"/images/edits", ENDPOINT_IMAGES},
		{"/images/variations", ENDPOINT_IMAGES},  {"/messages", ENDPOINT_MESSAGES},
	};

	if (only_reads(r))
		return ENDPOINT_READ;
	for (size_t i = 0; i < sizeof(endpoints) / sizeof(*endpoints); i++)
		if (path_ends(r, endpoints[i].suffix))
			return endpoints[i].endpoint;
	if (takes_no_tokens(r)) // behind the others: a deployment may have such a name
		return ENDPOINT_READ;
	if (!r->path[0])
		return ENDPOINT_UNKNOWN;
	return r->has_json_body ? ENDPOINT_OTHER : ENDPOINT_UPLOAD;
}

_Static_assert(REQUEST_ABSENT == RESPONSE_ABSENT, "one or_else() for both");

// A cap beyond what any model gives is refused by the provider, and charged nowhere.
static double or_else(uint64_t field, double absent)
{
	return field == REQUEST_ABSENT ? absent : fmin((double)field, MAX_CAP_TOKENS);
}

// How many answers it asks for.
static double answers(const struct request *r, enum endpoint endpoint)
{
	double n = fmax(or_else(r->n, 1), 1);

	if (endpoint == ENDPOINT_COMPLETIONS)
		n = fmax(n, or_else(r->best_of, 1));
	return fmin(n, MAX_ANSWERS);
}

static double text_tokens(const struct request *r, uint64_t unread_bytes)
{
	double chars = (double)r->text_chars;

	if (!r->body_json_whole)
		chars += (double)unread_bytes + (double)r->unread_bytes;
	return floor(chars / CHARS_PER_TOKEN);
}

static double body_tokens(const struct request *r, uint64_t unread_bytes)
{
	return floor(((double)r->body_bytes + (double)unread_bytes) / CHARS_PER_TOKEN);
}

static bool has_tools(const struct request *r)
{
	return r->tools_bytes > strlen("[]");
}

static double tool_tokens(const struct request *r)
{
	return has_tools(r) ? floor((double)r->tools_bytes / TOOL_BYTES_PER_TOKEN) : 0;
}

// gpt-5 and later, but for the models that are those of the chat application; o1, o3, o4-mini, …
static bool is_reasoning(const char *model)
{
	if (model[0] == 'o' && isdigit((unsigned char)model[1]))
		return true;
	return !strncmp(model, "gpt-", 4) && model[4] >= '5' && model[4] <= '9' &&
	       !strstr(model, "-chat");
}

static double expected_output(const struct request *r)
{
	if (!is_reasoning(r->model))
		return has_tools(r) ? 217 : 19;
	if (has_tools(r))
		return 496;
	return !strncmp(r->model, "gpt-5.4", strlen("gpt-5.4")) ? 163 : 217;
}

static double input_estimate(const struct request *r, uint64_t unread_bytes)
{
	double text = text_tokens(r, unread_bytes), tokens = (double)r->input_tokens;
	double extras = tool_tokens(r) + TOKENS_PER_IMAGE * (double)r->images_in;

	switch (endpoint_of(r)) {
	case ENDPOINT_CHAT:
	case ENDPOINT_MESSAGES:
		return text + extras + INPUT_TOKENS_PER_CHAT +
		       INPUT_TOKENS_PER_MESSAGE * fmax((double)r->messages, 1);
	case ENDPOINT_RESPONSES:
		return text + extras + INPUT_TOKENS_PER_RESPONSE;
	case ENDPOINT_COMPLETIONS:
	case ENDPOINT_EMBEDDINGS:
		return text + tokens;
	case ENDPOINT_IMAGES: // the bulk of an upload is its pictures
		return (r->has_json_body ? text : text_tokens(r, 0)) + tokens;
	case ENDPOINT_OTHER:
	case ENDPOINT_UNKNOWN:
		return body_tokens(r, unread_bytes);
	case ENDPOINT_READ:
	case ENDPOINT_UPLOAD:
		break;
	}
	return 0;
}

double charge_of_request(const struct request *r, uint64_t unread_bytes, enum charge_rule rule)
{
	double absent_cap = rule == CHARGE_UNTIL_2025 ? DEFAULT_MAX_TOKENS : 0;
	double images = rule == CHARGE_UNTIL_2025 ? 0 : TOKENS_PER_IMAGE * (double)r->images_in;
	double text = text_tokens(r, unread_bytes), tokens = (double)r->input_tokens;
	enum endpoint endpoint = endpoint_of(r);
	double output = answers(r, endpoint) * or_else(r->max_tokens, absent_cap);

	switch (endpoint) {
	case ENDPOINT_CHAT:
		return text + CHAT_OVERHEAD + fmax((double)r->messages, 1) + images + output;
	case ENDPOINT_COMPLETIONS:
		return text + COMPLETION_OVERHEAD + tokens + output;
	case ENDPOINT_RESPONSES:
		return text + INPUT_TOKENS_PER_RESPONSE + tool_tokens(r) + images +
		       expected_output(r);
	case ENDPOINT_EMBEDDINGS:
		return fmax(text + tokens, 1);
	case ENDPOINT_MESSAGES:
		return input_estimate(r, unread_bytes);
	case ENDPOINT_OTHER:
	case ENDPOINT_UNKNOWN:
		return body_tokens(r, unread_bytes);
	case ENDPOINT_READ:
	case ENDPOINT_IMAGES:
	case ENDPOINT_UPLOAD:
		break;
	}
	return 0;
}

static double output_estimate(const struct request *r)
{
	double per_answer = is_reasoning(r->model) ? OUTPUT_TOKENS_REASONING : OUTPUT_TOKENS;
	enum endpoint endpoint = endpoint_of(r);

	switch (endpoint) {
	case ENDPOINT_CHAT: // max_completion_tokens has taken max_tokens' place
		per_answer = or_else(r->max_completion_tokens, or_else(r->max_tokens, per_answer));
		break;
	case ENDPOINT_MESSAGES:
		return or_else(r->max_tokens, per_answer);
	case ENDPOINT_COMPLETIONS:
		per_answer = or_else(r->max_tokens, DEFAULT_MAX_TOKENS);
		break;
	case ENDPOINT_RESPONSES:
		return or_else(r->max_output_tokens, per_answer);
	case ENDPOINT_UNKNOWN: // most likely a chat
		return per_answer;
	default:
		return 0;
	}
	return answers(r, endpoint) * per_answer;
}

// cached: of the input; charged like the rest where the table has no price of its own.
static double price_of(const struct price *price, double input, double cached, double output)
{
	double cached_price = price->cached_input > 0 ? price->cached_input : price->input;

	return ((input - cached) * price->input + cached * cached_price + output * price->output) /
	       1e6;
}

void cost_of_request(const struct request *r, uint64_t unread_bytes, const struct price *price,
		     double amounts[N_RESOURCES])
{
	double input = input_estimate(r, unread_bytes), output = output_estimate(r);
	enum endpoint endpoint = endpoint_of(r);

	amounts[RESOURCE_REQUESTS] = 1;
	amounts[RESOURCE_TOKENS] = charge_of_request(r, unread_bytes, CHARGE_SINCE_2025);
	amounts[RESOURCE_IMAGES] = endpoint == ENDPOINT_IMAGES ? answers(r, endpoint) : 0;
	amounts[RESOURCE_INPUT_TOKENS] = input;
	amounts[RESOURCE_OUTPUT_TOKENS] = output;
	amounts[RESOURCE_TOTAL_TOKENS] = input + output;
	amounts[RESOURCE_COST] = price ? price_of(price, input, 0, output) : 0;
}

void cost_of_usage(const struct response *r, const struct price *price, double used[N_RESOURCES])
{
	bool has_usage = r->tokens_in != RESPONSE_ABSENT || r->tokens_out != RESPONSE_ABSENT;
	double input = used[RESOURCE_INPUT_TOKENS], output = used[RESOURCE_OUTPUT_TOKENS];
	double cached = 0;

	if (!has_usage && r->status >= 400) {
		input = output = 0;
	} else if (!has_usage && r->is_event_stream && !r->is_encoded) {
		output = (double)r->stream_events;
	} else if (has_usage) {
		double streamed = r->is_event_stream ? (double)r->stream_events : 0;

		input = or_else(r->tokens_in, input);
		// Embeddings have no output, and a stream that broke off has not said it.
		output = or_else(r->tokens_out, streamed);
		cached = fmin(or_else(r->cached_tokens_in, 0), input);
	}
	used[RESOURCE_INPUT_TOKENS] = input;
	used[RESOURCE_OUTPUT_TOKENS] = output;
	used[RESOURCE_TOTAL_TOKENS] = input + output;
	used[RESOURCE_COST] = price ? price_of(price, input, cached, output) : 0;
}
