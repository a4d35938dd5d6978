// SPDX-License-Identifier: Apache-2.0
// A mailbox host was restored from a backup: what it was given since is entered again.
//
//     {"command": "queue.replay", "host": "mb1.uni.example", "since_ms": 1795287600000, "mailbox": "bob@uni.example"}
//
// One message after the other: found by a worker, its body copied piece by piece, entered, its verdict awaited; that is the bound
// of memory and rate. The guid is new, the root guid the old one: a mailbox that has the message knows its delivery key and takes
// it for nothing. Keys live for delivered_key_days, so nothing older is entered. Recipients are as recorded: to the host that
// took them then. Failure: the first message that is not committed ends it; given again, it begins again, and what was entered is
// known by its key. Nobody is told of a replayed message that fails (NOTIFY=NEVER); the log says so. On a fiber of the control
// socket.
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/control.h"
#include "base/fiber.h"
#include "base/must.h"
#include "base/runtime.h"
#include "queue_commands.h"
#include "replay.h"

enum { PIECE_BYTES = 256 << 10, LOOKS_OF_JOB = 256, ADDRESS_BYTES_MAX = 1 << 20, DAY_MS = 86400 * 1000 };
static const size_t ENVELOPE_BYTES_MAX = 4 * RECORD_BYTES_MAX;

struct replaying {
	struct queue *queue;
	struct str host, mailbox_id; // mailbox_id empty: all
	int64_t since_ms;
	struct replay_cursor *cursor;
	struct arena *arena;        // of the message
	struct replay_found found;
	size_t wanted;              // its recipients, in front of found.envelope.recipients
	uint64_t at;                // of its body
	struct buf piece;
	enum err_code code;         // of the job
	struct err err;
	size_t messages, recipients, unreadable;
};

// --- On a worker ---

static bool is_wanted(const struct replaying *p, const struct record_recipient *r)
{
	return r->target == RECORD_TO_MAILBOX && str_eq_nocase(r->destination, p->host) &&
	       (p->mailbox_id.n == 0 || str_eq(r->mailbox_id, p->mailbox_id));
}

static void pick(struct replaying *p)
{
	struct record_recipients *to = &p->found.envelope.recipients;
	p->wanted = 0;
	for (size_t i = 0; i < to->n; i++) {
		if (!is_wanted(p, &to->v[i]))
			continue;
		to->v[p->wanted] = to->v[i];
		to->v[p->wanted++].notify = RECORD_NOTIFY_NEVER;
	}
}

// ERR_BUSY: nothing yet, there is more to look at.
static void find_next(void *arg)
{
	struct replaying *p = arg;
	if (p->cursor == NULL)
		p->cursor = replay_cursor_new(p->queue->replay, p->since_ms);
	for (int i = 0; i < LOOKS_OF_JOB; i++) {
		p->code = replay_cursor_next(p->cursor, p->arena, &p->found, &p->err);
		if (p->code)
			return;
		pick(p);
		if (p->wanted)
			return;
	}
	p->code = ERR_BUSY;
}

static void read_piece(void *arg)
{
	struct replaying *p = arg;
	uint64_t left = p->found.envelope.body_bytes - p->at;
	p->code = replay_cursor_body(p->cursor, &p->found, p->at, left < PIECE_BYTES ? (size_t)left : PIECE_BYTES, &p->piece,
		&p->err);
}

static void free_cursor(void *arg)
{
	struct replaying *p = arg;
	replay_cursor_free(&p->cursor);
}

static enum err_code on_worker(struct replaying *p, void (*fn)(void *arg), struct err *err)
{
	enum err_code code;
	if (p->queue->config.runtime == NULL) { // a queue without deliveries: nothing else runs on this thread
		fn(p);
		return p->code ? err_set(err, p->code, "%s", p->err.text) : ERR_OK;
	}
	while ((code = worker_run(runtime_workers(p->queue->config.runtime), fn, p, err)) == ERR_BUSY && !fiber_is_cancelled())
		fiber_sleep_ms(100); // others have more to do
	return code ? code : p->code ? err_set(err, p->code, "%s", p->err.text) : ERR_OK;
}

// --- Entering again ---

// ERR_CORRUPT: the body cannot be read, or is not what was delivered.
static enum err_code copy_body(struct replaying *p, struct spool *spool, struct err *err)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	enum err_code code = ERR_OK;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	must(ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
	for (p->at = 0; p->at < p->found.envelope.body_bytes && code == ERR_OK; p->at += p->piece.n) {
		buf_clear(&p->piece);
		if (on_worker(p, read_piece, err))
			code = err_set(err, fiber_is_cancelled() ? ERR_CANCELLED : ERR_CORRUPT, "the body cannot be read");
		if (code == ERR_OK && EVP_DigestUpdate(ctx, p->piece.p, p->piece.n) == 1)
			code = spool_append(spool, buf_str(&p->piece), err);
	}
	must(EVP_DigestFinal_ex(ctx, digest, NULL) == 1);
	EVP_MD_CTX_free(ctx);
	if (code == ERR_OK && !str_eq(str_of((const char *)digest, RECORD_DIGEST_BYTES), p->found.envelope.digest))
		return err_set(err, ERR_CORRUPT, "the body is not the one that was delivered");
	return code;
}

static enum err_code enter_again(struct replaying *p, struct err *err)
{
	const struct record_enter *e = &p->found.envelope;
	struct spool *spool;
	enum err_code code = spool_open(p->queue, &spool, err);
	if (code)
		return code;
	code = copy_body(p, spool, err);
	if (code) {
		spool_drop(&spool);
		return code;
	}
	unsigned kept = RECORD_FLAG_UTF8 | RECORD_FLAG_8BIT;
	const struct queue_message message = {.root = e->root, .sender = e->sender, .source = STR("replay"),
		.flags = (uint8_t)((e->flags & kept) | RECORD_FLAG_REPLAY), .recipients = e->recipients.v, .n = p->wanted};
	if (queue_enter(p->queue, &message, &spool, err) != QUEUE_COMMITTED)
		return err && err->code ? err->code : ERR_TIMEOUT;
	p->messages++;
	p->recipients += p->wanted;
	return ERR_OK;
}

static enum err_code replay_all(struct replaying *p, struct err *err)
{
	enum err_code code;
	while (!fiber_is_cancelled()) {
		err->code = ERR_OK;
		code = on_worker(p, find_next, err);
		if (code == ERR_NOTFOUND)
			return ERR_OK;
		if (code == ERR_BUSY)
			continue;
		if (code == ERR_OK)
			code = enter_again(p, err);
		if (code == ERR_CORRUPT)
			p->unreadable++;
		else if (code)
			return code;
	}
	return err_set(err, ERR_CANCELLED, "the daemon stops");
}

// --- What is asked for ---

// Whose mailbox an address is, as the directory says now.
static enum err_code find_mailbox(struct replaying *p, struct arena *arena, struct str address, struct err *err)
{
	struct record_recipients to = {NULL, 0};
	bool temporary = false;
	if (address.n == 0)
		return ERR_OK;
	if (p->queue->config.resolve && p->queue->config.resolve(p->queue->config.arg, arena, address, &to, &temporary) &&
		to.n == 1 && to.v[0].target == RECORD_TO_MAILBOX) {
		p->mailbox_id = to.v[0].mailbox_id;
		return ERR_OK;
	}
	if (temporary)
		return err_set(err, ERR_BUSY, "the directory cannot say now who %.*s is", STR_FMT(str_upto(address, 300)));
	return err_set(err, ERR_NOTFOUND, "%.*s is not the address of one mailbox", STR_FMT(str_upto(address, 300)));
}

static enum err_code read_args(struct replaying *p, struct control_request *request, struct arena *arena, struct err *err)
{
	struct settings_snapshot *snapshot = queue_settings(p->queue);
	int64_t days = settings_of(snapshot)->delivered_key_days;
	settings_unref(&snapshot);
	int64_t oldest_ms = clock_wall_ms() - days * DAY_MS;
	const json_t *since = json_object_get(control_args(request), "since_ms");
	p->host = control_arg_str(request, "host");
	p->since_ms = json_is_integer(since) ? (int64_t)json_integer_value(since) : oldest_ms;
	if (p->host.n == 0)
		return err_set(err, ERR_INVALID, "which mailbox host? give host");
	if (p->since_ms < oldest_ms)
		return err_set(err, ERR_INVALID,
			"mailboxes know for %lld days (delivered_key_days) what they have; older mail would be delivered twice",
			(long long)days);
	return find_mailbox(p, arena, control_arg_str(request, "mailbox"), err);
}

void queue_replay(struct control_request *request, void *arg)
{
	struct replaying *p = calloc(1, sizeof *p);
	struct arena *arena = arena_new(ADDRESS_BYTES_MAX);
	struct err err, ignored;
	must(p != NULL);
	*p = (struct replaying){.queue = arg, .arena = arena_new(ENVELOPE_BYTES_MAX)};
	buf_init(&p->piece, PIECE_BYTES);
	enum err_code code = read_args(p, request, arena, &err);
	if (code == ERR_OK)
		code = replay_all(p, &err);
	if (code)
		control_fail(request, code, "%s (%zu messages were entered; the command can be given again)", err.text,
			p->messages);
	else
		control_ok(request, json_pack("{s:I,s:I,s:I}", "messages", (json_int_t)p->messages, "recipients",
					    (json_int_t)p->recipients, "unreadable", (json_int_t)p->unreadable));
	if (p->cursor && p->queue->config.runtime == NULL)
		free_cursor(p);
	if (p->cursor && worker_run(runtime_workers(p->queue->config.runtime), free_cursor, p, &ignored))
		free_cursor(p); // one close(), while all workers are taken
	buf_fini(&p->piece);
	arena_free(&p->arena);
	arena_free(&arena);
	free(p);
}
