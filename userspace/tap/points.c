// See points.h.
#include "tap/points.h"
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tap/elf_symbols.h"
#include "tap/go_code.h"
#include "tap/go_functions.h"
#include "tap/inner_call.h"

enum { MAX_POINTS = 128 };

enum function {
	WRITE,
	WRITE_EX,
	READ,
	READ_EX,
	SEND,
	SEND2,
	SEND_RANGE,
	RECV,
	UNCORK,
	FUNCTIONS,
};

static const char *const function_names[FUNCTIONS] = {
	[WRITE] = "SSL_write",
	[WRITE_EX] = "SSL_write_ex",
	[READ] = "SSL_read",
	[READ_EX] = "SSL_read_ex",
	[SEND] = "gnutls_record_send",
	[SEND2] = "gnutls_record_send2",
	[SEND_RANGE] = "gnutls_record_send_range",
	[RECV] = "gnutls_record_recv",
	[UNCORK] = "gnutls_record_uncork",
};

static const struct {
	enum probe at_entry, at_return;
} function_probes[FUNCTIONS] = {
	[WRITE] = {PROBE_SSL_WRITE, PROBE_WRITE_RETURN},
	[WRITE_EX] = {PROBE_SSL_WRITE_EX, PROBE_WRITE_RETURN},
	[READ] = {PROBE_READ, PROBE_READ_RETURN},
	[READ_EX] = {PROBE_SSL_READ_EX, PROBE_READ_RETURN},
	[SEND] = {PROBE_GNUTLS_SEND, PROBE_WRITE_RETURN},
	[SEND2] = {PROBE_GNUTLS_SEND, PROBE_WRITE_RETURN},
	[SEND_RANGE] = {PROBE_GNUTLS_SEND_RANGE, PROBE_WRITE_RETURN},
	[RECV] = {PROBE_READ, PROBE_READ_RETURN},
	[UNCORK] = {PROBE_GNUTLS_UNCORK, PROBE_GNUTLS_UNCORK_RETURN},
};

// A write of Go's is not seen to return: it takes all that it is given, or the connection cannot be
// written to any more (crypto/tls, Conn.SetWriteDeadline).
enum { GO_WRITE, GO_READ, GO_FUNCTIONS };

static const char *const go_names[GO_FUNCTIONS] = {
	[GO_WRITE] = "crypto/tls.(*Conn).Write",
	[GO_READ] = "crypto/tls.(*Conn).Read",
};

struct points {
	struct probe_point at[MAX_POINTS];
	int n;
};

static int add(struct points *points, uint64_t offset, enum probe probe)
{
	if (points->n == MAX_POINTS)
		return -E2BIG;
	points->at[points->n++] = (struct probe_point){offset, probe};
	return 0;
}

// One probe for both functions of a pair, where the library shows that one is behind them.
static void join_pair(int fd, uint64_t *offsets, enum function plain, enum function ex)
{
	uint64_t inner = inner_call_find(fd, offsets[plain], offsets[ex]);

	if (!inner)
		return;
	offsets[plain] = 0;
	offsets[ex] = inner; // takes the arguments of the _ex form
}

static int add_c_functions(int fd, struct points *points)
{
	uint64_t offsets[FUNCTIONS];
	int err = elf_find_functions(fd, function_names, FUNCTIONS, offsets);

	if (err <= 0)
		return err;
	join_pair(fd, offsets, WRITE, WRITE_EX);
	join_pair(fd, offsets, READ, READ_EX);
	// Since GnuTLS 3.6.3 the one is a call of the other (lib/record.c).
	if (offsets[SEND2] && inner_call_is_jump(fd, offsets[SEND]))
		offsets[SEND] = 0;
	if (!offsets[WRITE] && !offsets[WRITE_EX] && !offsets[SEND] && !offsets[SEND2])
		return 0;
	err = 0;
	for (int i = 0; i < FUNCTIONS && !err; i++)
		if (offsets[i])
			err = add(points, offsets[i], function_probes[i].at_entry)
				      ?: add(points, offsets[i], function_probes[i].at_return);
	return err;
}

static int add_go_function(int fd, const struct go_function *function, int which,
			   struct points *points)
{
	struct go_code code;
	int err = go_read_code(fd, function, &code);

	if (err)
		return err;
	err = add(points, code.begin, which == GO_WRITE ? PROBE_GO_WRITE : PROBE_GO_READ);
	for (size_t i = 0; i < code.n_returns && which == GO_READ && !err; i++)
		err = add(points, code.returns[i], PROBE_GO_READ_RETURN);
	free(code.returns);
	return err;
}

static int add_go_functions(int fd, struct points *points)
{
	struct go_function found[GO_FUNCTIONS];
	int err = go_find_functions(fd, go_names, GO_FUNCTIONS, found);

	if (err <= 0 || !found[GO_WRITE].bytes)
		return err < 0 ? err : 0;
	err = 0;
	for (int i = 0; i < GO_FUNCTIONS && !err; i++)
		if (found[i].bytes)
			err = add_go_function(fd, &found[i], i, points);
	return err;
}

int points_find(int fd, struct probe_point **ret_points)
{
	struct points points = {};
	int err = add_c_functions(fd, &points) ?: add_go_functions(fd, &points);

	*ret_points = NULL;
	if (err || !points.n)
		return err;
	*ret_points = calloc(points.n, sizeof(**ret_points));
	if (!*ret_points)
		return -ENOMEM;
	memcpy(*ret_points, points.at, points.n * sizeof(**ret_points));
	return points.n;
}
