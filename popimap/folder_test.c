// SPDX-License-Identifier: Apache-2.0
// What a session does to folders: names, their numbers, what changed in one and who is told.
#include "test_mailbox.h"

// --- Folders ---

static void folders_are_a_tree(void **state)
{
	(void)state;
	assert_int_equal(create("a/b/c"), ERR_OK);
	assert_int_equal(create("a!"), ERR_OK);
	assert_int_equal(create("a/b"), ERR_EXISTS);
	assert_int_equal(create("inbox"), ERR_EXISTS);
	assert_int_equal(create("Inbox/Sub"), ERR_OK);
	assert_string_equal(test_folders(mb), "INBOX+ INBOX/Sub Drafts Junk Sent Trash a+ a/b+ a/b/c a!");
	// A parent stays as a name only, until its children are gone.
	append("a/b", 0);
	assert_int_equal(delete("a/b"), ERR_OK);
	assert_string_equal(test_folders(mb), "INBOX+ INBOX/Sub Drafts Junk Sent Trash a+ !a/b+ a/b/c a!");
	struct mailbox_name name = test_name("a/b");
	struct folder_info info;
	struct folder_view view;
	assert_int_equal(folder_status(mb, &name, test_arena, &info, &err), ERR_NOTFOUND);
	assert_int_equal(folder_select(mb, &name, FOLDER_READ_ONLY, test_arena, &view, &err), ERR_NOTFOUND);
	assert_int_equal(delete("a/b"), ERR_EXISTS);
	assert_int_equal(create("a/b"), ERR_OK);
	assert_int_equal(test_status(mb, "a/b").messages, 0);
	assert_int_equal(delete("a/b/c"), ERR_OK);
	assert_int_equal(delete("a/b"), ERR_OK);
	assert_int_equal(delete("a/b"), ERR_NOTFOUND);
	assert_int_equal(delete("INBOX"), ERR_DENIED);
	assert_string_equal(test_folders(mb), "INBOX+ INBOX/Sub Drafts Junk Sent Trash a a!");
}

static void a_name_made_again_is_another_folder(void **state)
{
	(void)state;
	uint32_t uidvalidity = 0, id = 0;
	struct guid guid = {0};
	for (int i = 0; i < 5; i++) {
		assert_int_equal(create("x"), ERR_OK);
		struct folder_info info = test_status(mb, "x");
		assert_true(info.uidvalidity > uidvalidity && info.id > id);
		id = info.id;
		assert_false(guid_eq(&info.guid, &guid));
		uidvalidity = info.uidvalidity;
		guid = info.guid;
		append("x", 0);
		assert_int_equal(delete("x"), ERR_OK);
		test_close(&mb);
		test_reopen();
		mb = test_mailbox(1);
	}
	struct mailbox_usage usage;
	assert_int_equal(mailbox_usage(mb, &usage, &err), ERR_OK);
	assert_int_equal(usage.messages, 0);
	assert_int_equal(usage.bytes, 0);
}

static void renaming_takes_children_along(void **state)
{
	(void)state;
	assert_int_equal(create("a/b/c"), ERR_OK);
	append("a/b", 0);
	struct folder_info before = test_status(mb, "a/b");
	assert_int_equal(rename_to("a", "new/place"), ERR_OK);
	assert_string_equal(test_folders(mb), "INBOX Drafts Junk Sent Trash new+ new/place+ new/place/b+ new/place/b/c");
	struct folder_info after = test_status(mb, "new/place/b");
	assert_true(after.id == before.id && after.uidvalidity == before.uidvalidity && guid_eq(&after.guid, &before.guid));
	assert_int_equal(after.messages, 1);
	assert_int_equal(rename_to("new", "new/below"), ERR_INVALID);
	assert_int_equal(rename_to("new", "Sent"), ERR_EXISTS);
	assert_int_equal(rename_to("nothing", "x"), ERR_NOTFOUND);
	char name[MAILBOX_NAME_BYTES_MAX];
	memset(name, 'n', sizeof name);
	name[MAILBOX_NAME_BYTES_MAX - 3] = '\0';
	assert_int_equal(rename_to("new", name), ERR_LIMIT);
	assert_string_equal(test_folders(mb), "INBOX Drafts Junk Sent Trash new+ new/place+ new/place/b+ new/place/b/c");
}

static void renaming_inbox_moves_its_messages(void **state)
{
	(void)state;
	append("INBOX", FLAG_SEEN);
	append("INBOX", 0);
	assert_int_equal(create("INBOX/child"), ERR_OK);
	struct folder_info before = test_status(mb, "INBOX");
	assert_int_equal(rename_to("INBOX", "old"), ERR_OK);
	assert_string_equal(test_folders(mb), "INBOX+ INBOX/child Drafts Junk Sent Trash old");
	struct folder_info inbox = test_status(mb, "INBOX"), old = test_status(mb, "old");
	assert_int_equal(inbox.messages, 0);
	assert_int_equal(inbox.id, before.id);
	assert_int_equal(inbox.uidnext, before.uidnext);
	assert_true(old.messages == 2 && old.unseen == 1 && old.bytes == before.bytes);
}

static void subscriptions_outlive_folders(void **state)
{
	(void)state;
	assert_int_equal(create("list/one"), ERR_OK);
	assert_int_equal(subscribe("list/one", true), ERR_OK);
	assert_int_equal(subscribe("list/one", true), ERR_OK);
	assert_int_equal(subscribe("never/was", true), ERR_OK);
	assert_int_equal(subscribe("Junk", false), ERR_OK);
	assert_int_equal(delete("list/one"), ERR_OK);
	assert_string_equal(test_folders(mb), "INBOX Drafts Junk Sent Trash list -list/one -never/was");
	assert_false(test_status(mb, "Junk").subscribed);
	assert_int_equal(subscribe("list/one", false), ERR_OK);
	assert_string_equal(test_folders(mb), "INBOX Drafts Junk Sent Trash list -never/was");
}

static void a_special_use_is_had_once(void **state)
{
	(void)state;
	struct mailbox_name name = test_name("Gesendet");
	assert_int_equal(folder_create(mb, &name, FOLDER_USE_SENT, &err), ERR_INVALID);
	assert_int_equal(folder_create(mb, &name, FOLDER_USE_ARCHIVE, &err), ERR_OK);
	assert_int_equal(test_status(mb, "Gesendet").use, FOLDER_USE_ARCHIVE);
	assert_int_equal(delete("Sent"), ERR_OK);
	test_close(&mb);
	test_reopen();
	mb = test_mailbox(1);
	assert_string_equal(test_folders(mb), "INBOX Drafts Gesendet Junk -Sent Trash"); // a deleted default does not come back
}

// --- Numbers ---

static void uids_never_come_back(void **state)
{
	(void)state;
	struct uid_list gone;
	for (int i = 0; i < 3; i++)
		append("INBOX", FLAG_DELETED);
	assert_int_equal(message_expunge(mb, id_of("INBOX"), NULL, 0, test_arena, &gone, &err), ERR_OK);
	assert_int_equal(gone.n, 3);
	assert_int_equal(test_status(mb, "INBOX").uidnext, 4);
	test_close(&mb);
	test_reopen();
	mb = test_mailbox(1);
	assert_int_equal(test_status(mb, "INBOX").uidnext, 4);
	append("INBOX", 0);
	struct folder_view view = test_select(mb, "INBOX", FOLDER_READ_ONLY);
	assert_true(view.uids.n == 1 && view.uids.p[0] == 4);
}

// The last number given is in no one place: in a folder's row, which may go, or in the owner's.
static void change_numbers_never_come_back(void **state)
{
	(void)state;
	uint64_t last = 0;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(create("Gone"), ERR_OK);
		append("Gone", 0);
		uint64_t given = test_status(mb, "Gone").modseq;
		assert_int_equal(i % 2 ? delete("Gone") : subscribe("Gone", i == 0), ERR_OK);
		if (i % 2 == 0)
			assert_int_equal(delete("Gone"), ERR_OK);
		test_close(&mb);
		test_reopen();
		mb = test_mailbox(1);
		append("INBOX", 0);
		uint64_t next = test_status(mb, "INBOX").modseq;
		assert_true(given > last && next > given + 1); // the deletion had a number too
		last = next;
	}
}

static void recent_is_told_to_one_session(void **state)
{
	(void)state;
	append("INBOX", 0);
	static struct folder_view readonly, first, second;
	readonly = test_select(mb, "INBOX", FOLDER_READ_ONLY);
	first = test_select(mb, "INBOX", FOLDER_READ_WRITE);
	second = test_select(mb, "INBOX", FOLDER_READ_WRITE);
	assert_true(readonly.recent_from == 1 && readonly.info.recent == 1);
	assert_true(first.recent_from == 1 && second.recent_from == 0 && second.info.recent == 0);
	append("INBOX", 0);
	struct folder_seen a = test_seen(&first, true), b = test_seen(&second, true), c = test_seen(&readonly, false);
	assert_int_equal(test_status(mb, "INBOX").recent, 1);
	assert_int_equal(test_changes(mb, first.info.id, &c)->recent_from, 2);
	assert_int_equal(test_changes(mb, first.info.id, &b)->recent_from, 2);
	assert_int_equal(test_changes(mb, first.info.id, &a)->recent_from, 0);
	test_close(&mb);
	test_reopen();
	mb = test_mailbox(1);
	assert_int_equal(test_status(mb, "INBOX").recent, 0); // also kept on the disk
}

static void changes_are_told_once_and_whole(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		append("INBOX", 0);
	struct folder_view view = test_select(mb, "INBOX", FOLDER_READ_WRITE);
	struct folder_seen seen = test_seen(&view, true);
	struct uid_list gone;
	const uint32_t two[] = {2, 5};
	assert_int_equal(test_changes(mb, view.info.id, &seen)->changed_n, 0);
	append("INBOX", FLAG_FLAGGED);
	append("INBOX", 0);
	test_flag(mb, view.info.id, 3, FLAG_ADD, FLAG_SEEN);
	test_flag(mb, view.info.id, 1, FLAG_ADD, FLAG_DELETED);
	assert_int_equal(message_remove(mb, view.info.id, two, 2, test_arena, &gone, &err), ERR_OK);
	assert_int_equal(gone.n, 2);
	const struct folder_changes *changes = test_changes(mb, view.info.id, &seen);
	assert_false(changes->gone);
	assert_true(changes->expunged.n == 1 && changes->expunged.p[0] == 2); // 5 came and went unseen
	assert_true(changes->arrived_n == 1 && changes->arrived[0].uid == 6);
	assert_int_equal(changes->uidnext, 7);
	assert_int_equal(changes->changed_n, 2);
	assert_true(changes->changed[0].uid == 1 && changes->changed[0].flags == FLAG_DELETED);
	assert_true(changes->changed[1].uid == 3 && changes->changed[1].flags == FLAG_SEEN);
	assert_true(changes->changed[0].modseq > changes->changed[1].modseq && changes->modseq > changes->changed[0].modseq);
	seen.modseq = changes->modseq;
	seen.uidnext = changes->uidnext;
	changes = test_changes(mb, view.info.id, &seen);
	assert_true(changes->arrived_n == 0 && changes->changed_n == 0 && changes->expunged.n == 0);
	test_append(mb, "Sent", str_of_c(test_message), 0); // another folder is no news here
	assert_int_equal(test_changes(mb, view.info.id, &seen)->modseq, seen.modseq);
}

static void a_watch_tells_of_its_folder(void **state)
{
	(void)state;
	struct folder_view view = test_select(mb, "INBOX", FOLDER_READ_WRITE);
	struct folder_seen seen = test_seen(&view, true);
	struct watch *watch = watch_new(mb, view.info.id);
	assert_false(watch_changed(watch));
	append("Sent", 0);
	assert_false(watch_changed(watch));
	assert_int_equal(test_deliver(1, 1).code, ERR_OK);
	assert_true(watch_changed(watch));
	assert_false(watch_changed(watch));
	struct watch *other = watch_new(mb, id_of("Sent"));
	assert_int_equal(delete("Sent"), ERR_OK);
	assert_true(watch_changed(other));
	assert_false(watch_changed(watch));
	watch_free(&watch);
	watch_free(&other);
	seen.uidvalidity++;
	assert_true(test_changes(mb, view.info.id, &seen)->gone);
	assert_true(test_changes(mb, 999, &seen)->gone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(folders_are_a_tree),
		TEST(a_name_made_again_is_another_folder),
		TEST(renaming_takes_children_along),
		TEST(renaming_inbox_moves_its_messages),
		TEST(subscriptions_outlive_folders),
		TEST(a_special_use_is_had_once),
		TEST(uids_never_come_back),
		TEST(change_numbers_never_come_back),
		TEST(recent_is_told_to_one_session),
		TEST(changes_are_told_once_and_whole),
		TEST(a_watch_tells_of_its_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
