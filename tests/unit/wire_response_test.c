// If this fails, Sluice believes the wrong limits, charges the wrong usage, or loses its place
// among the responses of a connection.
#include "wire_replay.h"

static const char *const *methods; // of the requests sent, ended by NULL

static void note_limits(struct note *note, const char *name, const struct ratelimit_headers *limits)
{
	char field[40];

	snprintf(field, sizeof(field), "%s.limit", name);
	note_number(note, field, limits->limit, RESPONSE_ABSENT);
	snprintf(field, sizeof(field), "%s.remaining", name);
	note_number(note, field, limits->remaining, RESPONSE_ABSENT);
	snprintf(field, sizeof(field), "%s.reset_ms", name);
	note_number(note, field, limits->reset_ms, RESPONSE_ABSENT);
}

static const char *const limit_names[] = {"", "requests", "tokens", "images"};

static void on_event(void *owner, enum conversation_event event, const struct response *r)
{
	struct note *note = owner;

	switch (event) {
	case RESPONSE_HEAD:
		note_add(note, "HEAD %d%s%s", r->status, r->is_event_stream ? " stream" : "",
			 r->is_encoded ? " encoded" : "");
		note_limits(note, "requests", &r->requests);
		note_limits(note, "tokens", &r->tokens);
		note_limits(note, "images", &r->images);
		note_limits(note, "project", &r->project_tokens);
		note_text(note, "organization", r->organization);
		note_number(note, "retry_ms", r->retry_after_ms, RESPONSE_ABSENT);
		note_number(note, "processing_ms", r->processing_ms, RESPONSE_ABSENT);
		note_add(note, ";");
		break;
	case RESPONSE_COMPLETE:
		note_add(note, "COMPLETE bytes=%llu", (unsigned long long)r->body_bytes);
		note_number(note, "in", r->tokens_in, RESPONSE_ABSENT);
		note_number(note, "out", r->tokens_out, RESPONSE_ABSENT);
		note_number(note, "cached", r->cached_tokens_in, RESPONSE_ABSENT);
		note_number(note, "events", r->stream_events, 0);
		note_text(note, "code", r->error_code);
		note_text(note, "type", r->error_type);
		note_number(note, "again_ms", r->retry_message_ms, RESPONSE_ABSENT);
		note_text(note, "limit", limit_names[r->refused_by]);
		note_add(note, "%s%s", r->refused_by_day ? " by_day" : "",
			 r->quota_is_exhausted ? " exhausted" : "");
		note_add(note, "%s;", r->body_json_whole ? " whole" : "");
		break;
	case UPGRADED_WEBSOCKET:
		note_add(note, "UPGRADED %d;", r->status);
		break;
	default:
		assert_int_equal(event, RESPONSES_UNKNOWN);
		note_add(note, "OPAQUE;");
		break;
	}
}

static void *response_open(struct note *note)
{
	struct response_reader *reader = response_reader_new(on_event, note);

	assert_non_null(reader);
	for (const char *const *method = methods; method && *method; method++)
		response_reader_expect(reader, *method);
	return reader;
}

static void response_feed(void *reader, uint64_t at, const void *data, size_t len)
{
	response_reader_feed(reader, at, data, len);
}

static void response_close(void *reader)
{
	response_reader_end(reader);
	response_reader_free(reader);
}

static const struct replay replay = {response_open, response_feed, response_close};

#define OK "HTTP/1.1 200 OK\r\n"
#define JSON "Content-Type: application/json\r\n"
#define STREAM "Content-Type: text/event-stream; charset=utf-8\r\n"
#define EMPTY "Content-Length: 0\r\n\r\n"
#define CLOSE "Connection: close\r\n\r\n"

static const struct {
	const char *methods[4];
	const char *bytes;
	const char *said;
} streams[] = {
	{{"POST"},
	 OK JSON "Content-Length: 61\r\n\r\n"
		 "{\"id\":\"x\",\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12}}",
	 "HEAD 200;COMPLETE bytes=61 in=9 out=12 whole;"},
	{{"POST"},
	 OK JSON "Transfer-Encoding: chunked\r\n\r\n"
		 "10;a=b\r\n{\"usage\":{\"input\r\n1E\r\n_tokens\":7,\"output_tokens\":8}}"
		 "\r\n0\r\nA: b\r\n\r\n",
	 "HEAD 200;COMPLETE bytes=46 in=7 out=8 whole;"},
	// Only the outermost usage; the details within it have tokens of their own.
	{{"POST"},
	 OK JSON CLOSE
	 "{\"choices\":[{\"usage\":{\"prompt_tokens\":1}}],\"usage\":{\"prompt_tokens\":9,"
	 "\"prompt_tokens_details\":{\"prompt_tokens\":3},\"completion_tokens\":\"4\"},"
	 "\"response\":{\"usage\":{\"output_tokens\":5}}}",
	 "HEAD 200;COMPLETE bytes=180 in=9 whole;"},
	// What was read from the cache is paid for differently; only what belongs to the input.
	{{"POST"},
	 OK JSON CLOSE "{\"usage\":{\"prompt_tokens\":9,\"prompt_tokens_details\":{\"cached_"
		       "tokens\":4,\"audio_tokens\""
		       ":2},\"completion_tokens_details\":{\"cached_tokens\":3},\"x\":{\"prompt_"
		       "tokens_details\":{"
		       "\"cached_tokens\":1}}}}",
	 "HEAD 200;COMPLETE bytes=188 in=9 cached=4 whole;"},
	{{"POST"},
	 OK STREAM CLOSE
	 "data: {\"response\":{\"usage\":{\"input_tokens\":5,\"input_tokens_details\":{"
	 "\"cached_tokens\":2}}}}\n\n",
	 "HEAD 200 stream;COMPLETE bytes=92 in=5 cached=2;"},
	// Rate limits.
	{{"POST"},
	 "HTTP/1.1 429 Too Many Requests\r\nX-RateLimit-Limit-Requests: 10000\r\n"
	 "x-ratelimit-remaining-requests: 9999\r\nx-ratelimit-reset-requests: 8.64s\r\n"
	 "x-ratelimit-limit-tokens: 30000\r\nx-ratelimit-remaining-tokens: 0\r\n"
	 "x-ratelimit-reset-tokens: 6m0s\r\nretry-after-ms: 1780\r\nretry-after: 2\r\n"
	 "openai-processing-ms: 24 \r\n" JSON "Content-Length: 87\r\n\r\n"
	 "{\"error\":{\"message\":\"a\",\"type\":\"tokens\",\"param\":null,\"code\":\"rate_limit_"
	 "exceeded\"}}    ",
	 "HEAD 429 requests.limit=10000 requests.remaining=9999 requests.reset_ms=8640"
	 " tokens.limit=30000 tokens.remaining=0 tokens.reset_ms=360000 retry_ms=1780"
	 " processing_ms=24;COMPLETE bytes=87 code=rate_limit_exceeded type=tokens"
	 " limit=tokens whole;"},
	{{"POST"},
	 OK "x-ratelimit-limit-input-images: 5\r\nx-ratelimit-remaining-input-images: 4\r\n"
	    "x-ratelimit-reset-input-images: 12s\r\nx-ratelimit-limit-project-tokens: 1000\r\n"
	    "x-ratelimit-remaining-project-tokens: 998\r\nx-ratelimit-reset-project-tokens: 6ms\r\n"
	    "openai-organization: org-1 \r\n" EMPTY,
	 "HEAD 200 images.limit=5 images.remaining=4 images.reset_ms=12000 project.limit=1000"
	 " project.remaining=998 project.reset_ms=6 organization=org-1;COMPLETE bytes=0;"},
	{{"POST"}, // Azure
	 OK "x-ratelimit-reset-tokens: 250\r\nretry-after: 7\r\n" EMPTY,
	 "HEAD 200 tokens.reset_ms=250 retry_ms=7000;COMPLETE bytes=0;"},
	{{"POST"}, // what cannot be understood is absent
	 OK "x-ratelimit-limit-tokens: many\r\nx-ratelimit-remaining-tokens: -1\r\n"
	    "x-ratelimit-reset-tokens: soon\r\nopenai-processing-ms: 1.5\r\n"
	    "retry-after: Wed, 21 Oct 2026 07:28:00 GMT\r\n" EMPTY,
	 "HEAD 200;COMPLETE bytes=0;"},
	{{"POST"},
	 OK JSON "Content-Length: 22\r\n\r\n{\"error\":{\"code\":400}} ",
	 "HEAD 200;COMPLETE bytes=22 code=400 whole;OPAQUE;"},
	// Streams: the last usage wins, [DONE] is no event, other fields and comments are skipped.
	{{"POST"},
	 OK STREAM CLOSE
	 "data: {\"choices\":[{\"delta\":{}}],\"usage\":null}\n\n"
	 ": keep-alive\n\nevent: x\nid: 1\ndata:{\"usage\":{\"prompt_tokens\":1}}\n\n"
	 "datax: {}\n\ndata: {\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n"
	 "data: [DONE]\n\n",
	 "HEAD 200 stream;COMPLETE bytes=196 in=9 out=2;"},
	{{"POST"},
	 OK STREAM CLOSE "event: response.completed\r\ndata: {\"response\":{\"usage\":\r\n"
			 "data:  {\"input_tokens\":5,\"output_tokens\":6}}}\r\n\r\n",
	 "HEAD 200 stream;COMPLETE bytes=105 in=5 out=6;"},
	{{"POST"}, // line ends of one \r; no blank lines; a line that breaks off; the last without
		   // an end
	 OK STREAM CLOSE
	 "data: {\"a\":1}\rdata: {\"b\rdata: {}\r\rdata: {\"usage\":{\"output_tokens\":3}}",
	 "HEAD 200 stream;COMPLETE bytes=69 out=3;"},
	{{"POST"},
	 OK STREAM CLOSE "data: {\"type\":\"response.failed\",\"response\":{\"error\":"
			 "{\"code\":\"rate_limit_exceeded\",\"message\":\"m\"}}}\n\n",
	 "HEAD 200 stream;COMPLETE bytes=100 code=rate_limit_exceeded;"},
	// Pieces of output are counted: not the first event, which says the role, nor an empty last
	// one.
	{{"POST"},
	 OK STREAM CLOSE
	 "data: "
	 "{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"obfuscation\":"
	 "\"x\"}\n\n"
	 "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
	 "data: "
	 "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\","
	 "\"arguments\":\"\"}}]}}]}\n\n"
	 "data: "
	 "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"{\"}}]}}]}\n\n"
	 "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
	 "HEAD 200 stream;COMPLETE bytes=364 events=2;"},
	{{"POST"}, // completions
	 OK STREAM CLOSE
	 "data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"choices\":[{\"text\":\"\"}]}\n\n",
	 "HEAD 200 stream;COMPLETE bytes=67 events=1;"},
	{{"POST"}, // /responses: bookkeeping is no output
	 OK STREAM CLOSE
	 "data: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\n"
	 "data: "
	 "{\"type\":\"response.output_text.delta\",\"delta\":\"a\",\"obfuscation\":\"zz\"}\n\n"
	 "data: {\"type\":\"response.output_text.done\",\"text\":\"a\"}\n\n",
	 "HEAD 200 stream;COMPLETE bytes=192 events=1;"},
	// Anthropic: the input with the first event, and without what was cached; the output with
	// the last but one. What message_start says of the output is only its beginning.
	{{"POST"},
	 OK STREAM CLOSE
	 "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,"
	 "\"cache_creation_input_tokens\":3,\"cache_read_input_tokens\":20,\"output_tokens\":1}}}"
	 "\n\n"
	 "data: {\"type\":\"ping\"}\n\n"
	 "data: "
	 "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n"
	 "data: "
	 "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_"
	 "tokens\":7}}\n\n",
	 "HEAD 200 stream;COMPLETE bytes=348 in=33 out=7 cached=20 events=1;"},
	{{"POST"}, // one that breaks off has not said its output
	 OK STREAM CLOSE "data: "
			 "{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,"
			 "\"output_tokens\":1}}}\n\n"
			 "data: "
			 "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\","
			 "\"text\":\"a\"}}\n\n",
	 "HEAD 200 stream;COMPLETE bytes=169 in=10 events=1;"},
	{{"POST"},
	 OK JSON
	 "Content-Length: 74\r\n\r\n"
	 "{\"usage\":{\"input_tokens\":4,\"cache_read_input_tokens\":6,\"output_tokens\":2}}",
	 "HEAD 200;COMPLETE bytes=74 in=10 out=2 cached=6 whole;"},
	{{"POST"}, // and its limits, whose resets are times
	 OK "Date: Wed, 25 Nov 2026 20:00:00 GMT\r\nanthropic-ratelimit-requests-limit: 50\r\n"
	    "anthropic-ratelimit-requests-remaining: 49\r\n"
	    "anthropic-ratelimit-requests-reset: 2026-11-25T20:00:02Z\r\n"
	    "anthropic-ratelimit-tokens-limit: 9\r\nanthropic-ratelimit-tokens-remaining: 8\r\n"
	    "anthropic-ratelimit-input-tokens-limit: 30000\r\n"
	    "anthropic-ratelimit-input-tokens-remaining: 29000\r\n"
	    "anthropic-ratelimit-input-tokens-reset: 2026-11-25T19:59:00Z\r\n" EMPTY,
	 "HEAD 200 requests.limit=50 requests.remaining=49 requests.reset_ms=2000"
	 " tokens.limit=30000 tokens.remaining=29000 tokens.reset_ms=0;COMPLETE bytes=0;"},
	{{"POST"}, // seconds that two clocks have rounded: none of it may be left
	 OK "Date: Wed, 25 Nov 2026 20:00:00 GMT\r\n"
	    "anthropic-ratelimit-requests-reset: 2026-11-25T20:00:01Z\r\n" EMPTY,
	 "HEAD 200 requests.reset_ms=0;COMPLETE bytes=0;"},
	{{"POST"}, // Mistral, now and before
	 OK "x-ratelimit-limit-req-minute: 50\r\nx-ratelimit-remaining-req-minute: 48\r\n"
	    "x-ratelimit-limit-tokens-minute: 5000\r\n"
	    "x-ratelimit-remaining-tokens-minute: 4990\r\n" EMPTY,
	 "HEAD 200 requests.limit=50 requests.remaining=48 tokens.limit=5000"
	 " tokens.remaining=4990;COMPLETE bytes=0;"},
	{{"POST"},
	 OK "ratelimitbysize-limit: 2000000\r\nratelimitbysize-remaining: 1999967\r\n"
	    "ratelimitbysize-reset: 36\r\nratelimitbysize-query-cost: 33\r\n" EMPTY,
	 "HEAD 200 tokens.limit=2000000 tokens.remaining=1999967;COMPLETE bytes=0;"},
	{{"POST"}, // OpenRouter's are of what, nobody says
	 OK "X-RateLimit-Limit: 20\r\nX-RateLimit-Remaining: 0\r\n"
	    "X-RateLimit-Reset: 1764100800000\r\n" EMPTY,
	 "HEAD 200;COMPLETE bytes=0;"},
	// A batch's usage is that of requests which were made by others, and it is asked for again.
	{{"GET"},
	 OK JSON "\r\n{\"id\":\"b\",\"object\":\"batch\",\"usage\":{\"input_tokens\":50,"
		 "\"output_tokens\":9}}",
	 "HEAD 200;COMPLETE bytes=73 whole;"},
	{{"POST"},
	 OK JSON "\r\n{\"object\":\"response\",\"usage\":{\"input_tokens\":50,"
		 "\"output_tokens\":9}}",
	 "HEAD 200;COMPLETE bytes=67 in=50 out=9 whole;"},
	{{"POST"}, // a transcription's may be in tokens, or not
	 OK JSON "\r\n{\"text\":\"a\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":14,"
		 "\"input_token_details\":{\"audio_tokens\":14},\"output_tokens\":4}}",
	 "HEAD 200;COMPLETE bytes=116 in=14 out=4 whole;"},
	{{"POST"},
	 OK JSON "\r\n{\"text\":\"a\",\"usage\":{\"type\":\"duration\",\"seconds\":9}}",
	 "HEAD 200;COMPLETE bytes=52 whole;"},
	{{"POST"}, // Anthropic's errors, alone and within a stream
	 "HTTP/1.1 529 Overloaded\r\n" JSON "\r\n{\"type\":\"error\",\"error\":{\"type\":"
	 "\"overloaded_error\",\"message\":\"Overloaded\"}}",
	 "HEAD 529;COMPLETE bytes=75 type=overloaded_error whole;"},
	{{"POST"},
	 OK STREAM CLOSE "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"
			 "\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
	 "HEAD 200 stream;COMPLETE bytes=96 type=overloaded_error;"},
	{{"POST"}, // without a Date nobody knows how long that is
	 OK "anthropic-ratelimit-requests-reset: 2026-11-25T20:00:02Z\r\n" EMPTY,
	 "HEAD 200;COMPLETE bytes=0;"},
	// A body that is not what its Content-Encoding says is counted only.
	{{"POST"},
	 OK JSON
	 "Content-Encoding: gzip\r\nContent-Length: 29\r\n\r\n{\"usage\":{\"prompt_tokens\":9}}" OK
		 EMPTY,
	 "HEAD 200;COMPLETE bytes=29;HEAD 200;COMPLETE bytes=0;"},
	{{"POST"},
	 OK JSON "Content-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
	 "HEAD 200;COMPLETE bytes=2 whole;"},
	// No body, whatever the headers say.
	{{"HEAD", "GET", "HEAD", "POST"},
	 OK JSON "Content-Length: 500\r\n\r\n" OK EMPTY OK
		 "Transfer-Encoding: chunked\r\n\r\n" OK EMPTY,
	 "HEAD 200;COMPLETE bytes=0;HEAD 200;COMPLETE bytes=0;"
	 "HEAD 200;COMPLETE bytes=0;HEAD 200;COMPLETE bytes=0;"},
	{{"GET", "GET", "GET"},
	 "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"
	 "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n" OK EMPTY,
	 "HEAD 204;COMPLETE bytes=0;HEAD 304;COMPLETE bytes=0;HEAD 200;COMPLETE bytes=0;"},
	// 1xx comes before the response that counts; HEAD is still waiting for its own.
	{{"HEAD", "POST"},
	 "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n"
	 "x-ratelimit-limit-tokens: 1\r\n\r\n" OK "Content-Length: 3\r\n\r\n" OK
	 "Content-Length: 3\r\n\r\nabc",
	 "HEAD 200;COMPLETE bytes=0;HEAD 200;COMPLETE bytes=3;"},
	// Until the connection ends.
	{{"GET"},
	 OK JSON "\r\n{\"usage\":{\"prompt_tokens\":9}}",
	 "HEAD 200;COMPLETE bytes=29 in=9 whole;"},
	{{"GET"},
	 "HTTP/1.0 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
	 "HEAD 200;COMPLETE bytes=3;"},
	{{"GET"}, OK "Content-Length: 5\r\n\r\nabc", "HEAD 200;"}, // cut short: never complete
	// Not HTTP any more.
	{{"GET"},
	 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
	 "Upgrade\r\n\r\n\x82\x05hello",
	 "UPGRADED 101;"},
	{{"GET"}, "HTTP/1.1 101 Switching Protocols\r\n\r\nxyz", "UPGRADED 101;"},
	{{"CONNECT"}, OK "Content-Length: 5\r\n\r\nabc", "UPGRADED 200;"},
	{{"CONNECT", "GET"},
	 "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno" OK EMPTY,
	 "HEAD 403;COMPLETE bytes=2;HEAD 200;COMPLETE bytes=0;"},
	// Nobody asked.
	{{NULL},
	 "HTTP/1.1 408 Request Timeout\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
	 "HEAD 408;COMPLETE bytes=2;"},
	{{"GET"}, "HTTP/2 200\r\n\r\n", "OPAQUE;"},
	{{"GET"}, "<html>", "OPAQUE;"},
	{{"GET"}, OK "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "OPAQUE;"},
};

static void streams_are_read_however_they_are_cut(void **state)
{
	static struct note note;

	(void)state;
	for (size_t i = 0; i < LENGTH(streams); i++) {
		const char *const sent[] = {streams[i].methods[0], streams[i].methods[1],
					    streams[i].methods[2], streams[i].methods[3], NULL};

		methods = sent;
		replay_all_ways(&replay, streams[i].bytes, strlen(streams[i].bytes), &note);
		assert_string_equal(note.text, streams[i].said);
		methods = NULL;
	}
}

static const struct {
	const char *error; // the members of the body's "error"
	const char *said;
} refusals[] = {
	{"\"message\":\"Rate limit reached for gpt-4o in organization "
	 "org-abcdefghijklmnopqrstuvwxyz on "
	 "tokens per min (TPM): Limit 30000, Used 30000, Requested 890. Please try again in 1.78s. "
	 "Visit https://platform.openai.com/account/rate-limits to learn "
	 "more.\",\"type\":\"tokens\"",
	 " type=tokens again_ms=1780 limit=tokens"},
	{"\"type\":\"requests\",\"message\":\"Rate limit reached for gpt-4 on requests per day "
	 "(RPD): Limit "
	 "200, Used 200, Requested 1. Please try again in 7m12s.\"",
	 " type=requests again_ms=432000 limit=requests by_day"},
	{"\"message\":\"on requests per min (RPM): Limit 3. Please try again in 20s. Contact us\"",
	 " again_ms=20000 limit=requests"},
	{"\"message\":\"on tokens per day (TPD): Please\\ntry  again in "
	 "20ms\",\"type\":\"requests\"",
	 " type=requests again_ms=20 limit=tokens by_day"},
	{"\"message\":\"on images per minute (IPM): Please try again in 6m0s.\"",
	 " again_ms=360000 limit=images"},
	{"\"message\":\"on input-images per min: Limit 5\",\"type\":\"input-images\"",
	 " type=input-images limit=images"},
	{"\"type\":\"requests\"", " type=requests limit=requests"},
	{"\"message\":\"The first (RPM) counts, (TPD) does not\"", " limit=requests"},
	// What only looks like it.
	{"\"message\":\"try again in 2 minutes, again in a while, in 5s, again 5s, (TPM\"", ""},
	{"\"message\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx(TPM) again in\"", ""},
	{"\"message\":\"again in 1111111111111111111111111111111111111111111111s\"", ""},
	{"\"message\":{\"message\":\"again in 5s\"},\"param\":\"again in 5s (TPM)\"", ""},
	{"\"message\":5,\"code\":null", ""},
	// No retry helps.
	{"\"message\":\"You exceeded your current "
	 "quota\",\"type\":\"insufficient_quota\",\"code\":\"x\"",
	 " code=x type=insufficient_quota exhausted"},
	{"\"code\":\"credit_balance_exhausted\",\"type\":\"y\"",
	 " code=credit_balance_exhausted type=y exhausted"},
	{"\"code\":\"project_spend_limit_exceeded\"",
	 " code=project_spend_limit_exceeded exhausted"},
	{"\"code\":\"spend_limit_exceeded_not\"", " code=spend_limit_exceeded_not"},
};

// A refusal names the limit that was reached, and when to come again; the wrong one would be shut,
// or for the wrong time.
static void refusals_say_which_limit_and_how_long(void **state)
{
	static struct note note;
	static const char *const sent[] = {"POST", NULL};
	char bytes[1024], said[256];

	(void)state;
	methods = sent;
	for (size_t i = 0; i < LENGTH(refusals); i++) {
		size_t length = strlen(refusals[i].error) + strlen("{\"error\":{}}");

		snprintf(bytes, sizeof(bytes),
			 "HTTP/1.1 429 No\r\n" JSON "Content-Length: %zu\r\n\r\n{\"error\":{%s}}",
			 length, refusals[i].error);
		snprintf(said, sizeof(said), "HEAD 429;COMPLETE bytes=%zu%s whole;", length,
			 refusals[i].said);
		replay_all_ways(&replay, bytes, strlen(bytes), &note);
		assert_string_equal(note.text, said);
	}
	methods = NULL;
}

// One message that broke off says nothing about the next one.
static void a_lost_message_is_forgotten(void **state)
{
	static const char stream[] =
		OK STREAM "\r\ndata: {\"error\":{\"message\":\"please try again in ";
	static const char rest[] = "\n\ndata: {\"error\":{\"message\":\"5s (RPM)\"}}\n\n";
	static struct note note;
	struct response_reader *reader = response_reader_new(on_event, &note);

	(void)state;
	assert_non_null(reader);
	note.used = 0;
	response_reader_feed(reader, 0, stream, sizeof(stream) - 1);
	response_reader_skip(reader, sizeof(stream) - 1, 100);
	response_reader_feed(reader, sizeof(stream) + 99, rest, sizeof(rest) - 1);
	response_reader_end(reader);
	response_reader_free(reader);
	assert_non_null(strstr(note.text, " limit=requests;"));
}

static struct response_reader *open_with(struct note *note, const char *bytes)
{
	struct response_reader *reader = response_reader_new(on_event, note);

	assert_non_null(reader);
	note->used = 0;
	note->text[0] = '\0';
	response_reader_expect(reader, "POST");
	response_reader_feed(reader, 0, bytes, strlen(bytes));
	return reader;
}

static void gaps(void **state)
{
	static const char known[] = OK JSON "Content-Length: 50\r\n\r\n{";
	static const char until_close[] = OK STREAM "\r\ndata: {}\n\n";
	static const char stream[] =
		OK STREAM "Transfer-Encoding: chunked\r\n\r\n41\r\ndata: {\"a\":[";
	static const char rest[] =
		"\"usage\"}}\n\ndata: {\"usage\":{\"output_tokens\":7}}\n\n\r\n0\r\n\r\n";
	static const char chunked[] = OK "Transfer-Encoding: chunked\r\n\r\n9\r\na";
	static struct note note;
	struct response_reader *reader = open_with(&note, known);

	(void)state;
	response_reader_skip(reader, sizeof(known) - 1, 49);
	response_reader_feed(reader, sizeof(known) + 48, OK EMPTY, strlen(OK EMPTY));
	response_reader_free(reader);
	assert_string_equal(note.text, "HEAD 200;COMPLETE bytes=50;HEAD 200;COMPLETE bytes=0;");

	reader = open_with(&note, until_close);
	response_reader_skip(reader, sizeof(until_close) - 1, 1000);
	response_reader_end(reader);
	response_reader_feed(reader, sizeof(until_close) + 999, OK EMPTY, strlen(OK EMPTY));
	response_reader_free(reader);
	assert_string_equal(note.text, "HEAD 200 stream;COMPLETE bytes=1010;");

	reader = open_with(&note, stream); // the gap ends within a line, which is lost as well
	response_reader_skip(reader, sizeof(stream) - 1, 5);
	response_reader_feed(reader, sizeof(stream) + 4, rest, sizeof(rest) - 1);
	response_reader_free(reader);
	assert_string_equal(note.text, "HEAD 200 stream;COMPLETE bytes=65 out=7;");

	reader = open_with(&note, chunked);
	response_reader_skip(reader, sizeof(chunked) - 1, 9);
	response_reader_free(reader);
	assert_string_equal(note.text, "HEAD 200;OPAQUE;");
}

static void long_error_codes_are_cut(void **state)
{
	static struct note note;
	struct response_reader *reader;

	(void)state;
	reader = open_with(&note, OK JSON
			   "\r\n{\"error\":{\"code\":\"0123456789012345678901234567890123456789"
			   "0123456789\",\"type\":\"0123456789012345678901234567890123456789\"}}");
	response_reader_end(reader);
	response_reader_free(reader);
	assert_non_null(strstr(note.text, " code=01234567890123456789012345678901234567890123456 "
					  "type=0123456789012345678901234567890 "));
}

static void too_many_requests_without_response(void **state)
{
	static struct note note;
	struct response_reader *reader = open_with(&note, "");

	(void)state;
	for (int i = 1; i < 64; i++)
		response_reader_expect(reader, "POST");
	assert_string_equal(note.text, "");
	response_reader_expect(reader, "POST");
	assert_string_equal(note.text, "OPAQUE;");
	response_reader_free(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_are_read_however_they_are_cut),
		cmocka_unit_test(refusals_say_which_limit_and_how_long),
		cmocka_unit_test(a_lost_message_is_forgotten),
		cmocka_unit_test(gaps),
		cmocka_unit_test(long_error_codes_are_cut),
		cmocka_unit_test(too_many_requests_without_response),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
