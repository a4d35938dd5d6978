// SPDX-License-Identifier: Apache-2.0
// RFC 3834, sections 2 and 4: what a personal responder answers.
#include "router/vacation.h"

#include "base/must.h"
#include "mail/addrlist.h"
#include "mail/header.h"
#include "our_domain.h"

enum {
	INTERVAL_DAYS = 7, // RFC 3834 section 2
	SUBJECT_BYTES_MAX = 400,
	REFERENCES_MAX = 1000,
	REFERENCES_KEPT = 20,
	ID_BYTES_MAX = 250,
	LANGUAGES_MAX = 16,
	ADDRESSES_MAX = 1000,
	SPELT_MAX = 200,
};
static const int64_t DAY_MS = 24 * 3600 * 1000;

const char *vacation_why(enum vacation_verdict verdict)
{
	static const char *const why[] = {
#define VACATION_WHY(verdict, why) [verdict] = why,
		VACATION_VERDICTS(VACATION_WHY)
#undef VACATION_WHY
	};
	return why[verdict];
}

// --- When ---

static bool is_before(const struct entry *user, enum attr attr, int64_t now_ms)
{
	int64_t at_ms;
	struct str text = entry_first(user, attr);
	return text.p && entry_time_parse(text, &at_ms) && now_ms < at_ms;
}

static enum vacation_verdict by_time(const struct entry *user, int64_t now_ms)
{
	struct str word = entry_first(user, ATTR_PH_VACATION);
	bool scheduled = str_eq_nocase(word, STR("scheduled"));
	if (!scheduled && !str_eq_nocase(word, STR("on")))
		return VACATION_OFF;
	bool ended = entry_has(user, ATTR_PH_VACATION_END) && !is_before(user, ATTR_PH_VACATION_END, now_ms);
	if (scheduled && (ended || is_before(user, ATTR_PH_VACATION_START, now_ms)))
		return VACATION_NOT_NOW;
	bool any = entry_first(user, ATTR_PH_VACATION_TEXT).n || entry_first(user, ATTR_PH_VACATION_TEXT_INTERNAL).n;
	return any ? VACATION_ANSWER : VACATION_NO_TEXT;
}

bool vacation_is_on(const struct entry *user, int64_t now_ms)
{
	return by_time(user, now_ms) == VACATION_ANSWER;
}

// --- Who ---

// One decision.
struct look {
	struct arena *arena;
	const struct vacation_facts *f;
	struct str *own; // keys of the user's addresses
	size_t own_n;
	size_t addresses; // looked at in the header, of all fields
	size_t spelt;     // looked for in the directory
	bool cut;         // there were more of either
};

static const enum attr addresses_by[] = {ATTR_MAIL, ATTR_MAIL_LOCAL_ADDRESS, ATTR_PH_INTL_ADDRESS};

static size_t count_addresses(const struct entry *user)
{
	size_t n = 0;
	for (size_t i = 0; i < sizeof addresses_by / sizeof *addresses_by; i++) {
		struct entry_cursor cursor = {0};
		struct str address;
		while (entry_next(user, addresses_by[i], &cursor, &address))
			n++;
	}
	return n;
}

static void find_own(struct look *look)
{
	const struct entry *user = look->f->user;
	look->own = arena_array(look->arena, count_addresses(user), sizeof *look->own);
	if (look->own == NULL) // the arena is full, which decides
		return;
	for (size_t i = 0; i < sizeof addresses_by / sizeof *addresses_by; i++) {
		struct entry_cursor cursor = {0};
		struct str address;
		struct addr addr;
		while (entry_next(user, addresses_by[i], &cursor, &address))
			if (addr_parse(look->arena, address, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) == ADDR_OK)
				look->own[look->own_n++] = addr.key;
	}
}

static bool is_own(const struct look *look, struct str key)
{
	for (size_t i = 0; i < look->own_n; i++)
		if (str_eq(look->own[i], key))
			return true;
	return false;
}

// With a detail, or in a domain that is an alias of theirs, the user's addresses are his, too.
static bool means_user(struct look *look, const struct addr *addr)
{
	const struct vacation_facts *f = look->f;
	struct our_domain_spellings spellings;
	if (is_own(look, addr->key))
		return true;
	if (look->spelt == SPELT_MAX) {
		look->cut = true;
		return false;
	}
	look->spelt++;
	return our_domain_spell(f->directory, addr, f->delimiters, look->arena, &spellings) == DIRECTORY_FOUND &&
	       guid_eq(&spellings.owner.entry->uuid, &f->user->uuid);
}

// RFC 3834 section 2: these belong to lists and mailers.
static bool is_program(struct str local)
{
	static const struct str names[] = {STR("mailer-daemon"), STR("double-bounce"), STR("postmaster"), STR("listserv"),
		STR("majordomo"), STR("mailman"), STR("noreply"), STR("no-reply"), STR("donotreply"), STR("do-not-reply"),
		STR("bounce"), STR("bounces")};
	static const struct str starts[] = {
		STR("owner-"), STR("bounce-"), STR("bounces-"), STR("bounces+"), STR("noreply+"), STR("no-reply+")};
	static const struct str ends[] = {STR("-request"), STR("-owner"), STR("-bounces"), STR("-relay")};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_eq_nocase(local, names[i]))
			return true;
	for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
		if (str_starts_nocase(local, starts[i]))
			return true;
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
		if (str_ends_nocase(local, ends[i]))
			return true;
	return false;
}

// --- What ---

static bool has_word(struct str body, const struct str *words, size_t n)
{
	for (struct str rest = body, word; rest.n > 0;) {
		if (!str_cut(rest, ',', &word, &rest)) {
			word = rest;
			rest = STR("");
		}
		word = str_trim(word);
		for (size_t i = 0; i < n; i++)
			if (str_eq_nocase(word, words[i]))
				return true;
	}
	return false;
}

// One field of the header.
static enum vacation_verdict by_field(struct arena *arena, const struct header_field *field)
{
	static const struct str lists[] = {STR("List-Id"), STR("List-Help"), STR("List-Post"), STR("List-Unsubscribe"),
		STR("List-Subscribe"), STR("List-Owner"), STR("List-Archive"), STR("Mailing-List"), STR("X-Mailing-List"),
		STR("X-BeenThere")};
	static const struct str bulk[] = {STR("bulk"), STR("list"), STR("junk")};
	static const struct str no_reply[] = {STR("All"), STR("OOF"), STR("AutoReply")};
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		if (str_eq_nocase(field->name, lists[i]))
			return VACATION_LIST;
	if (str_eq_nocase(field->name, STR("Precedence")))
		return has_word(header_unfold(arena, field->body), bulk, 3) ? VACATION_BULK : VACATION_ANSWER;
	if (str_eq_nocase(field->name, STR("X-Auto-Response-Suppress")))
		return has_word(header_unfold(arena, field->body), no_reply, 3) ? VACATION_BULK : VACATION_ANSWER;
	if (!str_eq_nocase(field->name, STR("Auto-Submitted")))
		return VACATION_ANSWER;
	// RFC 3834 section 5: "no", then parameters or a comment
	struct str value = header_skip_cfws(header_unfold(arena, field->body));
	struct str word = str_upto(value, 2);
	bool alone = value.n == 2 || (value.n > 2 && (value.p[2] == ';' || value.p[2] == ' ' || value.p[2] == '('));
	return alone && str_eq_nocase(word, STR("no")) ? VACATION_ANSWER : VACATION_AUTOMATIC;
}

static bool names_user(struct look *look, struct str body)
{
	struct addrlist list;
	struct addr addr;
	addrlist_parse(look->arena, body, ADDRESSES_MAX - look->addresses, &list);
	look->addresses += list.mailboxes;
	look->cut = look->cut || list.cut;
	for (size_t i = 0; i < list.n; i++) {
		const struct addrlist_item *item = &list.items[i];
		if (item->kind == ADDRLIST_MAILBOX &&
			addr_from_parts(look->arena, item->local, item->domain, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) == ADDR_OK &&
			means_user(look, &addr))
			return true;
	}
	return false;
}

static bool is_addressing(struct str name)
{
	static const struct str names[] = {
		STR("To"), STR("Cc"), STR("Bcc"), STR("Resent-To"), STR("Resent-Cc"), STR("Resent-Bcc")};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_eq_nocase(name, names[i]))
			return true;
	return false;
}

static enum vacation_verdict by_header(struct look *look)
{
	struct header_walk walk;
	struct header_field field;
	bool addressed = false;
	header_walk_init(&walk, look->f->header);
	while (header_walk_next(&walk, &field)) {
		enum vacation_verdict verdict = by_field(look->arena, &field);
		if (verdict != VACATION_ANSWER)
			return verdict;
		addressed = addressed || (is_addressing(field.name) && names_user(look, field.body));
	}
	if (addressed)
		return VACATION_ANSWER;
	return look->cut ? VACATION_TOO_LONG : VACATION_NOT_ADDRESSED;
}

// --- The answer ---

static int64_t interval_ms(const struct entry *user)
{
	uint64_t days = INTERVAL_DAYS;
	struct str text = entry_first(user, ATTR_PH_VACATION_INTERVAL);
	if (text.p && str_to_u64(text, 3650, &days) && days == 0)
		days = 1;
	return (int64_t)days * DAY_MS;
}

// Who was answered in an earlier vacation does not know of this one.
static int64_t since_ms(const struct vacation_facts *f)
{
	int64_t begin_ms, since = f->now_ms - interval_ms(f->user);
	struct str start = entry_first(f->user, ATTR_PH_VACATION_START);
	bool scheduled = str_eq_nocase(entry_first(f->user, ATTR_PH_VACATION), STR("scheduled"));
	return scheduled && start.p && entry_time_parse(start, &begin_ms) && begin_ms > since ? begin_ms : since;
}

struct languages {
	struct str v[LANGUAGES_MAX]; // best first
	size_t n;
};

// "de-CH, en;q=0.5": in the order that they stand in, which is that of their weights as everybody writes them.
static void add_languages(struct languages *languages, struct str text)
{
	while (text.n && languages->n < LANGUAGES_MAX) {
		struct str one = text, weight, rest = STR_NONE;
		str_cut(text, ',', &one, &rest);
		str_cut(one, ';', &one, &weight);
		one = str_trim(one);
		if (entry_is_language(one))
			languages->v[languages->n++] = one;
		text = rest;
	}
}

// What the sender reads (RFC 3282), writes, and what the user has chosen for himself.
static void find_languages(struct arena *arena, const struct vacation_facts *f, struct languages *languages)
{
	static const struct str names[] = {STR("Accept-Language"), STR("Content-Language")};
	struct header_field field;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (header_find(f->header, names[i], &field))
			add_languages(languages, header_unfold(arena, field.body));
	add_languages(languages, entry_first(f->user, ATTR_PREFERRED_LANGUAGE));
}

// In the language of the text, if there is one.
static struct str subject_of(struct arena *arena, const struct vacation_facts *f, struct str text_lang)
{
	struct header_field field;
	struct str lang, own = entry_text(f->user, ATTR_PH_VACATION_SUBJECT, &text_lang, text_lang.n > 0, &lang);
	if (own.n)
		return own;
	struct str theirs = header_find(f->header, STR("Subject"), &field) ? header_text(arena, field.body) : STR("");
	theirs = str_upto(theirs, SUBJECT_BYTES_MAX);
	while (theirs.n > 0 && !str_is_utf8(theirs)) // cut in the middle of a character
		theirs = str_upto(theirs, theirs.n - 1);
	return arena_printf(arena, "Auto: %.*s", STR_FMT(theirs));
}

// What can be repeated in a header of ours.
static bool is_id(struct str id)
{
	for (size_t i = 0; i < id.n; i++)
		if (id.p[i] <= ' ' || id.p[i] > '~')
			return false;
	return id.n > 0 && id.n <= ID_BYTES_MAX;
}

// The message's own last; of many those that began the thread are left out.
static struct str references_of(struct arena *arena, const struct vacation_facts *f, struct str own)
{
	struct header_field field;
	struct header_msgids ids = {0};
	struct str all = STR("");
	if (!header_find(f->header, STR("References"), &field))
		return own;
	header_msgids(arena, field.body, REFERENCES_MAX, &ids);
	for (size_t i = ids.n > REFERENCES_KEPT ? ids.n - REFERENCES_KEPT : 0; i < ids.n; i++)
		if (is_id(ids.ids[i]))
			all = arena_printf(arena, "%.*s<%.*s> ", STR_FMT(all), STR_FMT(ids.ids[i]));
	return arena_printf(arena, "%.*s%.*s", STR_FMT(all), STR_FMT(own));
}

static struct str message_id(struct arena *arena, const struct vacation_facts *f)
{
	struct header_field field;
	struct header_msgids ids = {0};
	if (!header_find(f->header, STR("Message-ID"), &field))
		return STR("");
	header_msgids(arena, field.body, 1, &ids);
	return ids.n && is_id(ids.ids[0]) ? arena_printf(arena, "<%.*s>", STR_FMT(ids.ids[0])) : STR("");
}

static enum vacation_verdict by_sender(struct look *look)
{
	const struct vacation_facts *f = look->f;
	if (addr_is_null(f->sender))
		return VACATION_NULL_SENDER;
	if (means_user(look, f->sender))
		return VACATION_OWN_ADDRESS;
	if (is_program(f->sender->local))
		return VACATION_PROGRAM;
	return f->list.n ? VACATION_LIST : VACATION_ANSWER;
}

static enum vacation_verdict by_message(struct arena *arena, const struct vacation_facts *f)
{
	struct look look = {.arena = arena, .f = f};
	find_own(&look);
	enum vacation_verdict verdict = by_sender(&look);
	return verdict == VACATION_ANSWER ? by_header(&look) : verdict;
}

static bool is_own_domain(const struct look *look, struct str key)
{
	struct str domain = arena_printf(look->arena, "@%.*s", STR_FMT(key));
	for (size_t i = 0; i < look->own_n; i++)
		if (str_ends(look->own[i], domain))
			return true;
	return false;
}

// Is the sender in a domain of the user's, or in an alias of one? By what MAIL says: who writes another's address there has the
// reply sent to him.
static bool is_internal(struct arena *arena, const struct vacation_facts *f)
{
	struct look look = {.arena = arena, .f = f};
	struct our_domain_spellings spellings;
	find_own(&look);
	our_domain_spell(f->directory, f->sender, f->delimiters, arena, &spellings);
	for (size_t i = 0; i < spellings.n; i++)
		if (is_own_domain(&look, spellings.v[i].domain.key))
			return true;
	return false;
}

static struct str text_for(struct arena *arena, const struct vacation_facts *f, const struct languages *languages,
	struct str *lang_out)
{
	struct str text = STR_NONE;
	if (entry_has(f->user, ATTR_PH_VACATION_TEXT_INTERNAL) && is_internal(arena, f))
		text = entry_text(f->user, ATTR_PH_VACATION_TEXT_INTERNAL, languages->v, languages->n, lang_out);
	return text.n ? text : entry_text(f->user, ATTR_PH_VACATION_TEXT, languages->v, languages->n, lang_out);
}

static struct vacation_answer answer_to(struct arena *arena, const struct vacation_facts *f)
{
	struct languages languages = {.n = 0};
	struct str lang = STR_NONE, id = message_id(arena, f);
	find_languages(arena, f, &languages);
	struct str text = text_for(arena, f, &languages, &lang);
	return (struct vacation_answer){.to = f->sender, .correspondent = f->sender->key, .subject = subject_of(arena, f, lang),
		.text = text, .lang = lang, .in_reply_to = id, .references = references_of(arena, f, id),
		.again_ms = f->now_ms + interval_ms(f->user), .since_ms = since_ms(f)};
}

enum vacation_verdict vacation_decide(struct arena *arena, const struct vacation_facts *f, struct vacation_answer *answer_out)
{
	enum vacation_verdict verdict = by_time(f->user, f->now_ms);
	if (verdict == VACATION_ANSWER)
		verdict = by_message(arena, f);
	// A clock that was set back makes nobody wait for ever.
	if (verdict == VACATION_ANSWER && f->last_answer_ms > since_ms(f) && f->last_answer_ms <= f->now_ms)
		verdict = VACATION_ANSWERED;
	if (verdict != VACATION_ANSWER)
		return verdict;
	struct vacation_answer answer = answer_to(arena, f);
	// What did not fit in the arena may be what forbids an answer.
	if (arena_overflowed(arena))
		return VACATION_TOO_LONG;
	if (answer.text.n == 0) // there is one for others
		return VACATION_NO_TEXT;
	*answer_out = answer;
	return verdict;
}
