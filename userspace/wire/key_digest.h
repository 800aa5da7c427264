// The fingerprint of an API key: the first 16 hex digits of its SHA-256 (64 bits: two of a million
// keys share one with a chance of 1 in 37 million).
//
// The key is hashed as its pieces arrive, so no copy of it is ever made here, and a key of any
// length is hashed whole. libcrypto's block buffer, the one place where up to 64 of its bytes stay
// between two pieces, is cleared by key_digest_finish(), _abandon() and _release().
#ifndef SLUICE_WIRE_KEY_DIGEST_H
#define SLUICE_WIRE_KEY_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <openssl/evp.h>

#define KEY_DIGEST_TEXT 17 // 16 hex digits and the terminator

struct key_digest {
	EVP_MD_CTX *context;
	enum { KEY_IDLE, KEY_SCHEME, KEY_SPACE, KEY_TOKEN, KEY_OVER, KEY_NONE } stage;
	unsigned char scheme_matched; // bytes of "Bearer" seen
	bool has_token;
};

int key_digest_init(struct key_digest *digest); // 0 or -ENOMEM
void key_digest_release(struct key_digest *digest);

// `is_bearer`: the value is "Bearer KEY" (RFC 6750, the scheme in any case) and not the bare key.
void key_digest_begin(struct key_digest *digest, bool is_bearer);
void key_digest_feed(struct key_digest *digest, const char *bytes, size_t len);
// Writes the digits, or "" if the header held no key (another scheme, or an empty value).
void key_digest_finish(struct key_digest *digest, char ret_text[KEY_DIGEST_TEXT]);
// Forgets a key that was not read to its end.
void key_digest_abandon(struct key_digest *digest);

#endif
