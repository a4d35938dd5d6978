// SPDX-License-Identifier: Apache-2.0
// What a session does in a mailbox: folders, numbers, flags, copies, changes, \Recent, searching.
#include "test_store.h"

#include "mailbox_private.h"

static struct mailbox *mb;
static struct err err;

static int setup(void **state)
{
	int failed = test_setup(state);
	mb = test_mailbox(1);
	return failed;
}

static int teardown(void **state)
{
	test_close(&mb);
	return test_teardown(state);
}

static enum err_code create(const char *text)
{
	struct mailbox_name name = test_name(text);
	return folder_create(mb, &name, FOLDER_USE_NONE, &err);
}

static enum err_code delete(const char *text)
{
	struct mailbox_name name = test_name(text);
	return folder_delete(mb, &name, &err);
}

static enum err_code rename_to(const char *from, const char *to)
{
	struct mailbox_name a = test_name(from), b = test_name(to);
	return folder_rename(mb, &a, &b, &err);
}

static enum err_code subscribe(const char *text, bool yes)
{
	struct mailbox_name name = test_name(text);
	return folder_subscribe(mb, &name, yes, &err);
}

static void append(const char *folder, uint64_t flags)
{
	test_append(mb, folder, str_of_c(test_message), flags);
}

static uint32_t id_of(const char *folder)
{
	return test_status(mb, folder).id;
}

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

// --- Flags ---

static struct flag_result flag_all(uint32_t folder, const uint32_t *uids, size_t n, struct flag_request request)
{
	struct flag_result result;
	if (message_flag(mb, folder, uids, n, &request, test_arena, &result, &err))
		fail_msg("%s", err.text);
	return result;
}

static void flags_change_by_name(void **state)
{
	(void)state;
	append("INBOX", FLAG_SEEN);
	append("INBOX", 0);
	uint32_t inbox = id_of("INBOX");
	const uint32_t uids[] = {1, 2, 77};
	const struct str words[] = {STR("$Forwarded"), STR("work")}, again[] = {STR("$FORWARDED")};
	static struct flag_result r;
	r = flag_all(inbox, uids, 3, (struct flag_request){FLAG_ADD, {.system = FLAG_ANSWERED, .keywords = words, .n = 2}, UINT64_MAX});
	uint64_t forwarded = UINT64_C(1) << FLAG_KEYWORD_0, work = UINT64_C(2) << FLAG_KEYWORD_0;
	assert_int_equal(r.n, 2);
	assert_true(r.now[0].flags == (FLAG_SEEN | FLAG_ANSWERED | forwarded | work));
	assert_true(r.keywords.n == 2 && str_eq(r.keywords.name[0], STR("$Forwarded")));
	struct folder_info info = test_status(mb, "INBOX");
	assert_true(info.unseen == 1 && info.messages == 2);
	// Names are compared without case; a change that changes nothing keeps MODSEQ.
	uint64_t modseq = r.now[0].modseq;
	r = flag_all(inbox, uids, 1, (struct flag_request){FLAG_ADD, {.keywords = again, .n = 1}, UINT64_MAX});
	assert_true(r.now[0].modseq == modseq && r.modseq == 0 && r.keywords.n == 2);
	r = flag_all(inbox, uids, 1, (struct flag_request){FLAG_REMOVE, {.system = FLAG_SEEN, .keywords = again, .n = 1}, UINT64_MAX});
	assert_true(r.now[0].flags == (FLAG_ANSWERED | work) && r.now[0].modseq > modseq);
	assert_int_equal(test_status(mb, "INBOX").unseen, 2);
	// UNCHANGEDSINCE refuses what changed later; the rest goes on.
	r = flag_all(inbox, uids, 2, (struct flag_request){FLAG_REPLACE, {.system = FLAG_DELETED}, modseq});
	assert_true(r.modified.n == 1 && r.modified.p[0] == 1 && r.n == 1 && r.now[0].uid == 2 && r.now[0].flags == FLAG_DELETED);
	assert_int_equal(test_status(mb, "INBOX").deleted, 1);
}

// What is told of a change is what is stored, for ranges with holes and with messages that refuse.
static void many_flags_change_as_told(void **state)
{
	(void)state;
	enum { MESSAGES = 12 };
	for (unsigned i = 1; i <= MESSAGES; i++)
		append("INBOX", i % 5 ? 0 : FLAG_SEEN);
	uint32_t inbox = id_of("INBOX");
	const uint32_t three = 3, uids[] = {1, 2, 3, 5, 6, 7, 8, 11, 12, 13};
	static const struct {
		enum flag_change change;
		uint64_t flags, want[MESSAGES];
	} steps[] = {
		{FLAG_ADD, FLAG_SEEN, {1, 1, 16, 0, 1, 1, 1, 1, 0, 1, 1, 1}}, // uids 3, 4, 9 stay; 5 and 10 had it
		{FLAG_REPLACE, FLAG_FLAGGED, {4, 4, 16, 0, 4, 4, 4, 4, 0, 1, 4, 4}},
		{FLAG_REMOVE, FLAG_FLAGGED, {0, 0, 16, 0, 0, 0, 0, 0, 0, 1, 0, 0}},
	};
	for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
		uint64_t since = test_status(mb, "INBOX").modseq; // which only uid 3 is behind
		flag_all(inbox, &three, 1, (struct flag_request){FLAG_REPLACE, {.system = FLAG_ANSWERED}, UINT64_MAX});
		flag_all(inbox, &three, 1, (struct flag_request){FLAG_REPLACE, {.system = FLAG_DRAFT}, UINT64_MAX});
		struct flag_result r = flag_all(inbox, uids, 10, (struct flag_request){steps[s].change, {.system = steps[s].flags}, since});
		assert_true(r.modified.n == 1 && r.modified.p[0] == 3 && r.n == 8);
		for (size_t i = 0; i < r.n; i++) {
			struct message m = test_fetch(mb, inbox, r.now[i].uid, 0);
			assert_true(m.flags == r.now[i].flags && m.modseq == r.now[i].modseq);
		}
		uint32_t unseen = 0;
		for (uint32_t uid = 1; uid <= MESSAGES; uid++) {
			uint64_t flags = test_fetch(mb, inbox, uid, 0).flags;
			assert_int_equal(flags, steps[s].want[uid - 1]);
			unseen += !(flags & FLAG_SEEN);
		}
		assert_int_equal(test_status(mb, "INBOX").unseen, unseen);
	}
}

// Over several blocks of flags, against a list of what they should be: changes of some, of runs and of all, expunges, arrivals; and what is
// told of it to a session that asks for changes.
enum { MODEL_MAX = 700 };
struct model {
	uint64_t flags[MODEL_MAX], modseq[MODEL_MAX]; // by uid
	bool there[MODEL_MAX];
	uint32_t uidnext;
};

static size_t pick(const struct model *model, uint32_t random, uint32_t *uids)
{
	uint32_t first = random >> 8 & 1 ? 1 + (random >> 9) % model->uidnext : 1, step = random >> 20 & 1 ? 1 : 1 + (random >> 21) % 50;
	size_t n = 0;
	for (uint32_t uid = first; uid < model->uidnext; uid += step)
		uids[n++] = uid; // also such as are gone
	return n;
}

static void change_model(struct model *model, uint32_t inbox, uint32_t random)
{
	uint32_t uids[MODEL_MAX];
	size_t n = pick(model, random, uids);
	const struct flag_request request = {(enum flag_change)((random >> 16) % 3), {.system = random >> 4 & FLAG_SYSTEM}, UINT64_MAX, 0};
	struct flag_result r = flag_all(inbox, uids, n, request);
	size_t told = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t uid = uids[i];
		if (!model->there[uid])
			continue;
		uint64_t set = request.flags.system, before = model->flags[uid];
		model->flags[uid] = request.change == FLAG_ADD ? before | set : request.change == FLAG_REMOVE ? before & ~set : set;
		if (model->flags[uid] != before)
			model->modseq[uid] = r.modseq;
		assert_true(r.now[told].uid == uid && r.now[told].flags == model->flags[uid] && r.now[told].modseq == model->modseq[uid]);
		told++;
	}
	assert_int_equal(told, r.n);
}

static void remove_from_model(struct model *model, uint32_t inbox, uint32_t random)
{
	uint32_t uids[MODEL_MAX];
	size_t n = pick(model, random, uids);
	struct uid_list gone;
	assert_int_equal(message_remove(mb, inbox, uids, n / 4, test_arena, &gone, &err), ERR_OK);
	size_t next = 0;
	for (size_t i = 0; i < n / 4; i++) {
		if (!model->there[uids[i]])
			continue;
		model->there[uids[i]] = false;
		assert_true(next < gone.n && gone.p[next++] == uids[i]);
	}
	assert_int_equal(next, gone.n);
}

static void check_model(const struct model *model, uint32_t inbox, const struct folder_seen *seen)
{
	const struct folder_changes *changes = test_changes(mb, inbox, seen);
	struct folder_view view = test_select(mb, "INBOX", FOLDER_READ_ONLY);
	size_t there = 0, changed = 0, arrived = 0;
	for (uint32_t uid = 1; uid < model->uidnext; uid++) {
		if (!model->there[uid])
			continue;
		assert_int_equal(view.uids.p[there++], uid);
		if (model->modseq[uid] <= seen->modseq)
			continue;
		const struct folder_change *c = uid < seen->uidnext ? &changes->changed[changed++] : &changes->arrived[arrived++];
		assert_true(c->uid == uid && c->flags == model->flags[uid] && c->modseq == model->modseq[uid]);
	}
	assert_true(there == view.uids.n && changed == changes->changed_n && arrived == changes->arrived_n);
}

static void flags_of_many_messages_are_what_was_done(void **state)
{
	(void)state;
	static struct model model;
	model = (struct model){.uidnext = 1};
	uint32_t inbox = id_of("INBOX"), random = 777;
	for (int round = 0; round < 120; round++) {
		struct folder_view view = test_select(mb, "INBOX", FOLDER_READ_WRITE);
		struct folder_seen seen = test_seen(&view, true);
		for (int i = 0; i < 5 && model.uidnext < MODEL_MAX; i++) {
			append("INBOX", FLAG_DRAFT);
			uint32_t uid = model.uidnext++;
			model.there[uid] = true;
			model.flags[uid] = FLAG_DRAFT;
			model.modseq[uid] = test_status(mb, "INBOX").modseq;
		}
		random = random * 1103515245 + 12345;
		if (round % 10 == 9)
			remove_from_model(&model, inbox, random);
		else
			change_model(&model, inbox, random);
		check_model(&model, inbox, &seen);
		if (round % 50 == 49) {
			check_model(&model, inbox, &(struct folder_seen){.uidnext = 1, .uidvalidity = seen.uidvalidity});
			arena_reset(test_arena);
		}
	}
}

static void keywords_have_an_end(void **state)
{
	(void)state;
	append("INBOX", 0);
	uint32_t inbox = id_of("INBOX"), uid = 1;
	static char names[FLAG_KEYWORDS_MAX + 1][16];
	static struct str words[FLAG_KEYWORDS_MAX + 1];
	for (size_t i = 0; i <= FLAG_KEYWORDS_MAX; i++)
		words[i] = str_of(names[i], (size_t)snprintf(names[i], sizeof names[i], "word%zu", i));
	struct flag_result r;
	struct flag_request request = {FLAG_ADD, {.keywords = words, .n = FLAG_KEYWORDS_MAX + 1}, UINT64_MAX};
	assert_int_equal(message_flag(mb, inbox, &uid, 1, &request, test_arena, &r, &err), ERR_LIMIT);
	request.flags.n = FLAG_KEYWORDS_MAX;
	r = flag_all(inbox, &uid, 1, request);
	assert_int_equal(r.keywords.n, FLAG_KEYWORDS_MAX); // nothing of the refused one stayed
	assert_true(r.now[0].flags == ((UINT64_C(1) << FLAG_KEYWORDS_MAX) - 1) << FLAG_KEYWORD_0);
	assert_true(test_fetch(mb, inbox, 1, 0).flags == r.now[0].flags);
}

// --- Copies ---

static void copies_share_bodies_and_keep_what_a_message_has(void **state)
{
	(void)state;
	uint32_t inbox = id_of("INBOX");
	const uint32_t uids[] = {1, 2, 3, 9};
	const struct str words[] = {STR("a"), STR("b")};
	for (int i = 0; i < 3; i++)
		append("INBOX", FLAG_SEEN);
	flag_all(inbox, uids, 1, (struct flag_request){FLAG_ADD, {.keywords = words, .n = 2}, UINT64_MAX});
	append("Sent", 0);
	flag_all(id_of("Sent"), uids, 1, (struct flag_request){FLAG_ADD, {.keywords = words + 1, .n = 1}, UINT64_MAX});
	struct mailbox_name sent = test_name("Sent"), nowhere = test_name("nowhere");
	struct copy_result r;
	bool missing;
	assert_int_equal(message_copy(mb, inbox, uids, 4, &sent, false, test_arena, &r, &missing, &err), ERR_OK);
	assert_true(r.from.n == 3 && r.to.n == 3 && r.from.p[2] == 3 && r.to.p[0] == 2 && r.to.p[2] == 4);
	assert_int_equal(r.uidvalidity, test_status(mb, "Sent").uidvalidity);
	struct message a = test_fetch(mb, inbox, 1, FETCH_IDS), b = test_fetch(mb, id_of("Sent"), 2, FETCH_IDS | FETCH_TEXT);
	assert_true(guid_eq(&a.emailid, &b.emailid) && a.thread == b.thread && a.received.utc_s == b.received.utc_s);
	assert_true(str_eq(b.text, str_of_c(test_message)));
	assert_true(b.flags == (FLAG_SEEN | UINT64_C(3) << FLAG_KEYWORD_0)); // "b" is bit 0 there, "a" has become bit 1
	assert_int_equal(message_copy(mb, inbox, uids, 1, &nowhere, false, test_arena, &r, &missing, &err), ERR_NOTFOUND);
	assert_true(missing);
	assert_int_equal(message_copy(mb, 999, uids, 1, &sent, false, test_arena, &r, &missing, &err), ERR_NOTFOUND);
	assert_false(missing);
	struct mailbox_usage usage;
	assert_int_equal(mailbox_usage(mb, &usage, &err), ERR_OK);
	assert_int_equal(usage.messages, 7);
}

static void moving_is_one_step(void **state)
{
	(void)state;
	append("INBOX", 0);
	append("INBOX", FLAG_DELETED);
	static struct folder_view view;
	view = test_select(mb, "INBOX", FOLDER_READ_WRITE);
	struct folder_seen seen = test_seen(&view, true);
	struct mailbox_name trash = test_name("Trash"), inbox = test_name("INBOX");
	struct copy_result r;
	bool missing;
	assert_int_equal(message_copy(mb, view.info.id, view.uids.p, 2, &trash, true, test_arena, &r, &missing, &err), ERR_OK);
	assert_true(r.from.n == 2 && test_status(mb, "INBOX").messages == 0 && test_status(mb, "Trash").messages == 2);
	assert_int_equal(test_status(mb, "Trash").deleted, 1);
	assert_int_equal(test_changes(mb, view.info.id, &seen)->expunged.n, 2);
	struct message m = test_fetch(mb, view.info.id, 1, FETCH_TEXT);
	assert_true(m.found && m.expunged && str_eq(m.text, str_of_c(test_message))); // other sessions may still read it
	uint32_t first = 1;
	assert_int_equal(message_copy(mb, id_of("Trash"), &first, 1, &trash, true, test_arena, &r, &missing, &err), ERR_OK);
	assert_int_equal(r.to.p[0], 3);
	assert_int_equal(message_copy(mb, id_of("Trash"), &r.to.p[0], 1, &inbox, true, test_arena, &r, &missing, &err), ERR_OK);
	assert_int_equal(test_status(mb, "INBOX").messages, 1);
}

static void appends_are_all_or_nothing(void **state)
{
	(void)state;
	struct incoming *bodies[] = {test_incoming(STR("A: 1\r\n\r\none\r\n")), test_incoming(STR("A: 2\r\n\r\ntwo\r\n"))};
	struct str too_long;
	char name[FLAG_KEYWORD_BYTES_MAX + 1];
	memset(name, 'k', sizeof name);
	too_long = str_of(name, sizeof name);
	struct append appends[] = {{.body = bodies[0], .flags.system = FLAG_DRAFT}, {.body = bodies[1], .flags = {.keywords = &too_long, .n = 1}}};
	struct mailbox_name drafts = test_name("Drafts"), nowhere = test_name("nowhere");
	uint32_t uidvalidity;
	struct uid_list uids;
	assert_int_equal(message_append(mb, &drafts, appends, 2, test_arena, &uidvalidity, &uids, &err), ERR_LIMIT);
	assert_int_equal(test_status(mb, "Drafts").messages, 0);
	assert_int_equal(test_status(mb, "Drafts").uidnext, 1);
	appends[1].flags.n = 0;
	assert_int_equal(message_append(mb, &nowhere, appends, 2, test_arena, &uidvalidity, &uids, &err), ERR_NOTFOUND);
	assert_int_equal(message_append(mb, &drafts, appends, 2, test_arena, &uidvalidity, &uids, &err), ERR_OK);
	assert_true(uids.n == 2 && uids.p[0] == 1 && uids.p[1] == 2);
	assert_true(str_eq(test_fetch(mb, id_of("Drafts"), 2, FETCH_TEXT).text, STR("A: 2\r\n\r\ntwo\r\n")));
	incoming_free(&bodies[0]);
	incoming_free(&bodies[1]);
}

// --- Reading ---

static void fetching_goes_on_where_it_stopped(void **state)
{
	(void)state;
	static char text[40000];
	memset(text, 'x', sizeof text);
	memcpy(text, "A: b\r\n\r\n", 8);
	uint32_t uids[20];
	for (uint32_t i = 0; i < 20; i++) {
		test_append(mb, "INBOX", str_of(text, sizeof text), 0);
		uids[i] = i + 1;
	}
	uint32_t inbox = id_of("INBOX");
	size_t at = 0, calls = 0;
	while (at < 20) {
		struct message *messages;
		size_t n;
		assert_int_equal(message_fetch(mb, inbox, uids + at, 20 - at, FETCH_TEXT, test_arena, &messages, &n, &err), ERR_OK);
		assert_true(n > 0);
		for (size_t i = 0; i < n; i++)
			assert_true(messages[i].uid == at + i + 1 && messages[i].text.n == sizeof text);
		at += n;
		calls++;
	}
	assert_int_equal(calls, 3);
	assert_true(str_eq(test_fetch(mb, inbox, 3, FETCH_HEADER).text, STR("A: b\r\n\r\n")));
	assert_false(test_fetch(mb, inbox, 999, FETCH_TEXT).found);
	struct arena *small = arena_new(4096);
	struct message *messages;
	size_t n;
	assert_int_equal(message_fetch(mb, inbox, uids, 1, FETCH_TEXT, small, &messages, &n, &err), ERR_LIMIT);
	arena_free(&small);
}

static void fetching_many_finds_what_fetching_one_does(void **state)
{
	(void)state;
	struct uid_list gone;
	uint32_t uids[30], inbox = id_of("INBOX");
	for (uint32_t i = 0; i < 30; i++) {
		append("INBOX", i % 3 ? FLAG_SEEN : 0);
		uids[i] = i + 3; // the last two never were
	}
	assert_int_equal(message_remove(mb, inbox, &uids[4], 3, test_arena, &gone, &err), ERR_OK);
	struct message *messages, *flags;
	size_t n;
	assert_int_equal(message_fetch(mb, inbox, uids, 30, 0, test_arena, &messages, &n, &err), ERR_OK);
	assert_int_equal(n, 30);
	assert_int_equal(message_fetch(mb, inbox, uids, 30, FETCH_FLAGS, test_arena, &flags, &n, &err), ERR_OK);
	assert_int_equal(n, 30);
	for (size_t i = 0; i < 30; i++) {
		struct message one = test_fetch(mb, inbox, uids[i], 0);
		assert_int_equal(messages[i].uid, uids[i]);
		assert_int_equal(messages[i].found, i < 28);
		assert_int_equal(messages[i].expunged, i >= 4 && i < 7);
		assert_true(one.flags == messages[i].flags && one.modseq == messages[i].modseq && one.bytes == messages[i].bytes &&
			one.expunged == messages[i].expunged);
		assert_true(flags[i].uid == uids[i] && flags[i].found == one.found && flags[i].flags == one.flags &&
			flags[i].modseq == one.modseq && flags[i].expunged == one.expunged);
	}
}

static bool match_needle(void *arg, const struct message *message)
{
	++*(size_t *)arg;
	return str_find(message->text, STR("needle")) >= 0;
}

static void searching_looks_at_each_message_once(void **state)
{
	(void)state;
	uint32_t uids[200];
	for (uint32_t i = 0; i < 200; i++) {
		test_append(mb, "INBOX", i % 50 == 7 ? STR("Subject: x\r\n\r\nthe needle\r\n") : STR("Subject: needle\r\n\r\nhay\r\n"), 0);
		uids[i] = i + 1;
	}
	uint32_t inbox = id_of("INBOX");
	struct uid_list matched, gone;
	size_t looked = 0;
	assert_int_equal(message_remove(mb, inbox, &uids[57], 1, test_arena, &gone, &err), ERR_OK);
	assert_int_equal(message_scan(mb, inbox, uids, 200, FETCH_TEXT, match_needle, &looked, test_arena, &matched, &err), ERR_OK);
	assert_true(looked == 199 && matched.n == 199);
	assert_int_equal(message_scan(mb, inbox, uids, 200, FETCH_HEADER, match_needle, &looked, test_arena, &matched, &err), ERR_OK);
	assert_int_equal(matched.n, 196);
	assert_int_equal(matched.p[0], 1);
}

static void the_maildrop_has_one_holder(void **state)
{
	(void)state;
	struct mailbox *other = test_mailbox(1);
	assert_true(mailbox_lock_maildrop(mb));
	assert_false(mailbox_lock_maildrop(other));
	assert_int_equal(test_deliver(1, 1).code, ERR_OK);
	test_close(&other);
	other = test_mailbox(1);
	assert_false(mailbox_lock_maildrop(other));
	test_close(&mb);
	assert_true(mailbox_lock_maildrop(other));
	test_close(&other);
	mb = test_mailbox(1);
}

// Counters of rows are what the messages add up to, whatever was done.
static void counters_hold(void **state)
{
	(void)state;
	uint32_t random = 12345;
	const char *const folders[] = {"INBOX", "Sent", "Trash"};
	for (int i = 0; i < 300; i++) {
		random = random * 1103515245 + 12345;
		const char *here = folders[random >> 16 & 1], *there = folders[1 + (random >> 17 & 1)];
		struct folder_view view = test_select(mb, here, FOLDER_READ_WRITE);
		struct mailbox_name to = test_name(there);
		struct copy_result copied;
		struct uid_list gone;
		bool missing;
		uint32_t uid = view.uids.n ? view.uids.p[(random >> 8) % view.uids.n] : 1;
		switch (random >> 20 & 7) {
		case 0:
		case 1:
			append(here, random >> 5 & FLAG_SYSTEM);
			break;
		case 2:
			assert_int_equal(message_copy(mb, view.info.id, &uid, 1, &to, random & 64, test_arena, &copied, &missing, &err), ERR_OK);
			break;
		case 3:
			assert_int_equal(message_expunge(mb, view.info.id, NULL, 0, test_arena, &gone, &err), ERR_OK);
			break;
		default:
			test_flag(mb, view.info.id, uid, random >> 6 & 3 ? FLAG_ADD : FLAG_REPLACE, random >> 9 & FLAG_SYSTEM);
		}
		}
	uint64_t bytes = 0, all = 0;
	for (size_t f = 0; f < 3; f++) {
		struct folder_view view = test_select(mb, folders[f], FOLDER_READ_ONLY);
		struct folder_info info = test_status(mb, folders[f]);
		uint32_t unseen = 0, deleted = 0;
		for (size_t i = 0; i < view.uids.n; i++) {
			struct message m = test_fetch(mb, view.info.id, view.uids.p[i], 0);
			unseen += !(m.flags & FLAG_SEEN);
			deleted += (m.flags & FLAG_DELETED) != 0;
			bytes += m.bytes;
			all++;
		}
		assert_true(info.messages == view.uids.n && info.unseen == unseen && info.deleted == deleted);
		}
	struct mailbox_usage usage;
	assert_int_equal(mailbox_usage(mb, &usage, &err), ERR_OK);
	assert_true(usage.bytes == bytes && usage.messages == all);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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
		TEST(flags_change_by_name),
		TEST(many_flags_change_as_told),
		TEST(flags_of_many_messages_are_what_was_done),
		TEST(keywords_have_an_end),
		TEST(copies_share_bodies_and_keep_what_a_message_has),
		TEST(moving_is_one_step),
		TEST(appends_are_all_or_nothing),
		TEST(fetching_goes_on_where_it_stopped),
		TEST(fetching_many_finds_what_fetching_one_does),
		TEST(searching_looks_at_each_message_once),
		TEST(the_maildrop_has_one_holder),
		TEST(counters_hold),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
