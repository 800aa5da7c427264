// An API key on the command line is a secret: it is replaced with its digest at once, and its place
// in the command line, which ps(1) shows, is overwritten.
#ifndef SLUICE_CLI_KEY_H
#define SLUICE_CLI_KEY_H

#include <stdbool.h>

struct cli;

// Sets cli->key to the digest of the key that `value` says: 16 hex digits are a digest already;
// "env:NAME" is the key in that variable; anything else is the key. CLI_OK or CLI_USAGE.
int key_take(struct cli *cli, char *value);
// It begins as API keys, and their names in the environment, do.
bool key_is_secret(const char *value);

#endif
