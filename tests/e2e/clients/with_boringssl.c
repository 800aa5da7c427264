// BoringSSL, as Chromium and gRPC carry it: a request after another on one connection, HTTP/1.1.
//   boringssl-client PORT CA KEY wait|go (ID BODY-FILE)...
// plan.py says what it tells.
#include <arpa/inet.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#define HOST "api.openai.com"
enum { ANSWER_BYTES = 1 << 20 };

struct client {
	const char *port, *key;
	SSL *tls;
};

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static SSL *connect_to(const char *port, const char *ca)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(atoi(port)),
				 .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	SSL_CTX *context = SSL_CTX_new(TLS_method());
	SSL *tls;

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) ||
	    !SSL_CTX_load_verify_locations(context, ca, NULL))
		return NULL;
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	tls = SSL_new(context);
	SSL_set_tlsext_host_name(tls, HOST);
	SSL_set_fd(tls, fd);
	return SSL_connect(tls) == 1 ? tls : NULL;
}

static char *read_file(const char *path, size_t *ret_bytes)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, ANSWER_BYTES);

	if (!file || !text)
		exit(2);
	*ret_bytes = fread(text, 1, ANSWER_BYTES - 1, file);
	fclose(file);
	return text;
}

static void tell_sending(const char *id, const char *body, size_t bytes)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)body, bytes, digest);
	printf("{\"event\": \"sending\", \"id\": \"%s\", \"t\": %.6f, \"bytes\": %zu, \"sha256\": "
	       "\"",
	       id, now_s(), bytes);
	for (size_t i = 0; i < sizeof(digest); i++)
		printf("%02x", digest[i]);
	printf("\"}\n");
	fflush(stdout);
}

static int send_request(struct client *c, const char *id, const char *body, size_t bytes)
{
	char *all = calloc(1, bytes + 1024);
	int head = snprintf(all, 1024,
			    "POST /v1/chat/completions HTTP/1.1\r\nHost: " HOST ":%s\r\n"
			    "Authorization: Bearer %s\r\nX-Test-Id: %s\r\n"
			    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
			    c->port, c->key, id, bytes);
	int sent;

	memcpy(all + head, body, bytes);
	sent = SSL_write(c->tls, all, head + (int)bytes);
	free(all);
	return sent > 0;
}

// The answer's status, 0 if the connection ended first. Its body is left behind *ret_body, with its
// end.
static int read_answer(struct client *c, char *answer, const char **ret_body)
{
	int n = 0, status = 0;

	while (n < ANSWER_BYTES - 1) {
		int got = SSL_read(c->tls, answer + n, ANSWER_BYTES - 1 - n);
		const char *length, *end;

		if (got <= 0)
			return 0;
		answer[n += got] = 0;
		end = strstr(answer, "\r\n\r\n");
		length = strcasestr(answer, "\r\ncontent-length:");
		if (!end || !length || answer + n < end + 4 + atoi(length + 17))
			continue;
		*ret_body = end + 4;
		sscanf(answer, "HTTP/1.1 %d", &status);
		return status;
	}
	return 0;
}

static void ask(struct client *c, const char *id, const char *path)
{
	static char answer[ANSWER_BYTES];
	const char *text, *usage;
	size_t bytes;
	char *body = read_file(path, &bytes);
	double begin_s = now_s();
	int status = 0;

	tell_sending(id, body, bytes);
	if (c->tls && send_request(c, id, body, bytes))
		status = read_answer(c, answer, &text);
	printf("{\"event\": \"%s\", \"id\": \"%s\", \"t\": %.6f, \"ms\": %.3f, ",
	       status ? "done" : "error", id, now_s(), (now_s() - begin_s) * 1e3);
	// Its usage is the last thing in the JSON, and so what follows is its end.
	usage = status ? strstr(text, "\"usage\":") : NULL;
	if (status)
		printf("\"status\": %d, \"deltas\": 0, %s\n", status,
		       usage ? usage : "\"usage\": null}");
	else
		printf("\"name\": \"connection ended\", \"message\": \"\"}\n");
	fflush(stdout);
	free(body);
}

int main(int argc, char **argv)
{
	struct client client;

	if (argc < 5)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	client = (struct client){.port = argv[1], .key = argv[3]};
	if (!strcmp(argv[4], "wait")) {
		puts("{\"event\": \"ready\"}");
		fflush(stdout);
		getchar();
	}
	client.tls = connect_to(argv[1], argv[2]);
	for (int i = 5; i + 1 < argc; i += 2)
		ask(&client, argv[i], argv[i + 1]);
	return 0;
}
