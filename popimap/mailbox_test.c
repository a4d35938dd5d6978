// SPDX-License-Identifier: Apache-2.0
// What a session does with messages: flags, copies, reading, searching.
#include "test_mailbox.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
