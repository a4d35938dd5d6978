// SPDX-License-Identifier: Apache-2.0
// What a list's entry says about the header of its copies. Every field goes through mail/header_emit.h: no value of a directory
// ends a line.
// A field that cannot be written (an address that is too long for a line) is left out, for mail does not wait for it.
#include "router/list_header.h"

#include "base/must.h"
#include "list.h"
#include "mail/header.h"
#include "mail/header_emit.h"
#include "recipient_steps.h"
#include "schema/attr_words.h"

enum {
	ID_BYTES_MAX = 255,      // RFC 2919 section 3
	DISPLAY_BYTES_MAX = 200, // of a displayName that is shown in List-Id
};

struct making {
	struct decision *d;
	const struct entry *list;
	struct addr addr;     // its first address
	struct list_header *header;
	struct buf fields;
};

static bool is_one_of(char c, const char *set)
{
	return c && strchr(set, c) != NULL;
}

static bool is_plain(char c)
{
	return chr_is_alpha(c) || chr_is_digit(c);
}

// Bytes that are not in the set, letters or digits, as "%2f".
static struct str percent(struct arena *arena, struct str text, const char *set)
{
	static const char digits[] = "0123456789ABCDEF";
	char *p = arena_must(arena, 3 * text.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (is_plain(c) || is_one_of(c, set)) {
			p[n++] = c;
			continue;
		}
		p[n++] = '%';
		p[n++] = digits[(unsigned char)c >> 4];
		p[n++] = digits[(unsigned char)c & 15];
	}
	return str_of(p, n);
}

// --- List-Id ---

// A label of dot-atom-text: "%" stands for what has no place in one, itself included.
static struct str label_of(struct arena *arena, struct str local)
{
	struct str folded = addr_local_key(arena, local);
	bool dots = str_starts(folded, STR(".")) || str_ends(folded, STR(".")) || str_find(folded, STR("..")) >= 0;
	return percent(arena, folded, dots ? "!#$&'*+-/=?^_`{|}~" : "!#$&'*+-/=?^_`{|}~.");
}

static struct str id_of(const struct making *m)
{
	struct arena *arena = m->d->scratch;
	struct str label = label_of(arena, m->addr.local);
	struct str id = arena_printf(arena, "%.*s.%.*s", STR_FMT(label), STR_FMT(m->addr.domain.key));
	if (label.n > 0 && id.n <= ID_BYTES_MAX)
		return id;
	char text[GUID_TEXT_BYTES];
	return arena_printf(arena, "%.*s.%.*s", STR_FMT(guid_text(&m->list->uuid, text)), STR_FMT(m->addr.domain.key));
}

// --- The fields ---

// What was written from start on, for who asks why.
static void tell(struct making *m, const struct header_emit *emit, size_t start)
{
	struct str field = header_unfold(m->d->scratch, str_from(buf_str(&m->fields), start));
	if (!emit->failed)
		decision_reason(m->d, "list field", m->list->dn, ATTR_NONE, field);
}

static void add_bracketed(struct making *m, struct str name, struct str display, struct str inside)
{
	struct header_emit emit;
	size_t start = m->fields.n;
	header_emit_init(&emit, &m->fields);
	header_emit_phrase(&emit, name, display, inside);
	tell(m, &emit, start);
}

static void add_raw(struct making *m, struct str name, struct str value)
{
	struct header_emit emit;
	size_t start = m->fields.n;
	header_emit_init(&emit, &m->fields);
	header_emit_raw(&emit, name, value);
	tell(m, &emit, start);
}

// RFC 6068: an address of the list's, and the subject that whoever reads there is to find.
static void add_mailto(struct making *m, struct str name, const struct addr *addr, const char *subject)
{
	struct arena *arena = m->d->scratch;
	struct str local = percent(arena, str_upto(addr->text, (size_t)str_rindex(addr->text, '@')), "-._~+!$'*");
	add_bracketed(m, name, STR_NONE,
		arena_printf(arena, "mailto:%.*s@%.*s%s%s", STR_FMT(local), STR_FMT(addr->domain.key), subject ? "?subject=" : "",
			subject ? subject : ""));
}

static void add_role(struct making *m, struct str name, const char *before, const char *after, const char *subject)
{
	struct arena *arena = m->d->scratch;
	struct addr role;
	struct str local = arena_printf(arena, "%s%.*s%s", before, STR_FMT(m->addr.local), after);
	if (addr_with_local(arena, &m->addr, local, &role) == ADDR_OK)
		add_mailto(m, name, &role, subject);
}

static void add_fields(struct making *m)
{
	struct str display = entry_first(m->list, ATTR_DISPLAY_NAME);
	add_bracketed(m, STR("List-Id"), display.n <= DISPLAY_BYTES_MAX ? display : STR_NONE, m->header->id);
	switch (list_policy_of(m->list)) {
	case LIST_POLICY_NOBODY:
		add_raw(m, STR("List-Post"), STR("NO")); // RFC 2369 section 3.4
		break;
	case LIST_POLICY_LISTED: // most of those who read it may not
	case LIST_POLICY_BAD:
		break;
	case LIST_POLICY_ANYONE:
	case LIST_POLICY_INTERNAL:
	case LIST_POLICY_MEMBERS:
	case LIST_POLICY_MODERATED:
		add_mailto(m, STR("List-Post"), &m->addr, NULL);
		break;
	}
	add_role(m, STR("List-Owner"), "owner-", "", NULL);
	add_role(m, STR("List-Help"), "", "-request", "help");
	if (!entry_has(m->list, ATTR_MEMBER_URL)) {
		add_role(m, STR("List-Subscribe"), "", "-request", "subscribe");
		add_role(m, STR("List-Unsubscribe"), "", "-request", "unsubscribe");
	}
}

// In ASCII, for a message that is not SMTPUTF8 may carry it too.
static struct str trace_of(const struct making *m)
{
	struct str ascii;
	if (addr_to_ascii(m->d->scratch, &m->addr, &ascii))
		return ascii;
	struct str label = label_of(m->d->scratch, m->addr.local);
	return arena_printf(m->d->scratch, "%.*s@%.*s", STR_FMT(label), STR_FMT(m->addr.domain.key));
}

// What came_back looks for is no field that people are shown.
static void add_trace(struct making *m)
{
	struct header_emit emit;
	header_emit_init(&emit, &m->fields);
	header_emit_raw(&emit, STR("Delivered-To"), m->header->delivered_to);
}

// --- What the admin asks for ---

static void take_tag(struct making *m)
{
	struct str tag = str_trim(entry_first(m->list, ATTR_PH_LIST_SUBJECT_TAG));
	if (tag.n == 0)
		return;
	decision_reason(m->d, "list tag", m->list->dn, ATTR_PH_LIST_SUBJECT_TAG, tag);
	if (tag.n <= LIST_HEADER_TAG_BYTES_MAX)
		m->header->tag = arena_dup(m->d->arena, tag);
}

static void take_reply_to(struct making *m)
{
	struct str word = entry_first(m->list, ATTR_PH_LIST_REPLY_TO);
	struct addr addr;
	if (word.n == 0)
		return;
	decision_reason(m->d, "list reply", m->list->dn, ATTR_PH_LIST_REPLY_TO, word); // `why` says beside it what is wrong
	if (str_eq_nocase(word, STR("sender")))
		return;
	if (str_eq_nocase(word, STR("list")))
		addr = m->addr;
	else if (attr_words_wrong(ATTR_PH_LIST_REPLY_TO, word) || addr_parse(m->d->scratch, word, ADDR_UTF8, &addr) != ADDR_OK)
		return;
	struct list_header *header = m->header;
	struct str ascii = STR_NONE;
	if (addr_to_ascii(m->d->scratch, &addr, &ascii))
		header->reply_to_ascii = arena_dup(m->d->arena, ascii);
	header->reply_to_key = arena_dup(m->d->arena, addr.key);
	header->reply_to = arena_dup(m->d->arena, addr.text);
}

static bool is_changed(const struct entry *list)
{
	return (list->classes & ENTRY_LIST) || entry_has(list, ATTR_PH_LIST_REPLY_TO) ||
	       entry_has(list, ATTR_PH_LIST_SUBJECT_TAG);
}

const struct list_header *list_header_of(struct decision *d, const struct entry *list, const struct addr *found)
{
	struct making m = {.d = d, .list = list, .addr = *found};
	if (!is_changed(list))
		return NULL;
	recipient_own_address(d, list, &m.addr);
	m.header = arena_alloc(d->arena, sizeof *m.header);
	if (m.header == NULL || m.addr.domain.kind != DOMAIN_NAME)
		return NULL;
	*m.header = (struct list_header){.id = arena_dup(d->arena, id_of(&m)), .delivered_to = arena_dup(d->arena, trace_of(&m))};
	buf_init(&m.fields, LIST_HEADER_FIELDS_BYTES_MAX);
	add_fields(&m);
	take_reply_to(&m);
	take_tag(&m);
	add_trace(&m);
	m.header->fields = arena_dup(d->arena, buf_str(&m.fields));
	buf_fini(&m.fields);
	return m.header;
}
