// SPDX-License-Identifier: Apache-2.0
// Renders IMAP's ENVELOPE: one walk finds the fields, each is then read and written in the order of the grammar.
#include "mail/envelope.h"

#include "mail/addrlist.h"
#include "mail/header.h"
#include "mail/imap_reply.h"
#include "envelope_inside.h"

bool envelope_nstring_add(struct str s, struct buf *b)
{
	if (s.p == NULL)
		return buf_add(b, STR("NIL"));
	size_t bad = 0;
	while (bad < s.n && s.p[bad] != '\0' && s.p[bad] != '\r' && s.p[bad] != '\n')
		bad++;
	if (bad == s.n) {
		imap_reply_string(b, s);
		return !b->overflow;
	}
	// Rare: folding inside a quoted local part, a NUL. Literals may hold no NUL (RFC 3501 section 4.3).
	struct buf clean;
	buf_init(&clean, s.n);
	for (size_t i = 0; i < s.n; i++)
		buf_add_byte(&clean, s.p[i] == '\0' || s.p[i] == '\r' || s.p[i] == '\n' ? ' ' : s.p[i]);
	imap_reply_string(b, buf_str(&clean));
	buf_fini(&clean);
	return !b->overflow;
}

// RFC 3501 section 7.4.2, in the order in which they are sent.
enum envelope_field { DATE, SUBJECT, FROM, SENDER, REPLY_TO, TO, CC, BCC, IN_REPLY_TO, MESSAGE_ID, FIELDS_N };

static const struct {
	struct str name;
	bool is_joined; // the addresses of all fields of this name
} fields[FIELDS_N] = {
	[DATE] = {{"Date", 4}, false},
	[SUBJECT] = {{"Subject", 7}, false},
	[FROM] = {{"From", 4}, false},
	[SENDER] = {{"Sender", 6}, false},
	[REPLY_TO] = {{"Reply-To", 8}, false},
	[TO] = {{"To", 2}, true},
	[CC] = {{"Cc", 2}, true},
	[BCC] = {{"Bcc", 3}, true},
	[IN_REPLY_TO] = {{"In-Reply-To", 11}, false},
	[MESSAGE_ID] = {{"Message-ID", 10}, false},
};

// What one walk over the header finds. budget: bytes that may still be read of it.
struct envelope_fields {
	struct str header;
	struct str first[FIELDS_N]; // bodies; p is NULL where the field is absent
	bool again[FIELDS_N];       // there are more of them
};

static struct envelope_fields find_fields(struct str header)
{
	struct envelope_fields found = {.header = header};
	struct header_walk walk;
	struct header_field field;
	header_walk_init(&walk, header);
	while (header_walk_next(&walk, &field)) {
		for (size_t i = 0; i < FIELDS_N; i++) {
			if (!str_eq_nocase(field.name, fields[i].name))
				continue;
			if (found.first[i].p == NULL)
				found.first[i] = field.body;
			else
				found.again[i] = true;
		}
	}
	return found;
}

// Takes at most *budget bytes of s.
static struct str spend(struct str s, size_t *budget)
{
	struct str taken = str_upto(s, *budget);
	*budget -= taken.n;
	return taken;
}

// What people read, with one space for each run of white space: folding leaves tabs, which clients show as gaps. {NULL, 0} stays.
static struct str one_space(struct str text, struct arena *arena)
{
	text = str_trim(text);
	char *p = text.p ? arena_alloc(arena, text.n) : NULL;
	size_t n = 0;
	if (p == NULL)
		return text;
	for (size_t i = 0; i < text.n; i++) {
		bool space = text.p[i] == ' ' || text.p[i] == '\t';
		if (!space || p[n - 1] != ' ')
			p[n++] = space ? ' ' : text.p[i];
	}
	return str_of(p, n);
}

static void add_text(struct str body, bool for_people, size_t *budget, struct arena *arena, struct buf *b)
{
	if (body.p == NULL) {
		buf_add(b, STR("NIL"));
		return;
	}
	struct str text = header_unfold(arena, spend(body, budget));
	if (for_people)
		text = one_space(text, arena);
	envelope_nstring_add(text.p ? text : STR(""), b);
}

static void add_address(const struct addrlist_item *item, struct arena *arena, struct buf *b)
{
	static const struct str nil = {NULL, 0};
	struct str name = one_space(item->name, arena);
	switch (item->kind) {
	case ADDRLIST_GROUP_START:
		buf_add(b, STR("(NIL NIL "));
		envelope_nstring_add(name.p ? name : STR(""), b);
		buf_add(b, STR(" NIL)"));
		return;
	case ADDRLIST_GROUP_END:
		buf_add(b, STR("(NIL NIL NIL NIL)"));
		return;
	case ADDRLIST_MAILBOX:
		buf_add_byte(b, '(');
		envelope_nstring_add(name.n ? name : nil, b);
		buf_add_byte(b, ' ');
		envelope_nstring_add(item->route.n ? item->route : nil, b);
		buf_add_byte(b, ' ');
		// NIL here would mean a group: what is missing is "".
		envelope_nstring_add(item->local.p ? item->local : STR(""), b);
		buf_add_byte(b, ' ');
		envelope_nstring_add(item->domain.p ? item->domain : STR(""), b);
		buf_add_byte(b, ')');
		return;
	}
}

// Adds the addresses of body, after a "(" when they are the first.
static void add_addresses(struct str body, size_t *budget, bool *any, struct arena *arena, struct buf *b)
{
	struct addrlist list;
	addrlist_parse(arena, spend(body, budget), ENVELOPE_ADDRESSES_MAX, &list);
	for (size_t i = 0; i < list.n; i++) {
		if (!*any)
			buf_add_byte(b, '(');
		*any = true;
		add_address(&list.items[i], arena, b);
	}
	arena_reset(arena);
}

static bool add_address_field(const struct envelope_fields *found, enum envelope_field which, size_t *budget, struct arena *arena,
	struct buf *b)
{
	bool any = false;
	if (found->first[which].p != NULL)
		add_addresses(found->first[which], budget, &any, arena, b);
	if (found->again[which] && fields[which].is_joined) {
		struct header_walk walk;
		struct header_field field;
		header_walk_init(&walk, found->header);
		while (header_walk_next(&walk, &field) && *budget)
			if (str_eq_nocase(field.name, fields[which].name) && field.body.p != found->first[which].p)
				add_addresses(field.body, budget, &any, arena, b);
	}
	if (any)
		buf_add_byte(b, ')');
	return any;
}

bool envelope_render(struct str header, struct arena *arena, struct buf *b)
{
	struct envelope_fields found = find_fields(header);
	size_t budget = ENVELOPE_READ_BYTES_MAX, from_at = 0, from_n = 0;
	arena_reset(arena);
	buf_add_byte(b, '(');
	for (size_t i = 0; i < FIELDS_N; i++) {
		if (i > 0)
			buf_add_byte(b, ' ');
		if (i == DATE || i == SUBJECT || i == IN_REPLY_TO || i == MESSAGE_ID) {
			add_text(found.first[i], i == SUBJECT, &budget, arena, b);
			continue;
		}
		size_t at = b->n;
		bool any = add_address_field(&found, (enum envelope_field)i, &budget, arena, b);
		if (i == FROM && any) {
			from_at = at;
			from_n = b->n - at;
		} else if ((i == SENDER || i == REPLY_TO) && !any && from_n) {
			// The server sets them to From where they are absent or empty. The bytes are copied inside one buffer.
			char *to = buf_reserve(b, from_n);
			if (to != NULL) {
				memcpy(to, b->p + from_at, from_n);
				buf_grew(b, from_n);
			}
		} else if (!any) {
			buf_add(b, STR("NIL"));
		}
	}
	return buf_add_byte(b, ')');
}

bool envelope_add(struct str header, struct buf *b)
{
	struct arena *arena = arena_new(ENVELOPE_ARENA_BYTES);
	bool fits = envelope_render(header, arena, b);
	arena_free(&arena);
	return fits;
}
