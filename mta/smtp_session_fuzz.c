// SPDX-License-Identifier: Apache-2.0
// What an SMTP client may send, to port 25 and to the submission service: the first byte says which and in what pieces it comes.
// Every answer is a reply, as many messages are in the queue as were acknowledged, each with our trace before it and no bare line
// end in it.
//
// Queue and log-in are stand-ins below: the functions of mta/queue.h and router/login.h are defined here, so the linker takes
// these.
// Covers: mta/smtp_session.c mta/smtp_cmd_auth.c mta/smtp_envelope.c mta/smtp_message.c mta/targets.c
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/must.h"
#include "base/random.h"
#include "fuzz_settings.h"
#include "ldapsync/directory_memory.h"
#include "mail/reply.h"
#include "router/login.h"
#include "smtp_server.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SUBMISSION = 1, BYTEWISE = 2, QUEUE_FULL = 4, QUEUE_SLOW = 8, NORMALIZE = 16, STOPS = 32, OUTPUT_BYTES_MAX = 1 << 20,
SPOOL_BYTES_MAX = 1 << 20 };

static const char people[] =
	"dn: dc=uni\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n\n"
	"dn: cn=mb1,dc=uni\nobjectClass: phMailHost\ncn: mb1.uni.example\nphHostEndpoint: lmtp=inet:192.0.2.1:24\n\n"
	"dn: uid=joe,dc=uni\nobjectClass: phMailUser\nuid: joe\nmail: joe@uni.example\nmailHost: mb1.uni.example\n"
	"entryUUID: 00000000-0000-0000-0000-00000000000a\n\n"
	"dn: uid=lost,dc=uni\nobjectClass: phMailUser\nuid: lost\nmail: lost@uni.example\nmailHost: evil.example\n"
	"entryUUID: 00000000-0000-0000-0000-00000000000b\n\n"
	"dn: cn=info,dc=uni\nobjectClass: phMailAlias\ncn: info\nmailLocalAddress: info@uni.example\nrfc822MailMember: "
	"joe@uni.example\nrfc822MailMember: ext@else.example\n";

static struct settings_snapshot *settings[2]; // as they are, and with smtp_bare_newline = normalize
static struct directory *directory;
static unsigned flags;     // of this input
static size_t committed;   // messages of this input
static struct clock_fake now;

// --- The queue that is none ---

struct spool {
	struct buf bytes;
};

enum err_code queue_accepts(struct queue *queue, struct err *err)
{
	(void)queue;
	return flags & QUEUE_FULL ? err_set(err, ERR_NOSPACE, "full") : ERR_OK;
}

enum err_code spool_open(struct queue *queue, struct spool **spool_out, struct err *err)
{
	(void)queue;
	(void)err;
	*spool_out = calloc(1, sizeof **spool_out);
	must(*spool_out != NULL);
	buf_init(&(*spool_out)->bytes, SPOOL_BYTES_MAX);
	return ERR_OK;
}

struct guid spool_guid(const struct spool *spool)
{
	(void)spool;
	return (struct guid){{1, 2, 3}};
}

uint64_t spool_bytes(const struct spool *spool)
{
	return spool->bytes.n;
}

enum err_code spool_append(struct spool *spool, struct str bytes, struct err *err)
{
	(void)err;
	must(bytes.n > 0 && buf_add(&spool->bytes, bytes));
	return ERR_OK;
}

void spool_drop(struct spool **spool)
{
	if (*spool) {
		buf_fini(&(*spool)->bytes);
		free(*spool);
	}
	*spool = NULL;
}

static void check_message(struct str text)
{
	must(str_starts(text, STR("Received: from ")));
	for (size_t i = 0; i < text.n; i++) {
		must(text.p[i] != '\0');
		must(text.p[i] != '\n' || (i > 0 && text.p[i - 1] == '\r'));
		must(text.p[i] != '\r' || (i + 1 < text.n && text.p[i + 1] == '\n'));
	}
}

enum queue_verdict queue_enter(struct queue *queue, const struct queue_message *message, struct spool **spool, struct err *err)
{
	(void)queue;
	check_message(buf_str(&(*spool)->bytes));
	must(message->n > 0);
	for (size_t i = 0; i < message->n; i++) {
		const struct record_recipient *r = &message->recipients[i];
		must(r->address.n && r->key.n && r->destination.n && (r->target == RECORD_TO_MAILBOX) == (r->mailbox_id.n > 0));
	}
	spool_drop(spool);
	if (flags & QUEUE_SLOW)
		return QUEUE_UNKNOWN;
	(void)err;
	committed++;
	return QUEUE_COMMITTED;
}

// --- The log-in that is none: PLAIN with the login as its initial response; "joe" gets in ---

void login_begin(struct login *login, struct str service, struct conn *conn, bool may_plaintext,
	struct login_attempt *attempt_out)
{
	must(str_eq(service, STR("smtp")) && may_plaintext);
	*attempt_out = (struct login_attempt){.owner = login, .conn = conn, .reason = "test"};
}

void login_end(struct login_attempt *attempt)
{
	(void)attempt;
}

enum err_code login_converse(struct login_attempt *attempt, struct str prefix, struct str mechanism, const struct str *initial,
	enum sasl_outcome *outcome_out, struct err *err)
{
	static const struct {
		struct str line;
		enum sasl_outcome outcome;
	} outcomes[] = {
		{STR("joe"), SASL_DONE}, {STR("*"), SASL_ABORTED}, {STR("broken"), SASL_TEMPFAIL}, {STR("!"), SASL_BAD_DATA}};
	struct str line = initial ? *initial : STR_NONE;
	enum conn_eol eol;
	*outcome_out = SASL_BAD_MECH;
	if (!str_eq_nocase(mechanism, STR("PLAIN")))
		return ERR_OK;
	if (initial == NULL) {
		conn_write(attempt->conn, prefix);
		conn_write(attempt->conn, STR("\r\n"));
		enum err_code code = conn_flush(attempt->conn, err);
		if (code == ERR_OK)
			code = conn_read_line(attempt->conn, SASL_LINE_BYTES_MAX, &line, &eol, err);
		if (code)
			return code;
	}
	*outcome_out = SASL_FAILED;
	for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++)
		if (str_eq(line, outcomes[i].line))
			*outcome_out = outcomes[i].outcome;
	attempt->login = STR("joe");
	attempt->account = *outcome_out == SASL_DONE ? STR("0000000000000000000000000000000a") : STR_NONE;
	return ERR_OK;
}

void login_penalty(unsigned failures)
{
	must(failures < 100);
}

// --- The client ---

// Talks when it was greeted, and waits for our reply behind EHLO, HELO and DATA unless it sends byte after byte.
struct client {
	struct str in;
	struct buf *out;
};

static size_t piece(struct str in)
{
	struct str rest = in, line;
	if (flags & BYTEWISE)
		return in.n > 0;
	while (str_next_line(&rest, &line))
		if (str_starts_nocase(line, STR("EHLO")) || str_starts_nocase(line, STR("HELO")) ||
			str_eq_nocase(line, STR("DATA")))
			break;
	return in.n - rest.n;
}

static ptrdiff_t client_read(void *self, char *p, size_t n, struct err *err)
{
	struct client *client = self;
	(void)err;
	if (client->out->n == 0)
		return CONN_IO_WANT_READ;
	if (client->in.n == 0)
		return flags & STOPS ? CONN_IO_WANT_READ : CONN_IO_END;
	size_t have = piece(client->in);
	n = have < n ? have : n;
	memcpy(p, client->in.p, n);
	client->in = str_from(client->in, n);
	return (ptrdiff_t)n;
}

static ptrdiff_t client_write(void *self, const char *p, size_t n, struct err *err)
{
	struct client *client = self;
	(void)err;
	must(buf_add(client->out, str_of(p, n)));
	return (ptrdiff_t)n;
}

static unsigned client_wait(void *self, unsigned events, int64_t deadline_ms)
{
	struct client *client = self;
	(void)deadline_ms;
	if (client->out->n == 0)
		return FIBER_TIMEOUT;
	return client->in.n == 0 && (flags & STOPS) ? FIBER_CANCELLED : events & (FIBER_READABLE | FIBER_WRITABLE);
}

static void client_close(void *self, int64_t linger_ms)
{
	(void)self;
	(void)linger_ms;
}

// --- The daemon that is none ---

static struct directory *get_directory(void *arg)
{
	(void)arg;
	return directory;
}

static struct settings_snapshot *get_settings(void *arg)
{
	(void)arg;
	return settings_ref(settings[flags & NORMALIZE ? 1 : 0]);
}

static struct rules *get_rules(void *arg)
{
	(void)arg;
	return NULL;
}

#define SETTINGS \
	"hostname = mx.uni.example\nlisten_submissions = {}\nlisten_imaps = {}\nlisten_pop3s = {}\nauth_plaintext = trusted\n" \
	"recipients_max = 4\nsmtp_errors_max = 12\nmessage_size_max = 65536\nrelayhost = \"relay.example:25\"\n"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	settings[0] = fuzz_settings(SETTINGS);
	settings[1] = fuzz_settings(SETTINGS "smtp_bare_newline = normalize\n");
	directory = directory_memory_new(str_of_c(people), NULL, NULL);
	must(directory != NULL);
	log_set_level(LOG_LEVEL_ERROR);
	return 0;
}

// How many messages were acknowledged.
static size_t check_replies(struct str out)
{
	struct reply_reader reader;
	struct str rest = out, line;
	enum reply_read state = REPLY_READ_DONE;
	size_t queued = 0;
	must(str_ends(out, STR("\r\n")));
	reply_reader_init(&reader);
	while (str_next_line(&rest, &line)) {
		if (str_eq(line, STR("334 "))) // of AUTH
			continue;
		state = reply_reader_line(&reader, line);
		must(state != REPLY_READ_BAD && str_index(line, '\r') < 0);
		queued += str_starts(line, STR("250 2.0.0 queued as "));
	}
	must(state == REPLY_READ_DONE);
	reply_reader_fini(&reader);
	return queued;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct conn_io io = {client_read, client_write, client_wait, client_close, NULL};
	if (size == 0)
		return 0;
	struct smtp_server server = {.submit_rate = hour_rate_new(), .unknown_rate = hour_rate_new(),
		.tls = TLS_SLOT_INIT, .tls_asking = TLS_SLOT_INIT, .directory = get_directory, .settings_get = get_settings,
		.rules_get = get_rules};
	const struct smtp_service service = {.server = &server, .submission = data[0] & SUBMISSION};
	struct buf out;
	struct netaddr peer;
	flags = data[0];
	committed = 0;
	now = (struct clock_fake){.mono_ms = 1000000, .wall_ms = 1795286655000};
	clock_inject(&now);
	random_inject(1);
	buf_init(&out, OUTPUT_BYTES_MAX);
	must(netaddr_parse(STR("127.0.0.1:1234"), 0, &peer));
	struct client client = {.in = str_of((const char *)data + 1, size - 1), .out = &out};
	smtp_server_serve(conn_of_io(&io, &client, &peer, &peer), (void *)(uintptr_t)&service);
	must(check_replies(buf_str(&out)) == committed);
	buf_fini(&out);
	hour_rate_free(&server.submit_rate);
	hour_rate_free(&server.unknown_rate);
	random_inject_end();
	clock_inject(NULL);
	return 0;
}
