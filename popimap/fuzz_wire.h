// SPDX-License-Identifier: Apache-2.0
// For the fuzz targets of sessions: the fixture of the tests (test_wire.h) with a store that is new for each script, and what is
// the same of two runs of one script.
#ifndef POPIMAP_FUZZ_WIRE_H
#define POPIMAP_FUZZ_WIRE_H

#include "test_wire.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_OUTPUT_BYTES_MAX = 16 << 20 };

static inline void fuzz_close(void)
{
	void *none = NULL;
	(void)wire_teardown(&none);
}

// Once. The store's files need not survive anything: in memory where the system has such a folder.
static inline void fuzz_open(void)
{
	void *none = NULL;
	if (access("/dev/shm", W_OK) == 0)
		test_parent = "/dev/shm";
	test_threads = 1;
	must(wire_setup(&none) == 0);
	atexit(fuzz_close);
	log_set_level(LOG_LEVEL_ERROR);
}

// An empty store in place of the one that there is.
static inline void fuzz_renew(void)
{
	void *none = NULL;
	must(test_teardown(&none) == 0 && test_setup(&none) == 0);
	wire_popimap.store = test_store;
}

struct fuzz_script {
	struct str in;
	size_t splits_n; // as in struct conn_memory
	const size_t *splits;
	bool node; // the peer showed the certificate that PIN stands for
	const char *pin;
	bool stranger; // not from a trusted network
	enum err_code end; // what comes after it: ERR_OK for the peer's end, ERR_CANCELLED for ours
};

// What the session answers, in out, initialised here.
static inline struct str fuzz_play(void (*serve)(struct conn *conn, void *arg), void *arg, const struct fuzz_script *script,
	struct buf *out)
{
	struct conn_memory memory = {.input = script->in, .splits = script->splits, .splits_n = script->splits_n, .output = out,
		.peer_spki = script->pin, .end = script->end};
	struct err err;
	buf_init(out, FUZZ_OUTPUT_BYTES_MAX);
	must(netaddr_parse(script->stranger ? STR("192.0.2.1:1234") : STR("127.0.0.1:1234"), 0, &memory.peer));
	must(netaddr_parse(STR("127.0.0.1:143"), 0, &memory.local));
	wire_clock = (struct clock_fake){.mono_ms = 1000, .wall_ms = 1795286655000};
	clock_inject(&wire_clock);
	struct conn *conn = conn_of_memory(&memory);
	if (script->node)
		must(conn_tls_accept(conn, NULL, NULL, &err) == ERR_OK);
	serve(conn, arg);
	clock_inject(NULL);
	return buf_str(out);
}

static inline bool fuzz_is_hex(char c)
{
	return chr_is_digit(c) || (chr_lower(c) >= 'a' && chr_lower(c) <= 'f');
}

// Are they the same but for times, sizes and ids? A run of hexadecimal digits is as good as another. Shows both when they are
// not.
static inline void fuzz_must_be_same(struct str a, struct str b)
{
	size_t i = 0, k = 0;
	while (i < a.n && k < b.n) {
		if (fuzz_is_hex(a.p[i]) && fuzz_is_hex(b.p[k])) {
			while (i < a.n && fuzz_is_hex(a.p[i]))
				i++;
			while (k < b.n && fuzz_is_hex(b.p[k]))
				k++;
		} else if (a.p[i++] != b.p[k++]) {
			break;
		}
	}
	bool same = i == a.n && k == b.n && (a.n == 0 || a.p[a.n - 1] == b.p[b.n - 1]);
	if (!same)
		fprintf(stderr, "--- the whole at once:\n%.*s--- byte by byte:\n%.*s", STR_FMT(a), STR_FMT(b));
	must(same);
}

// Lines end in CRLF, and no other way.
static inline void fuzz_check_lines(struct str out)
{
	must(out.n == 0 || str_ends(out, STR("\r\n")));
	for (size_t i = 0; i < out.n; i++)
		must(out.p[i] != '\n' || (i > 0 && out.p[i - 1] == '\r'));
}

static inline bool fuzz_has_nocase(struct str s, struct str word)
{
	for (size_t i = 0; i + word.n <= s.n; i++)
		if (str_eq_nocase(str_of(s.p + i, word.n), word))
			return true;
	return false;
}

#endif
