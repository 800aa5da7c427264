// API key fingerprints, see key_digest.h.
#include "wire/key_digest.h"

#include <errno.h>
#include <stdio.h>
#include <openssl/crypto.h>

int key_digest_init(struct key_digest *digest)
{
	*digest = (struct key_digest){.stage = KEY_IDLE, .context = EVP_MD_CTX_new()};
	return digest->context ? 0 : -ENOMEM;
}

void key_digest_release(struct key_digest *digest)
{
	EVP_MD_CTX_free(digest->context);
	digest->context = NULL;
}

void key_digest_begin(struct key_digest *digest, bool is_bearer)
{
	digest->scheme_matched = 0;
	digest->has_token = false;
	digest->stage = is_bearer ? KEY_SCHEME : KEY_TOKEN;
	if (!EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL))
		digest->stage = KEY_NONE;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

// One byte of "Bearer ", in front of the key.
static void feed_scheme(struct key_digest *digest, char c)
{
	static const char scheme[] = "bearer";

	if (digest->scheme_matched == sizeof(scheme) - 1)
		digest->stage = is_space(c) ? KEY_SPACE : KEY_NONE;
	else if ((c | 0x20) == scheme[digest->scheme_matched])
		digest->scheme_matched++;
	else
		digest->stage = KEY_NONE;
}

// The key ends at the first space: RFC 6750's b64token has none.
static void feed_token(struct key_digest *digest, const char *bytes, size_t len)
{
	size_t n = 0;

	while (n < len && !is_space(bytes[n]))
		n++;
	if (n) {
		digest->has_token = true;
		if (!EVP_DigestUpdate(digest->context, bytes, n))
			digest->stage = KEY_NONE;
	}
	if (n < len)
		digest->stage = KEY_OVER;
}

void key_digest_feed(struct key_digest *digest, const char *bytes, size_t len)
{
	for (; len && digest->stage == KEY_SCHEME; bytes++, len--)
		feed_scheme(digest, *bytes);
	for (; len && digest->stage == KEY_SPACE && is_space(*bytes); bytes++, len--)
		;
	if (len && digest->stage == KEY_SPACE)
		digest->stage = KEY_TOKEN;
	if (len && digest->stage == KEY_TOKEN)
		feed_token(digest, bytes, len);
}

void key_digest_finish(struct key_digest *digest, char ret_text[KEY_DIGEST_TEXT])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	bool is_hashed = digest->has_token && digest->stage != KEY_NONE &&
			 EVP_DigestFinal_ex(digest->context, hash, NULL);

	ret_text[0] = '\0';
	for (size_t i = 0; is_hashed && i < (KEY_DIGEST_TEXT - 1) / 2; i++)
		snprintf(ret_text + 2 * i, 3, "%02x", hash[i]);
	OPENSSL_cleanse(hash, sizeof(hash));
	key_digest_abandon(digest);
}

void key_digest_abandon(struct key_digest *digest)
{
	EVP_MD_CTX_reset(digest->context);
	digest->stage = KEY_IDLE;
	digest->has_token = false;
}
