// SPDX-License-Identifier: Apache-2.0
// Does a message match a SEARCH? Runs on a store thread, pure but for its own scratch.
#include "imap_match.h"

#include "base/must.h"
#include "mail/charset.h"
#include "mail/header.h"
#include "mail/transfer.h"

enum { ARENA_BYTES_MAX = MIME_ARENA_BYTES + (4 << 20) };

void imap_match_init(struct imap_match *match, const struct imap_search_key *key, const struct imap_seqset *recent)
{
	*match = (struct imap_match){.key = key, .recent = *recent, .arena = arena_new(ARENA_BYTES_MAX)};
	buf_init(&match->text, 2 * IMAP_MATCH_TEXT_BYTES_MAX);
	buf_init(&match->a, IMAP_MATCH_TEXT_BYTES_MAX);
	buf_init(&match->b, IMAP_MATCH_TEXT_BYTES_MAX);
}

void imap_match_fini(struct imap_match *match)
{
	arena_free(&match->arena);
	buf_fini(&match->text);
	buf_fini(&match->a);
	buf_fini(&match->b);
}

// --- The header ---

static size_t count_fields(struct str header)
{
	struct header_walk walk;
	struct header_field field;
	size_t n = 0;
	header_walk_init(&walk, header);
	while (header_walk_next(&walk, &field))
		n++;
	return n;
}

// Decodes and folds the fields of a header; fewer than there are when the arena is full.
static void load_header(struct imap_match *match, struct str header, struct imap_match_field **fields_out, size_t *n_out)
{
	struct header_walk walk;
	struct header_field field;
	struct imap_match_field *fields = arena_array(match->arena, count_fields(header), sizeof *fields);
	size_t n = 0;
	header_walk_init(&walk, header);
	while (fields && header_walk_next(&walk, &field)) {
		buf_clear(&match->a);
		charset_casemap(header_text(match->arena, field.body), &match->a);
		fields[n++] = (struct imap_match_field){field.name, arena_dup(match->arena, buf_str(&match->a))};
	}
	*fields_out = fields;
	*n_out = n;
}

static void need_fields(struct imap_match *match)
{
	if (match->fields_known)
		return;
	load_header(match, str_upto(match->message->text, IMAP_MATCH_HEADER_BYTES_MAX), &match->fields, &match->fields_n);
	match->fields_known = true;
}

// The field is there and has the needle in it; the empty needle asks whether it is there (PROTOCOLS 66).
static bool field_has(struct imap_match *match, struct str name, struct str needle)
{
	need_fields(match);
	for (size_t i = 0; i < match->fields_n; i++)
		if (str_eq_nocase(match->fields[i].name, name) && str_find(match->fields[i].text, needle) >= 0)
			return true;
	return false;
}

static bool header_has(struct imap_match *match, struct str needle)
{
	need_fields(match);
	for (size_t i = 0; i < match->fields_n; i++) {
		if (str_find(match->fields[i].text, needle) >= 0)
			return true;
		// "Subject: x" as a whole, the way it is shown.
		buf_clear(&match->a);
		charset_casemap(match->fields[i].name, &match->a);
		buf_add(&match->a, STR(": "));
		buf_add(&match->a, match->fields[i].text);
		if (str_find(buf_str(&match->a), needle) >= 0)
			return true;
	}
	return false;
}

// --- The body ---

static void add_folded(struct imap_match *match, struct str utf8)
{
	charset_casemap(utf8, &match->text);
	buf_add_byte(&match->text, '\n');
}

// The text of one part: transfer encoding, then charset.
static void add_part(struct imap_match *match, const struct mime *mime, uint32_t i)
{
	const struct mime_node *node = &mime->nodes[i];
	struct str body = str_of(mime->message.p + node->body_at, (size_t)node->body_bytes), charset;
	// message/delivery-status and its like are text too.
	if (!str_eq_nocase(mime->details[i].type, STR("text")) && !str_eq_nocase(mime->details[i].type, STR("message")))
		return;
	buf_clear(&match->a);
	buf_clear(&match->b);
	transfer_decode((enum mime_encoding)node->encoding, str_upto(body, IMAP_MATCH_TEXT_BYTES_MAX), &match->a);
	bool named = mime_param(&mime->details[i].params, STR("CHARSET"), match->arena, &charset);
	if (!named || charset_to_utf8(charset, buf_str(&match->a), &match->b) == CHARSET_UNKNOWN)
		charset_repair_utf8(buf_str(&match->a), &match->b);
	add_folded(match, buf_str(&match->b));
}

// The header of a message inside.
static void add_inner_header(struct imap_match *match, const struct mime *mime, const struct mime_node *node)
{
	struct imap_match_field *fields;
	size_t n;
	struct str header = str_of(mime->message.p + node->header_at, (size_t)node->header_bytes);
	load_header(match, str_upto(header, IMAP_MATCH_HEADER_BYTES_MAX), &fields, &n);
	for (size_t i = 0; i < n; i++) {
		buf_add(&match->text, fields[i].text);
		buf_add_byte(&match->text, '\n');
	}
}

static void need_text(struct imap_match *match)
{
	struct mime mime;
	if (match->text_known)
		return;
	match->text_known = true;
	buf_clear(&match->text);
	mime_parse(match->message->text, match->arena, &mime);
	for (uint32_t i = 0; i < mime.n; i++) {
		const struct mime_node *node = &mime.nodes[i];
		if (node->kind == MIME_LEAF)
			add_part(match, &mime, i);
		else if (node->kind == MIME_MESSAGE && node->child)
			add_inner_header(match, &mime, &mime.nodes[node->child]);
	}
}

static bool body_has(struct imap_match *match, struct str needle)
{
	need_text(match);
	return str_find(buf_str(&match->text), needle) >= 0;
}

// --- Dates ---

// The day of the Date field in its own zone (PROTOCOLS 65); false without one.
static bool sent_day(struct imap_match *match, int32_t *day_out)
{
	struct header_field field;
	struct date date;
	if (!header_find(match->message->text, STR("Date"), &field) || !date_parse_header(field.body, &date))
		return false;
	*day_out = date_local_day(date);
	return true;
}

static bool has_flag(const struct imap_match *match, uint64_t flag)
{
	return match->message->flags & flag;
}

static bool has_keyword(const struct imap_match *match, const struct imap_search_key *key)
{
	return key->number != IMAP_MATCH_NO_KEYWORD && has_flag(match, (uint64_t)1 << (key->number - 1));
}

static bool is_recent(const struct imap_match *match)
{
	return imap_seqset_has(&match->recent, match->message->uid);
}

static bool matches(struct imap_match *match, const struct imap_search_key *key);

static bool any_child(struct imap_match *match, const struct imap_search_key *key)
{
	for (const struct imap_search_key *child = key->child; child; child = child->next)
		if (matches(match, child))
			return true;
	return false;
}

static bool all_children(struct imap_match *match, const struct imap_search_key *key)
{
	for (const struct imap_search_key *child = key->child; child; child = child->next)
		if (!matches(match, child))
			return false;
	return true;
}

static bool matches(struct imap_match *match, const struct imap_search_key *key)
{
	const struct message *m = match->message;
	int32_t day = 0;
	switch (key->kind) {
	case IMAP_SEARCH_ALL:
		return true;
	case IMAP_SEARCH_ANSWERED:
		return has_flag(match, FLAG_ANSWERED);
	case IMAP_SEARCH_BCC:
		return field_has(match, STR("Bcc"), key->text);
	case IMAP_SEARCH_BEFORE:
		return date_local_day(m->received) < key->day;
	case IMAP_SEARCH_BODY:
		return body_has(match, key->text);
	case IMAP_SEARCH_CC:
		return field_has(match, STR("Cc"), key->text);
	case IMAP_SEARCH_DELETED:
		return has_flag(match, FLAG_DELETED);
	case IMAP_SEARCH_DRAFT:
		return has_flag(match, FLAG_DRAFT);
	case IMAP_SEARCH_FLAGGED:
		return has_flag(match, FLAG_FLAGGED);
	case IMAP_SEARCH_FROM:
		return field_has(match, STR("From"), key->text);
	case IMAP_SEARCH_HEADER:
		return field_has(match, key->field, key->text);
	case IMAP_SEARCH_KEYWORD:
		return has_keyword(match, key);
	case IMAP_SEARCH_LARGER:
		return m->bytes > key->number;
	case IMAP_SEARCH_NEW:
		return is_recent(match) && !has_flag(match, FLAG_SEEN);
	case IMAP_SEARCH_OLD:
		return !is_recent(match);
	case IMAP_SEARCH_ON:
		return date_local_day(m->received) == key->day;
	case IMAP_SEARCH_RECENT:
		return is_recent(match);
	case IMAP_SEARCH_SEEN:
		return has_flag(match, FLAG_SEEN);
	case IMAP_SEARCH_SENTBEFORE:
		return sent_day(match, &day) && day < key->day;
	case IMAP_SEARCH_SENTON:
		return sent_day(match, &day) && day == key->day;
	case IMAP_SEARCH_SENTSINCE:
		return sent_day(match, &day) && day >= key->day;
	case IMAP_SEARCH_SINCE:
		return date_local_day(m->received) >= key->day;
	case IMAP_SEARCH_SMALLER:
		return m->bytes < key->number;
	case IMAP_SEARCH_SUBJECT:
		return field_has(match, STR("Subject"), key->text);
	case IMAP_SEARCH_TEXT:
		return header_has(match, key->text) || body_has(match, key->text);
	case IMAP_SEARCH_TO:
		return field_has(match, STR("To"), key->text);
	case IMAP_SEARCH_UID:
		return imap_seqset_has(&key->set, m->uid);
	case IMAP_SEARCH_UNANSWERED:
		return !has_flag(match, FLAG_ANSWERED);
	case IMAP_SEARCH_UNDELETED:
		return !has_flag(match, FLAG_DELETED);
	case IMAP_SEARCH_UNDRAFT:
		return !has_flag(match, FLAG_DRAFT);
	case IMAP_SEARCH_UNFLAGGED:
		return !has_flag(match, FLAG_FLAGGED);
	case IMAP_SEARCH_UNKEYWORD:
		return !has_keyword(match, key);
	case IMAP_SEARCH_UNSEEN:
		return !has_flag(match, FLAG_SEEN);
	case IMAP_SEARCH_AND:
		return all_children(match, key);
	case IMAP_SEARCH_OR:
		return any_child(match, key);
	case IMAP_SEARCH_NOT:
		return !any_child(match, key);
	case IMAP_SEARCH_SEQUENCE:
		break; // made into UIDs before
	}
	unreachable("key of SEARCH");
}

bool imap_match_one(void *arg, const struct message *message)
{
	struct imap_match *match = arg;
	match->message = message;
	match->fields_known = match->text_known = false;
	arena_reset(match->arena);
	return matches(match, match->key);
}
