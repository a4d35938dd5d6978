// SPDX-License-Identifier: Apache-2.0
// For the tests of the store: a store in a directory of its own, and the short forms of what they do all the time.
#ifndef POPIMAP_TEST_STORE_H
#define POPIMAP_TEST_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <dirent.h>
#include <ftw.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/must.h"
#include "mailbox.h"

static const char *test_parent = "/tmp";
static unsigned test_threads = 4;
static char test_dir[64];
static struct store *test_store;
static struct arena *test_arena;
static const struct store_home test_home = {.host = {"mx1.uni.example", 15}, .epoch = 1};

static _Atomic unsigned test_eio; // calls of on_eio

static void test_on_eio(const struct err *err, void *arg)
{
	(void)arg;
	must(err->code == ERR_IO);
	test_eio++;
}

static __attribute__((noinline, unused)) void test_open(unsigned threads, size_t open_max)
{
	struct err err = {0};
	struct store_config config = {.dir = str_of_c(test_dir), .threads = threads, .open_max = open_max, .key_days = 30,
		.on_eio = test_on_eio};
	if (store_open(&config, &test_store, &err))
		fail_msg("%s", err.text);
}

static __attribute__((noinline, unused)) void test_reopen(void)
{
	store_close(&test_store);
	test_open(test_threads, 100);
}

static __attribute__((noinline, unused)) int test_setup(void **state)
{
	(void)state;
	snprintf(test_dir, sizeof test_dir, "%s/posthouse-store-XXXXXX", test_parent);
	if (mkdtemp(test_dir) == NULL)
		return -1;
	test_arena = arena_new(64 << 20);
	test_eio = 0;
	test_open(test_threads, 100);
	return 0;
}

static __attribute__((noinline, unused)) int test_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

// Mailboxes that a failed test left open, so that its report is not lost in an abort.
enum { TEST_MAILBOXES = 64 };
static struct mailbox *test_mailboxes[TEST_MAILBOXES];

static __attribute__((noinline, unused)) void test_close(struct mailbox **mailbox)
{
	for (size_t i = 0; i < TEST_MAILBOXES; i++)
		if (test_mailboxes[i] == *mailbox)
			test_mailboxes[i] = NULL;
	mailbox_close(mailbox);
}

static __attribute__((noinline, unused)) int test_teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < TEST_MAILBOXES; i++)
		mailbox_close(&test_mailboxes[i]);
	store_close(&test_store);
	arena_free(&test_arena);
	return nftw(test_dir, test_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

// A mailbox id that is the same for the same n.
static __attribute__((noinline, unused)) struct guid test_id(unsigned n)
{
	struct guid zero = {0};
	char text[16];
	return guid_derive(&zero, str_of(text, (size_t)snprintf(text, sizeof text, "%u", n)), STR("test"));
}

// Where a file of a mailbox is. Valid until the next call.
static __attribute__((noinline, unused)) const char *test_path(unsigned mailbox, const char *name)
{
	static char path[256];
	struct guid id = test_id(mailbox);
	char text[GUID_TEXT_BYTES];
	guid_text(&id, text);
	snprintf(path, sizeof path, "%s/%.2s/%s/%s", test_dir, text, text, name);
	return path;
}

static __attribute__((noinline, unused)) size_t test_count_files(const char *path)
{
	DIR *dir = opendir(path);
	size_t n = 0;
	for (struct dirent *e; dir && (e = readdir(dir)) != NULL;)
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

static __attribute__((noinline, unused)) struct mailbox_name test_name(const char *text)
{
	struct mailbox_name name;
	must(mailbox_name_from_utf8(str_of_c(text), test_arena, &name));
	return name;
}

static __attribute__((noinline, unused)) struct mailbox *test_mailbox(unsigned n)
{
	struct err err = {0};
	struct mailbox *mailbox = NULL;
	struct mailbox_access access = {.account = test_id(n), .actor = test_id(n), .home = &test_home};
	if (mailbox_open(test_store, &access, &mailbox, &err))
		fail_msg("%s", err.text);
	size_t i = 0;
	while (i < TEST_MAILBOXES && test_mailboxes[i])
		i++;
	must(i < TEST_MAILBOXES);
	return test_mailboxes[i] = mailbox;
}

static __attribute__((noinline, unused)) struct incoming *test_incoming(struct str text)
{
	struct err err = {0};
	struct incoming *incoming = incoming_new(test_store, 100 << 20);
	if (incoming_add(incoming, text, &err))
		fail_msg("%s", err.text);
	return incoming;
}

static const char test_message[] =
	"From: Ada <ada@uni.example>\r\nTo: bob@uni.example\r\nSubject: hello\r\n"
	"Message-ID: <1@uni.example>\r\nDate: Sat, 21 Nov 2026 19:44:15 +0100\r\n\r\nFirst line\r\n.second\r\n";
static const char test_prefix[] = "Return-Path: <ada@uni.example>\r\nDelivered-To: bob@uni.example\r\n";

static __attribute__((noinline, unused)) struct delivery test_delivery(unsigned mailbox, unsigned key, struct incoming *body)
{
	return (struct delivery){
		.account = test_id(mailbox),
		.home = &test_home,
		.root = test_id(1000000 + key),
		.prefix = str_of_c(test_prefix),
		.body = body,
		.received = {.utc_s = 1795286655, .zone_min = 60},
	};
}

// Delivers test_message under a key; the delivery as it came out.
static __attribute__((noinline, unused)) struct delivery test_deliver(unsigned mailbox, unsigned key)
{
	struct incoming *body = test_incoming(str_of_c(test_message));
	struct delivery delivery = test_delivery(mailbox, key, body);
	store_deliver(test_store, &delivery, 1);
	incoming_free(&body);
	return delivery;
}

static __attribute__((noinline, unused)) void test_append(struct mailbox *mailbox, const char *folder, struct str text,
	uint64_t flags)
{
	struct err err = {0};
	struct mailbox_name name = test_name(folder);
	struct incoming *body = test_incoming(text);
	struct append append = {.body = body, .flags = {.system = flags}, .received = {.utc_s = 1000000000, .zone_min = -300}};
	uint32_t uidvalidity;
	struct uid_list uids;
	if (message_append(mailbox, &name, &append, 1, test_arena, &uidvalidity, &uids, &err))
		fail_msg("%s", err.text);
	assert_int_equal(uids.n, 1);
	incoming_free(&body);
}

static __attribute__((noinline, unused)) struct folder_view test_select(struct mailbox *mailbox, const char *folder,
	enum folder_mode mode)
{
	struct err err = {0};
	struct folder_view view;
	struct mailbox_name name = test_name(folder);
	if (folder_select(mailbox, &name, mode, test_arena, &view, &err))
		fail_msg("%s: %s", folder, err.text);
	return view;
}

static __attribute__((noinline, unused)) struct folder_info test_status(struct mailbox *mailbox, const char *folder)
{
	struct err err = {0};
	struct folder_info info;
	struct mailbox_name name = test_name(folder);
	if (folder_status(mailbox, &name, test_arena, &info, &err))
		fail_msg("%s: %s", folder, err.text);
	return info;
}

static __attribute__((noinline, unused)) struct folder_seen test_seen(const struct folder_view *view, bool take_recent)
{
	return (struct folder_seen){.modseq = view->info.modseq,
		.uidnext = view->info.uidnext,
		.uidvalidity = view->info.uidvalidity,
		.take_recent = take_recent};
}

// Valid until the next call.
static __attribute__((noinline, unused)) const struct folder_changes *test_changes(struct mailbox *mailbox, uint32_t folder,
	const struct folder_seen *seen)
{
	struct err err = {0};
	static struct folder_changes changes;
	if (folder_changes(mailbox, folder, seen, test_arena, &changes, &err))
		fail_msg("%s", err.text);
	return &changes;
}

static __attribute__((noinline, unused)) struct message test_fetch(struct mailbox *mailbox, uint32_t folder, uint32_t uid,
	unsigned what)
{
	struct err err = {0};
	struct message *messages;
	size_t n;
	if (message_fetch(mailbox, folder, &uid, 1, what, test_arena, &messages, &n, &err))
		fail_msg("%s", err.text);
	assert_int_equal(n, 1);
	return messages[0];
}

static __attribute__((noinline, unused)) struct flag_result test_flag(struct mailbox *mailbox, uint32_t folder, uint32_t uid,
	enum flag_change change, uint64_t flags)
{
	struct err err = {0};
	struct flag_result result;
	struct flag_request request = {.change = change, .flags = {.system = flags}, .unchanged_since = UINT64_MAX};
	if (message_flag(mailbox, folder, &uid, 1, &request, test_arena, &result, &err))
		fail_msg("%s", err.text);
	return result;
}

// Names of all folders, with '!' before those that cannot be selected, '-' before those that are only subscribed, '+' after
// parents.
static __attribute__((noinline, unused)) const char *test_folders(struct mailbox *mailbox)
{
	struct err err = {0};
	struct folder_info *infos;
	size_t n;
	static char text[4096];
	size_t at = 0;
	text[0] = '\0';
	if (folder_list(mailbox, test_arena, &infos, &n, &err))
		fail_msg("%s", err.text);
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof text - at, "%s%s%.*s%s", i ? " " : "",
			infos[i].id == 0        ? "-" :
			!infos[i].selectable    ? "!" :
						  "",
			STR_FMT(infos[i].name.path), infos[i].has_children ? "+" : "");
	return text;
}

#endif
