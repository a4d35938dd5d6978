// SPDX-License-Identifier: Apache-2.0
// What is kept for replay, as a damaged disk may have left it, and what an administrator asks of it. An input is lines: "{…" is a
// request, "+" with words a message that was delivered ("+HOST MAILBOX BODY", a recipient more with "&HOST MAILBOX" before it),
// "!" one whose digest is another's, "#" bytes in hex as they are, "/" a new segment. What is entered is what was kept, once for
// each request, under its old root; the ledger adds up; each request is answered once.
// The control socket is a stand-in (fuzz_control.h).
// Covers: mta/queue_replay.c mta/replay_cursor.c
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/must.h"
#include "fuzz_control.h"
#include "fuzz_queue.h"
#include "queue_commands.h"
#include "replay_core.h"
#include "replay_segment.h"

enum { SEGMENT_BYTES_MAX = 1 << 20, SEGMENTS_MAX = 8, RECIPIENTS_MAX = 8, REQUESTS_MAX = 4 };

// --- What was kept ---

struct kept {
	struct buf bytes;
	struct record_recipient to[RECIPIENTS_MAX];
	size_t n;
	uint8_t messages;
};

static void add_recipient(struct kept *k, struct str words)
{
	struct str host, mailbox;
	if (k->n == RECIPIENTS_MAX || !str_cut(words, ' ', &host, &mailbox))
		return;
	const struct str address = STR("u@uni.example");
	bool sane = host.n > 0 && host.n < 256 && mailbox.n <= RECORD_MAILBOX_ID_BYTES_MAX;
	if (sane)
		k->to[k->n] = (struct record_recipient){.number = (uint32_t)k->n + 1, .target = RECORD_TO_MAILBOX,
			.address = address, .key = address,
			.destination = host, .mailbox_id = mailbox};
	k->n += sane;
}

static void add_message(struct kept *k, struct str words, bool is_bent)
{
	struct str host, rest, mailbox, body;
	uint8_t digest[RECORD_DIGEST_BYTES];
	if (!str_cut(words, ' ', &host, &rest) || !str_cut(rest, ' ', &mailbox, &body))
		return;
	add_recipient(k, str_upto(words, host.n + 1 + mailbox.n));
	must(EVP_Digest(body.n ? body.p : "", body.n, digest, NULL, EVP_sha256(), NULL) == 1);
	digest[0] ^= is_bent;
	struct record_enter e = {.guid = {{1, k->messages++}}, .root = {{1, k->messages}}, .sender = STR("s@out.example"),
		.received_ms = 1,
		.body_bytes = body.n, .digest = str_of((char *)digest, sizeof digest), .recipients = {k->to, k->n}};
	if (k->n > 0 && replay_segment_encode(&e, clock_wall_ms(), &k->bytes))
		(void)buf_add(&k->bytes, body);
	k->n = 0;
}

static void end_segment(struct kept *k, int dir, uint32_t *part)
{
	char name[REPLAY_NAME_BYTES];
	const struct replay_part one = {.hour = (uint64_t)(clock_wall_ms() / REPLAY_HOUR_MS), .part = (*part)++};
	const struct str bytes = buf_str(&k->bytes);
	if (one.part < SEGMENTS_MAX && bytes.n)
		must(file_write_new(dir, replay_part_name(&one, name), &bytes, 1, NULL) == ERR_OK);
	buf_clear(&k->bytes);
}

static void keep_all(const char *path, struct str in)
{
	struct kept k = {.n = 0};
	struct str line;
	uint32_t part = 0;
	int top, dir;
	must(file_dir_open(str_of_c(path), &top, NULL) == ERR_OK);
	must(file_dir_make(top, STR("replay"), 0700, NULL, NULL) == ERR_OK &&
		file_dir_open_at(top, STR("replay"), &dir, NULL) == ERR_OK);
	buf_init(&k.bytes, SEGMENT_BYTES_MAX);
	while (str_cut(in, '\n', &line, &in)) {
		char kind = line.n ? line.p[0] : ' ';
		if (kind == '+' || kind == '!')
			add_message(&k, str_from(line, 1), kind == '!');
		else if (kind == '&')
			add_recipient(&k, str_from(line, 1));
		else if (kind == '#')
			(void)codec_hex_decode(str_from(line, 1), &k.bytes);
		else if (kind == '/')
			end_segment(&k, dir, &part);
	}
	end_segment(&k, dir, &part);
	buf_fini(&k.bytes);
	file_close(dir);
	file_close(top);
}

// --- What is asked ---

static bool resolve(void *arg, struct arena *arena, struct str address, struct record_recipients *out, bool *temporary)
{
	(void)arg;
	*temporary = str_starts(address, STR("unsure"));
	out->v = arena_must(arena, sizeof *out->v);
	out->v[0] = (struct record_recipient){
		.target = RECORD_TO_MAILBOX, .mailbox_id = arena_dup(arena, str_upto(address, RECORD_MAILBOX_ID_BYTES_MAX))};
	out->n = !*temporary;
	return out->n > 0;
}

static int64_t accepted(struct queue *queue)
{
	int64_t counters[LEDGER_COUNTERS];
	bool balanced;
	queue_fold_ledger(queue->fold, counters, &balanced);
	must(balanced);
	return counters[LEDGER_ACCEPTED];
}

static void ask_all(struct queue *queue, struct str in)
{
	struct str line;
	for (int n = 0; n < REQUESTS_MAX && str_cut(in, '\n', &line, &in);) {
		if (!str_starts(line, STR("{")))
			continue;
		struct control_request request;
		int64_t before = accepted(queue);
		n++;
		if (fuzz_control_begin(&request, line)) {
			queue_replay(&request, queue);
			must(request.items == 0);
			fuzz_control_answered(&request);
			must(request.recipients < 0 || accepted(queue) - before <= request.recipients);
		}
		fuzz_control_end(&request);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of((const char *)data, size);
	const char *dir = fuzz_queue_begin();
	const struct queue_config config = {
		.dir = dir, .settings = fuzz_queue_settings, .resolve = resolve, .died = fuzz_queue_died};
	struct queue *queue;
	keep_all(dir, in);
	must(queue_open(&config, &queue, NULL) == ERR_OK);
	ask_all(queue, in);
	queue_close(&queue);
	fuzz_queue_end();
	return 0;
}
