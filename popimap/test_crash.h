// SPDX-License-Identifier: Apache-2.0
// For store_crash.c: what is done with which message, and the store that it is done in.
#ifndef POPIMAP_TEST_CRASH_H
#define POPIMAP_TEST_CRASH_H

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "crash_points.h"
#include "mailbox.h"

enum mark {
	MARK_TRIED,     // value: bytes
	MARK_DELIVERED, // value: uid
	MARK_APPENDED,  // value: UIDVALIDITY and uid
	MARK_REFUSED,   // an APPEND that was answered NO
	MARK_FLAGGING,
	MARK_FLAGGED,   // value: MODSEQ
	MARK_REMOVING,
	MARK_REMOVED,
	MARK_MOVING,
	MARK_MOVED,     // into a folder of its own
};

enum { IDS_MAX = 64, MAILBOXES = 2, THREADS = 3, PROBE = IDS_MAX, ARENA_BYTES = 64 << 20, TEXT_BYTES_MAX = 1 << 20 };

static const struct store_home home = {.host = {"mx1.uni.example", 15}, .epoch = 1};
static const struct str prefix = STR("Return-Path: <s@uni.example>\r\nDelivered-To: a@uni.example\r\n");

// What is done with a message, by its number.
static bool is_appended(uint32_t id)
{
	return id / MAILBOXES % 3 == 2;
}

static bool is_flagged(uint32_t id)
{
	return id % 7 == 1;
}

static bool is_removed(uint32_t id)
{
	return id % 7 == 3;
}

static bool is_moved(uint32_t id)
{
	return id % 7 == 5;
}

struct bench {
	const char *dir;
	struct disk_trace *trace;
	struct store *store;
	uint64_t seed;
	bool is_small;
	_Atomic uint32_t next_id;
	uint32_t end_id;
};

static struct bench bench;

static size_t size_of(uint32_t id)
{
	static const size_t sizes[] = {300, 3000, 50000, 100000, 700, 12000};
	return sizes[(id + bench.seed) % (bench.is_small ? 4 : 6)];
}

static struct guid id_of(const char *kind, uint32_t n)
{
	struct guid zero = {0};
	char text[16];
	return guid_derive(&zero, str_of(text, (size_t)snprintf(text, sizeof text, "%u", n)), str_of_c(kind));
}

static struct mailbox_name name_of(struct arena *arena, const char *text)
{
	struct mailbox_name name;
	must(mailbox_name_from_utf8(str_of_c(text), arena, &name));
	return name;
}

static const char *folder_of(uint32_t id, char text[24])
{
	snprintf(text, 24, "moved-%u", id);
	return text;
}

static void died(const struct err *err, void *arg)
{
	(void)arg;
	fprintf(stderr, "died: %s\n", err->text);
	_exit(CRASH_DIED);
}

static void open_store(size_t open_max)
{
	struct err err = {0};
	struct store_config config = {
		.dir = str_of_c(bench.dir), .threads = 2, .open_max = open_max, .key_days = 30, .on_eio = died};
	if (store_open(&config, &bench.store, &err) == ERR_OK)
		return;
	fprintf(stderr, "no start: %s\n", err.text);
	_exit(CRASH_DIED);
}

static enum err_code open_mailbox(uint32_t mailbox, struct mailbox **mailbox_out, struct err *err)
{
	struct guid id = id_of("mailbox", mailbox);
	struct mailbox_access access = {.account = id, .actor = id, .home = &home};
	return mailbox_open(bench.store, &access, mailbox_out, err);
}

static enum err_code take_in(uint32_t id, size_t bytes, struct incoming **incoming_out, struct err *err)
{
	char *text = malloc(bytes);
	must(text != NULL);
	*incoming_out = incoming_new(bench.store, TEXT_BYTES_MAX);
	enum err_code code = incoming_add(*incoming_out, str_of(crash_text(id, bytes, text), bytes), err);
	free(text);
	return code;
}

#endif
