// The texts of the policy language: names, hosts, cgroups, units, users and globs. See values.h.
// Each is checked here for what a person is likely to get wrong (a URL for a host, "nginx" for
// "nginx.service", an API key for its hash), because a pattern that can never match is silent.
#include "config/values.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define NAME_BYTES_MAX 64
#define GLOB_BYTES_MAX 256
#define HOST_BYTES_MAX 253    // RFC 1035 section 2.3.4, as text
#define LABEL_BYTES_MAX 63    // the same section
#define CGROUP_BYTES_MAX 4095 // PATH_MAX without its NUL
#define UNIT_BYTES_MAX 255    // UNIT_NAME_MAX of systemd, without its NUL
#define KEY_HASH_DIGITS 16
#define SHA256_DIGITS 64
#define LABEL_NAME_BYTES_MAX 128
#define HEADER_PREFIX "http.header."
#define APERTURE_HEADER_PREFIX "http.request.header."
#define METADATA_PREFIX "body.metadata."
#define WILDCARDS "*?[]\\"

static int refuse(struct value_error *error, const char *problem, const char *expected)
{
	*error = (struct value_error){.problem = problem, .expected = expected};
	return -EINVAL;
}

static int copy_text(const char *text, void *ret)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	*(char **)ret = copy;
	return 0;
}

// They would break messages, metrics and tab-separated output.
static bool has_control_characters(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	return false;
}

// What all of them have in common. 0, or the problem is noted.
static int check_text(const char *text, size_t bytes_max, const char *expected,
		      struct value_error *error)
{
	if (!*text)
		return refuse(error, "is empty", expected);
	if (strlen(text) > bytes_max)
		return refuse(error, "is too long", expected);
	if (has_control_characters(text))
		return refuse(error, "holds control characters", expected);
	if (isspace((unsigned char)*text) || isspace((unsigned char)text[strlen(text) - 1]))
		return refuse(error, "begins or ends with a space", expected);
	return 0;
}

int value_name(const char *text, void *ret, struct value_error *error)
{
	static const char expected[] = "a name of at most 64 bytes";
	int err = check_text(text, NAME_BYTES_MAX, expected, error);

	if (err)
		return err;
	if (strpbrk(text, WILDCARDS)) // match: {team: …} is a glob over names
		return refuse(error, "holds one of " WILDCARDS, "a name without wildcards");
	return copy_text(text, ret);
}

// fnmatch(3) takes an unclosed "[" for a plain character, so that the pattern matches nothing.
static bool brackets_are_closed(const char *glob)
{
	while ((glob = strchr(glob, '['))) {
		glob += 1 + (glob[1] == '!' || glob[1] == '^');
		glob = *glob ? strchr(glob + 1, ']') : NULL; // a leading "]" is a member
		if (!glob)
			return false;
	}
	return true;
}

static int check_glob(const char *text, size_t bytes_max, const char *expected,
		      struct value_error *error)
{
	int err = check_text(text, bytes_max, expected, error);

	if (!err && !brackets_are_closed(text))
		err = refuse(error, "has an unclosed [", expected);
	return err;
}

// Of limits. No name of a model, user or endpoint holds a backslash, so one is a mistake; cgroups
// and units may hold them (systemd-escape(1)), and there they stand for themselves.
static int check_match_glob(const char *text, const char *expected, struct value_error *error)
{
	int err = check_glob(text, GLOB_BYTES_MAX, expected, error);

	if (!err && strchr(text, '\\'))
		err = refuse(error, "holds a backslash", expected);
	return err;
}

int value_glob(const char *text, void *ret, struct value_error *error)
{
	int err = check_match_glob(text, "a pattern such as gpt-4* or *", error);

	return err ? err : copy_text(text, ret);
}

int value_endpoint(const char *text, void *ret, struct value_error *error)
{
	static const char expected[] =
		"a path pattern such as /v1/chat/completions or */embeddings";
	int err = check_match_glob(text, expected, error);

	if (err)
		return err;
	if (*text != '/' && *text != '*')
		return refuse(error, "does not begin with / or *", expected);
	return copy_text(text, ret);
}

static const char EXPECTED_KEY_HASH[] =
	"the first 16 hex digits of the key's SHA-256 (printf %s \"$OPENAI_API_KEY\" | sha256sum | "
	"cut -c1-16)";

static int copy_lower(const char *text, size_t length, void *ret)
{
	char *lower = strndup(text, length);

	if (!lower)
		return -ENOMEM;
	for (char *at = lower; *at; at++)
		*at = (char)tolower((unsigned char)*at);
	*(char **)ret = lower;
	return 0;
}

int value_key_hash(const char *text, void *ret, struct value_error *error)
{
	int err;

	if (!strpbrk(text, WILDCARDS))
		return value_key_digest(text, ret, error);
	err = check_match_glob(text, EXPECTED_KEY_HASH, error);
	if (err)
		return err;
	if (strspn(text, "0123456789abcdefABCDEF*?[]!^-") != strlen(text))
		return refuse(error, "is no hash of a key", EXPECTED_KEY_HASH);
	return copy_lower(text, strlen(text), ret);
}

int value_key_digest(const char *text, void *ret, struct value_error *error)
{
	size_t length = strlen(text);

	if (strspn(text, "0123456789abcdefABCDEF") != length ||
	    (length != KEY_HASH_DIGITS && length != SHA256_DIGITS))
		return refuse(error, "is no hash of a key", EXPECTED_KEY_HASH);
	return copy_lower(text, KEY_HASH_DIGITS, ret);
}

int value_text(const char *text, void *ret, struct value_error *error)
{
	int err = check_text(text, GLOB_BYTES_MAX, "a text of at most 256 bytes", error);

	return err ? err : copy_text(text, ret);
}

// The name under which the label table has it: a header's has no case (RFC 9110 section 5.1), and
// Aperture's Envoy writes "http.request.header.x_user" for what is "http.header.x-user" here.
static int copy_label(const char *text, void *ret)
{
	char *copy;

	if (strncasecmp(text, HEADER_PREFIX, strlen(HEADER_PREFIX)) == 0)
		return copy_lower(text, strlen(text), ret);
	if (strncmp(text, APERTURE_HEADER_PREFIX, strlen(APERTURE_HEADER_PREFIX)) != 0)
		return copy_text(text, ret);
	if (asprintf(&copy, HEADER_PREFIX "%s", text + strlen(APERTURE_HEADER_PREFIX)) < 0)
		return -ENOMEM;
	for (char *at = copy + strlen(HEADER_PREFIX); *at; at++)
		*at = *at == '_' ? '-' : (char)tolower((unsigned char)*at);
	*(char **)ret = copy;
	return 0;
}

int value_any_label(const char *text, void *ret, struct value_error *error)
{
	int err = check_text(text, LABEL_NAME_BYTES_MAX, "a label of at most 128 bytes", error);

	return err ? err : copy_label(text, ret);
}

int value_label(const char *text, void *ret, struct value_error *error)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"; // RFC 9110 section 5.6.2
	const char *header = text + strlen(HEADER_PREFIX);

	if (strncmp(text, "http.", 5) == 0 &&
	    strncmp(text, APERTURE_HEADER_PREFIX, strlen(APERTURE_HEADER_PREFIX)) != 0 &&
	    (strncasecmp(text, HEADER_PREFIX, strlen(HEADER_PREFIX)) != 0 || !*header ||
	     strspn(header, token) != strlen(header)))
		return refuse(error, "is no label", "http.header.NAME");
	if (strncmp(text, "body.", 5) == 0 && strcmp(text, "body.user") != 0 &&
	    strcmp(text, "body.safety_identifier") != 0 &&
	    (strncmp(text, METADATA_PREFIX, strlen(METADATA_PREFIX)) != 0 ||
	     !text[strlen(METADATA_PREFIX)]))
		return refuse(error, "is no label",
			      "body.user, body.safety_identifier or body.metadata.KEY");
	return value_any_label(text, ret, error);
}

// RFC 1123 section 2.1, and underscores, which some resolvers serve.
static bool is_host_name(const char *text)
{
	bool last_is_number = false;

	if (!*text || strlen(text) > HOST_BYTES_MAX)
		return false;
	for (;;) {
		size_t length = strcspn(text, ".");

		if (length == 0 || length > LABEL_BYTES_MAX || *text == '-' ||
		    text[length - 1] == '-')
			return false;
		last_is_number = true;
		for (size_t i = 0; i < length; i++) {
			unsigned char c = (unsigned char)text[i];
			if (c >= 0x80 || !(isalnum(c) || c == '-' || c == '_'))
				return false;
			last_is_number = last_is_number && isdigit(c);
		}
		if (!text[length])
			return !last_is_number; // "1.2.3" is a broken address
		text += length + 1;
	}
}

// An address is kept as inet_ntop(3) writes it, so that equal ones are equal texts.
static bool canonical_address(const char *text, char *out, socklen_t size)
{
	unsigned char address[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, text, address) == 1)
		return inet_ntop(AF_INET, address, out, size);
	if (inet_pton(AF_INET6, text, address) == 1)
		return inet_ntop(AF_INET6, address, out, size);
	return false;
}

int value_host(const char *text, void *ret, struct value_error *error)
{
	static const char expected[] =
		"a host name such as api.openai.com, *.suffix, or an IP address";
	char lower[HOST_BYTES_MAX + 3], address[INET6_ADDRSTRLEN]; // with "*." and the NUL
	size_t length = 0;

	if (!*text)
		return refuse(error, "is empty", expected);
	if (canonical_address(text, address, sizeof(address)))
		return copy_text(address, ret);
	if (strchr(text, '/'))
		return refuse(error, "holds more than a host", expected);
	if (strchr(text, ':'))
		return refuse(error, "is neither a host name nor an IP address",
			      "a host name or an IP address; a port goes into ports");

	const char *name = strncmp(text, "*.", 2) == 0 ? text + 2 : text;
	if (strpbrk(name, WILDCARDS))
		return refuse(error, "has a wildcard where none can be",
			      "wildcards only as *.suffix at the beginning");
	if (!is_host_name(name))
		return refuse(error, "is no host name", expected);
	for (; text[length]; length++)
		lower[length] = (char)tolower((unsigned char)text[length]);
	lower[length] = '\0';
	return copy_text(lower, ret);
}

int value_cgroup(const char *text, void *ret, struct value_error *error)
{
	static const char expected[] =
		"a path below the cgroup mount, such as /chat.slice or \"/review-*.slice\"";
	int err = check_glob(text, CGROUP_BYTES_MAX, expected, error);
	CLEANUP_FREE char *copy = NULL;

	if (err)
		return err;
	if (*text != '/')
		return refuse(error, "does not begin with /", expected);
	if (strncmp(text, "/sys/fs/cgroup", strlen("/sys/fs/cgroup")) == 0)
		return refuse(error, "names the mount itself", expected);
	if (strstr(text, "//") || strstr(text, "/../") || strstr(text, "/./"))
		return refuse(error, "is not in its shortest form", expected);
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	size_t length = strlen(copy);
	if (length > 1 && copy[length - 1] == '/')
		copy[length - 1] = '\0';
	*(char **)ret = TAKE_PTR(copy);
	return 0;
}

int value_unit(const char *text, void *ret, struct value_error *error)
{
	// The types of unit that own a cgroup: systemd.resource-control(5).
	static const char *const suffixes[] = {".service", ".slice", ".scope", ".socket",
					       ".mount",   ".swap",  NULL};
	static const char expected[] =
		"a unit with its suffix, such as nginx.service or \"worker@*.service\"";
	int err = check_glob(text, UNIT_BYTES_MAX, expected, error);
	const char *suffix = strrchr(text, '.');

	if (err)
		return err;
	if (strchr(text, '/'))
		return refuse(error, "is a path", expected);
	for (size_t i = 0; suffix && suffix > text && suffixes[i]; i++)
		if (strcmp(suffix, suffixes[i]) == 0)
			return copy_text(text, ret);
	return refuse(error, "has no suffix of a unit", expected);
}

int value_user(const char *text, void *ret, struct value_error *error)
{
	static const char expected[] = "a user's name or numeric id";
	int err = check_text(text, GLOB_BYTES_MAX, expected, error);

	if (err)
		return err;
	if (*text == '-' || strpbrk(text, WILDCARDS ":/ ,"))
		return refuse(error, "is no user", expected);
	// A number that no uid can be would never match; 2^32 - 1 means "none" to the kernel.
	if (strspn(text, "0123456789") == strlen(text) &&
	    (strlen(text) > 10 || strtoull(text, NULL, 10) >= UINT32_MAX))
		return refuse(error, "is out of range", "a numeric id from 0 to 4294967294");
	return copy_text(text, ret);
}
