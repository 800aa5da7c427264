// See key.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/key.h"
#include "wire/key_digest.h"

#define ENVIRONMENT_PREFIX "env:"
#define DIGITS (KEY_DIGEST_TEXT - 1)

_Static_assert(sizeof(((struct cli *)0)->digest) == KEY_DIGEST_TEXT, "room for a digest");

bool key_is_secret(const char *value)
{
	return !strncmp(value, "sk-", 3) ||
	       !strncmp(value, ENVIRONMENT_PREFIX, strlen(ENVIRONMENT_PREFIX));
}

static bool is_digest(const char *value)
{
	return strlen(value) == DIGITS && strspn(value, "0123456789abcdef") == DIGITS;
}

static int take_digest(struct cli *cli, const char *key)
{
	struct key_digest digest;

	if (key_digest_init(&digest))
		return cli_misuse("--key: out of memory");
	key_digest_begin(&digest, false);
	key_digest_feed(&digest, key, strlen(key));
	key_digest_finish(&digest, cli->digest);
	key_digest_release(&digest);
	cli->key = cli->digest;
	return *cli->digest ? CLI_OK : cli_misuse("--key: expected a key, but it is empty");
}

int key_take(struct cli *cli, char *value)
{
	const char *name = value + strlen(ENVIRONMENT_PREFIX), *key;
	int result;

	if (is_digest(value)) {
		cli->key = value;
		return CLI_OK;
	}
	if (!strncmp(value, ENVIRONMENT_PREFIX, strlen(ENVIRONMENT_PREFIX))) {
		key = getenv(name);
		return key ? take_digest(cli, key)
			   : cli_misuse("--key: the environment has no %s", name);
	}
	result = take_digest(cli, value);
	memset(value, 'x', strlen(value));
	return result;
}
