// Asks sluiced over its Unix socket, and explains it when there is no answer.
#ifndef SLUICE_CLI_CLIENT_H
#define SLUICE_CLI_CLIENT_H

#include <stddef.h>

struct cli;
struct json_object;

struct reply {
	int status; // HTTP
	char *body; // as it came, NUL-terminated
	size_t length;
	struct json_object *json; // the same, parsed; NULL is JSON's null, or it is YAML
};

// One request, one answer with any HTTP status. 0 or a negative errno: of the socket; -ETIMEDOUT:
// no answer within 10 s; -EPROTO: not an answer in HTTP, or a part of one; -EBADMSG: not JSON where
// it should be. The caller clears the reply after a 0.
int client_request(const struct cli *cli, const char *method, const char *path, struct reply *ret);

// The same, as POST with a body; NULL: out of memory for it.
int client_post(const struct cli *cli, const char *path, struct json_object *body,
		struct reply *ret);

// GET that takes nothing but a 200: -EREMOTEIO for any other.
int client_get(const struct cli *cli, const char *path, struct reply *ret);

// Says on stderr what was tried, how it failed, and what to do. Returns CLI_FAILED.
int client_failed(const struct cli *cli, int error);
// The same in short, for a place of `size` bytes.
void client_explain(const struct cli *cli, int error, char *text, size_t size);

void reply_clear(struct reply *reply);

#endif
