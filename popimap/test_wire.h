// SPDX-License-Identifier: Apache-2.0
// For the tests of IMAP and POP3: both ends of the wire. A script goes in, what the session writes is compared with a pattern.
//
// The store is a real one (test_store.h), the directory is in memory, and the log-in is a stand-in below: the functions of
// router/login.h are defined here, so the linker takes these. User "joe", password "secret"; mechanism PLAIN with "joe" as its
// initial response. In patterns "#" stands for digits and "~" for anything inside a line.
#ifndef POPIMAP_TEST_WIRE_H
#define POPIMAP_TEST_WIRE_H

#include "test_store.h"
#include "test_settings.h"

#include "base/clock.h"
#include "base/fiber.h"
#include "ldapsync/directory_memory.h"
#include "router/login.h"
#include "server.h"

static struct popimap wire_popimap;
static struct popimap_service wire_service = {.popimap = &wire_popimap};
static struct settings_snapshot *wire_settings;
static struct directory *wire_directory;
static unsigned wire_penalties;
static struct clock_fake wire_clock;

// --- The log-in that is none ---

void login_begin(struct login *login, struct str service, struct conn *conn, bool may_plaintext,
	struct login_attempt *attempt_out)
{
	(void)service;
	must(may_plaintext);
	*attempt_out = (struct login_attempt){.owner = login, .conn = conn, .reason = "test"};
}

void login_end(struct login_attempt *attempt)
{
	(void)attempt;
}

static struct str wire_account(void)
{
	static char text[GUID_TEXT_BYTES];
	const struct guid id = test_id(1);
	return guid_text(&id, text);
}

enum sasl_outcome login_plain(struct login_attempt *attempt, struct str login, struct str password)
{
	attempt->login = login;
	if (str_eq(login, STR("broken")))
		return SASL_TEMPFAIL;
	if (!str_eq(login, STR("joe")) || !str_eq(password, STR("secret")))
		return SASL_FAILED;
	attempt->account = wire_account();
	return SASL_DONE;
}

enum err_code login_converse(struct login_attempt *attempt, struct str prefix, struct str mechanism, const struct str *initial,
	enum sasl_outcome *outcome_out, struct err *err)
{
	struct str line;
	enum conn_eol eol;
	if (!str_eq_nocase(mechanism, STR("PLAIN"))) {
		*outcome_out = SASL_BAD_MECH;
		return ERR_OK;
	}
	if (initial) {
		line = *initial;
	} else {
		conn_write(attempt->conn, prefix);
		conn_write(attempt->conn, STR("\r\n"));
		enum err_code code = conn_flush(attempt->conn, err);
		if (code == ERR_OK)
			code = conn_read_line(attempt->conn, SASL_LINE_BYTES_MAX, &line, &eol, err);
		if (code)
			return code;
	}
	static char name[SASL_LOGIN_BYTES_MAX + 1];
	str_to_c(line, name, sizeof name);
	*outcome_out = str_eq(line, STR("*")) ? SASL_ABORTED : login_plain(attempt, str_of_c(name), STR("secret"));
	return ERR_OK;
}

void login_penalty(unsigned failures)
{
	wire_penalties += failures + 1;
}

// --- The daemon that is none ---

static inline struct directory *wire_get_directory(void *arg)
{
	(void)arg;
	return wire_directory;
}

static inline struct settings_snapshot *wire_get_settings(void *arg)
{
	(void)arg;
	return settings_ref(wire_settings);
}

#define WIRE_SETTINGS "listen_submissions = {}\nlisten_imaps = {}\nlisten_pop3s = {}\nauth_plaintext = trusted\n"

// Settings from text; replaces those before.
static inline void wire_configure(const char *text)
{
	if (wire_settings)
		settings_unref(&wire_settings);
	wire_settings = settings_of_text(text);
}

static inline int wire_setup(void **state)
{
	struct err err = {0};
	int failed = test_setup(state);
	log_set_level(LOG_LEVEL_ERROR);
	char ldif[1024];
	snprintf(ldif, sizeof ldif,
		"dn: dc=uni\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n\n"
		"dn: cn=mx1\nobjectClass: phMailHost\ncn: mx1.uni.example\n\n"
		"dn: uid=joe\nobjectClass: phMailUser\nuid: joe\nmail: joe@uni.example\nmailHost: mx1.uni.example\n"
		"entryUUID: %.*s\nphMailboxId: %.*s\n",
		STR_FMT(wire_account()), STR_FMT(wire_account()));
	wire_directory = directory_memory_new(str_of_c(ldif), NULL, &err);
	if (wire_directory == NULL)
		fail_msg("%s", err.text);
	wire_configure(WIRE_SETTINGS "hostname = mx1.uni.example\nimap_literal_max = 100000\n");
	wire_popimap.store = test_store;
	wire_popimap.directory = wire_get_directory;
	wire_popimap.settings_get = wire_get_settings;
	wire_penalties = 0;
	return failed;
}

static inline int wire_teardown(void **state)
{
	directory_close(&wire_directory);
	settings_unref(&wire_settings);
	return test_teardown(state);
}

// --- The wire ---

// Does text fit the pattern? "#": one or more digits; "~": anything inside the line, as little as will do.
static inline bool wire_fits(const char *pattern, struct str text)
{
	for (; *pattern; pattern++) {
		if (*pattern == '~') {
			for (;; text = str_from(text, 1)) {
				if (wire_fits(pattern + 1, text))
					return true;
				if (text.n == 0 || text.p[0] == '\r')
					return false;
			}
		}
		if (text.n == 0 || (*pattern == '#' ? !chr_is_digit(text.p[0]) : text.p[0] != *pattern))
			return false;
		do
			text = str_from(text, 1);
		while (*pattern == '#' && text.n && chr_is_digit(text.p[0]));
	}
	return text.n == 0;
}

struct wire_run {
	void (*serve)(struct conn *conn, void *arg);
	const char *in;
	const size_t *messages; // offsets of in before which a wait for news ends
	size_t messages_n;
	bool bytewise;
	bool stranger;      // not from a trusted network
	enum err_code end;  // what comes behind the script
};

// What a session answers to a script. In b, initialised here, the caller's to free.
static inline struct str wire_run(const struct wire_run *run, struct buf *b)
{
	struct conn_memory memory = {
		.input = str_of_c(run->in),
		.splits_n = run->bytewise ? CONN_MEMORY_BYTEWISE : 0,
		.output = b,
		.messages = run->messages,
		.messages_n = run->messages_n,
		.end = run->end,
	};
	must(netaddr_parse(run->stranger ? STR("192.0.2.1:1234") : STR("127.0.0.1:1234"), 0, &memory.peer));
	must(netaddr_parse(STR("127.0.0.1:143"), 0, &memory.local));
	buf_init(b, 64 << 20);
	run->serve(conn_of_memory(&memory), &wire_service);
	return buf_str(b);
}

// Fails unless the answer to the script fits the pattern.
static inline void wire_expect(const struct wire_run *run, const char *pattern)
{
	struct buf b;
	struct str out = wire_run(run, &b);
	if (!wire_fits(pattern, out))
		fail_msg("script:\n%s\nexpected:\n%s\ngot:\n%.*s", run->in, pattern, STR_FMT(out));
	buf_fini(&b);
}

// --- A wire on which other things happen in between ---

// "\1c" in a script calls act('c') when all before it was answered; "\2c" does while the session waits for news, and ends that
// wait;
// "\3" lets that wait reach its deadline.
struct wire_script {
	struct str in;
	struct buf *out;
	void (*act)(char which);
};

static inline bool wire_act(struct wire_script *script, char marker)
{
	if (script->in.n < 2 || script->in.p[0] != marker)
		return false;
	char which = script->in.p[1];
	script->in = str_from(script->in, 2);
	script->act(which);
	return true;
}

static inline ptrdiff_t wire_read(void *self, char *p, size_t n, struct err *err)
{
	struct wire_script *script = self;
	(void)err;
	while (wire_act(script, '\1'))
		;
	size_t have = 0;
	while (have < script->in.n && script->in.p[have] != '\1' && script->in.p[have] != '\2' && script->in.p[have] != '\3')
		have++;
	if (have == 0 && script->in.n)
		return CONN_IO_WANT_READ;
	n = have < n ? have : n;
	if (n)
		memcpy(p, script->in.p, n);
	script->in = str_from(script->in, n);
	return (ptrdiff_t)n;
}

static inline ptrdiff_t wire_write(void *self, const char *p, size_t n, struct err *err)
{
	struct wire_script *script = self;
	(void)err;
	must(buf_add(script->out, str_of(p, n)));
	return (ptrdiff_t)n;
}

static inline unsigned wire_wait(void *self, unsigned events, int64_t deadline_ms)
{
	struct wire_script *script = self;
	if (script->in.n && script->in.p[0] == '\3') {
		script->in = str_from(script->in, 1);
		wire_clock.mono_ms = deadline_ms;
		return FIBER_TIMEOUT;
	}
	return (events & FIBER_MESSAGE) && wire_act(self, '\2') ? FIBER_MESSAGE : events & (FIBER_READABLE | FIBER_WRITABLE);
}

static inline void wire_close(void *self, int64_t linger_ms)
{
	(void)self;
	(void)linger_ms;
}

// As wire_run, with actions. In out, initialised here, the caller's to free.
static inline struct str wire_play(void (*serve)(struct conn *conn, void *arg), const char *in, void (*act)(char which),
	struct buf *out)
{
	static const struct conn_io io = {.read = wire_read, .write = wire_write, .wait = wire_wait, .close = wire_close};
	struct wire_script script = {.in = str_of_c(in), .out = out, .act = act};
	struct netaddr peer;
	must(netaddr_parse(STR("127.0.0.1:1234"), 0, &peer));
	buf_init(out, 64 << 20);
	wire_clock = (struct clock_fake){.mono_ms = 1000, .wall_ms = clock_wall_ms()};
	clock_inject(&wire_clock);
	serve(conn_of_io(&io, &script, &peer, &peer), &wire_service);
	clock_inject(NULL);
	return buf_str(out);
}

#endif
