// SPDX-License-Identifier: Apache-2.0
// The codec of what the store keeps beside a message. Written once at delivery, read at every FETCH; the reader trusts nothing,
// because a disk may lie and a newer or older program may have written the row.
#include "mail/cache.h"

#include <stdlib.h>

#include "base/must.h"
#include "mail/addrlist.h"
#include "mail/date.h"
#include "mail/envelope.h"
#include "mail/header.h"
#include "subject.h"

enum {
	FLAG_SENT_KNOWN = 1,
	FLAG_BOUNDED = 2,
	FLAG_REPLY = 4,
	FLAGS_ALL = 7,
	VARINT_BYTES_MAX = 10,
	HEADER_ARENA_BYTES = 4 << 20,
	FIELD_READ_BYTES_MAX = 64 << 10, // of one field, for what is kept of it
};

// ---- building ----

static void add_varint(struct buf *b, uint64_t value)
{
	while (value >= 0x80) {
		buf_add_byte(b, (char)(value | 0x80));
		value >>= 7;
	}
	buf_add_byte(b, (char)value);
}

static void add_string(struct buf *b, struct str s)
{
	add_varint(b, s.n);
	buf_add(b, s);
}

// Adds a rendered text as a string and empties its buffer: the length stands before it and is known only afterwards.
static void add_filled(struct buf *b, struct buf *text)
{
	must(!text->overflow); // the bounds of mail/envelope.h
	add_string(b, buf_str(text));
	buf_clear(text);
}

// s without a cut character at byte n.
static struct str cut_utf8(struct str s, size_t n)
{
	if (s.n <= n)
		return s;
	while (n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	return str_upto(s, n);
}

// What is kept of a header beside its ENVELOPE.
struct summary {
	struct str message_id, subject, from, to, cc; // in the arena
	bool is_reply;
	struct header_msgids references;
	bool sent_known;
	struct date sent;
};

static struct str first_mailbox(struct arena *arena, struct str body)
{
	struct addrlist list;
	addrlist_parse(arena, str_upto(body, FIELD_READ_BYTES_MAX), 1, &list);
	for (size_t i = 0; i < list.n; i++)
		if (list.items[i].kind == ADDRLIST_MAILBOX)
			return cut_utf8(list.items[i].local, CACHE_SORT_KEY_BYTES_MAX);
	return STR_NONE;
}

static void read_date(struct str body, struct arena *arena, struct summary *out)
{
	(void)arena;
	out->sent_known = date_parse_header(str_upto(body, FIELD_READ_BYTES_MAX), &out->sent);
}

static void read_subject(struct str body, struct arena *arena, struct summary *out)
{
	struct str text = cut_utf8(header_text(arena, str_upto(body, FIELD_READ_BYTES_MAX)), SUBJECT_BYTES_MAX);
	char *base = arena_alloc(arena, text.n);
	if (text.p != NULL && base != NULL)
		out->subject = str_of(base, subject_base(text, base, &out->is_reply));
}

static void read_from(struct str body, struct arena *arena, struct summary *out)
{
	out->from = first_mailbox(arena, body);
}

static void read_to(struct str body, struct arena *arena, struct summary *out)
{
	out->to = first_mailbox(arena, body);
}

static void read_cc(struct str body, struct arena *arena, struct summary *out)
{
	out->cc = first_mailbox(arena, body);
}

static void read_message_id(struct str body, struct arena *arena, struct summary *out)
{
	struct header_msgids ids;
	header_msgids(arena, str_upto(body, FIELD_READ_BYTES_MAX), 1, &ids);
	if (ids.n && ids.ids[0].n <= CACHE_ID_BYTES_MAX)
		out->message_id = ids.ids[0];
}

static void read_references(struct str body, struct arena *arena, struct summary *out)
{
	header_msgids(arena, str_upto(body, 4 * FIELD_READ_BYTES_MAX), CACHE_REFERENCES_MAX, &out->references);
}

// RFC 5256 section 3: only where References has no valid id, and then its first.
static void read_in_reply_to(struct str body, struct arena *arena, struct summary *out)
{
	if (out->references.n == 0)
		header_msgids(arena, str_upto(body, FIELD_READ_BYTES_MAX), 1, &out->references);
}

// In this order: In-Reply-To must come after References. The first field of each name counts.
static const struct {
	struct str name;
	void (*read)(struct str body, struct arena *arena, struct summary *out);
} kept[] = {
	{{"Date", 4}, read_date}, {{"Subject", 7}, read_subject}, {{"From", 4}, read_from}, {{"To", 2}, read_to},
	{{"Cc", 2}, read_cc},
	{{"Message-ID", 10}, read_message_id}, {{"References", 10}, read_references}, {{"In-Reply-To", 11}, read_in_reply_to},
};

enum { KEPT_N = sizeof kept / sizeof *kept };

static void summarise(struct str header, struct arena *arena, struct summary *out)
{
	struct str bodies[KEPT_N] = {{NULL, 0}};
	struct header_walk walk;
	struct header_field field;
	*out = (struct summary){.sent_known = false};
	header_walk_init(&walk, header);
	while (header_walk_next(&walk, &field))
		for (size_t i = 0; i < KEPT_N; i++)
			if (bodies[i].p == NULL && str_eq_nocase(field.name, kept[i].name))
				bodies[i] = field.body;
	for (size_t i = 0; i < KEPT_N; i++)
		if (bodies[i].p != NULL)
			kept[i].read(bodies[i], arena, out);
}

static void add_references(struct buf *b, const struct header_msgids *references)
{
	size_t n = 0;
	for (size_t i = 0; i < references->n; i++)
		n += references->ids[i].n <= CACHE_ID_BYTES_MAX;
	add_varint(b, n);
	for (size_t i = 0; i < references->n; i++)
		if (references->ids[i].n <= CACHE_ID_BYTES_MAX)
			add_string(b, references->ids[i]);
}

static void add_nodes(struct buf *b, const struct mime *mime)
{
	uint64_t header_end = 0;
	add_varint(b, mime->n);
	for (uint32_t i = 0; i < mime->n; i++) {
		const struct mime_node *node = &mime->nodes[i];
		uint64_t children = 0;
		for (uint32_t child = node->child; child; child = mime->nodes[child].next)
			children++;
		must(node->header_at >= header_end && node->body_at == node->header_at + node->header_bytes);
		buf_add_byte(b, (char)(node->kind | node->encoding << 2));
		add_varint(b, children);
		add_varint(b, node->header_at - header_end);
		add_varint(b, node->header_bytes);
		add_varint(b, node->body_bytes);
		add_varint(b, node->body_lines);
		header_end = node->body_at;
	}
}

bool cache_build(struct str message, struct buf *b)
{
	struct arena *arena = arena_new(MIME_ARENA_BYTES), *header_arena = arena_new(HEADER_ARENA_BYTES);
	struct mime mime;
	struct summary summary;
	struct buf text;
	mime_parse(message, arena, &mime);
	struct str header = str_upto(message, mime.nodes[0].header_bytes);
	summarise(header, header_arena, &summary);

	buf_init(&text, ENVELOPE_STRUCTURE_BYTES_MAX);
	buf_add_byte(b, CACHE_VERSION);
	buf_add_byte(b, (char)((summary.sent_known ? FLAG_SENT_KNOWN : 0) | (mime.bounded ? FLAG_BOUNDED : 0) |
	                       (summary.is_reply ? FLAG_REPLY : 0)));
	envelope_add(header, &text);
	add_filled(b, &text);
	bodystructure_add(&mime, false, &text);
	add_filled(b, &text);
	bodystructure_add(&mime, true, &text);
	add_filled(b, &text);
	add_string(b, summary.message_id);
	add_string(b, summary.subject);
	add_string(b, summary.from);
	add_string(b, summary.to);
	add_string(b, summary.cc);
	add_references(b, &summary.references);
	int64_t sent = summary.sent_known ? summary.sent.utc_s : 0;
	add_varint(b, (uint64_t)sent << 1 ^ (uint64_t)(sent >> 63));
	add_nodes(b, &mime);

	buf_fini(&text);
	arena_free(&arena);
	arena_free(&header_arena);
	return !b->overflow;
}

// ---- reading ----

static bool take_varint(struct str *rest, uint64_t *out)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < VARINT_BYTES_MAX && i < rest->n; i++) {
		unsigned char c = (unsigned char)rest->p[i];
		if (i == VARINT_BYTES_MAX - 1 && c > 1)
			return false; // over 64 bits
		value |= (uint64_t)(c & 0x7f) << (7 * i);
		if (c < 0x80) {
			*rest = str_from(*rest, i + 1);
			*out = value;
			return true;
		}
	}
	return false;
}

static bool take_byte(struct str *rest, unsigned char *out)
{
	if (rest->n == 0)
		return false;
	*out = (unsigned char)rest->p[0];
	*rest = str_from(*rest, 1);
	return true;
}

static bool take_string(struct str *rest, struct str *out)
{
	uint64_t n;
	if (!take_varint(rest, &n) || n > rest->n)
		return false;
	*out = str_upto(*rest, n);
	*rest = str_from(*rest, n);
	return true;
}

static bool take_references(struct str *rest, struct cache *out)
{
	uint64_t n;
	struct str id;
	if (!take_varint(rest, &n) || n > CACHE_REFERENCES_MAX)
		return false;
	out->references_raw = *rest;
	out->references_n = n;
	for (uint64_t i = 0; i < n; i++)
		if (!take_string(rest, &id))
			return false;
	out->references_raw.n -= rest->n;
	return true;
}

static bool take_all(struct str rest, struct cache *out)
{
	unsigned char flags;
	uint64_t sent, nodes;
	if (!take_byte(&rest, &flags) || flags > FLAGS_ALL || !take_string(&rest, &out->envelope) ||
		!take_string(&rest, &out->body) || !take_string(&rest, &out->bodystructure) ||
		!take_string(&rest, &out->message_id) || !take_string(&rest, &out->base_subject) ||
		!take_string(&rest, &out->from) || !take_string(&rest, &out->to) || !take_string(&rest, &out->cc) ||
		!take_references(&rest, out) || !take_varint(&rest, &sent) || !take_varint(&rest, &nodes))
		return false;
	if (out->envelope.n == 0 || out->body.n == 0 || out->bodystructure.n == 0 || nodes == 0 || nodes > MIME_PARTS_MAX)
		return false;
	out->sent_known = flags & FLAG_SENT_KNOWN;
	out->bounded = flags & FLAG_BOUNDED;
	out->subject_is_reply = flags & FLAG_REPLY;
	out->sent = (int64_t)(sent >> 1 ^ -(sent & 1));
	out->nodes_raw = rest;
	out->nodes_n = nodes;
	return true;
}

enum err_code cache_open(struct str bytes, struct cache *out, struct err *err)
{
	struct cache cache = {.sent = 0};
	unsigned char version;
	if (!take_byte(&bytes, &version))
		return err_set(err, ERR_CORRUPT, "message cache: empty");
	if (version != CACHE_VERSION)
		return err_set(err, ERR_VERSION, "message cache: version %d, this program writes %d", version, CACHE_VERSION);
	if (!take_all(bytes, &cache))
		return err_set(err, ERR_CORRUPT, "message cache: damaged");
	*out = cache;
	return ERR_OK;
}

bool cache_reference(struct str *rest, struct str *id_out)
{
	return rest->n > 0 && take_string(rest, id_out);
}

struct open_node {
	uint32_t index;
	uint32_t last_child;
	uint64_t missing; // children that are still to come
};

// One node, its slices inside the message; *header_end is where its predecessor's header ended.
static bool take_node(struct str *rest, uint64_t message_bytes, uint64_t *header_end, struct mime_node *node, uint64_t *children)
{
	unsigned char kind;
	uint64_t gap, header, body, lines;
	if (!take_byte(rest, &kind) || !take_varint(rest, children) || !take_varint(rest, &gap) || !take_varint(rest, &header) ||
	    !take_varint(rest, &body) || !take_varint(rest, &lines))
		return false;
	node->kind = kind & 3;
	node->encoding = kind >> 2;
	if (node->kind > MIME_MESSAGE || node->encoding > MIME_UNKNOWN_ENCODING)
		return false;
	if (gap > message_bytes - *header_end || header > message_bytes - *header_end - gap)
		return false;
	node->header_at = *header_end + gap;
	node->header_bytes = header;
	node->body_at = node->header_at + header;
	if (body > message_bytes - node->body_at || lines > body || lines > UINT32_MAX)
		return false;
	node->body_bytes = body;
	node->body_lines = (uint32_t)lines;
	*header_end = node->body_at;
	switch ((enum mime_kind)node->kind) {
	case MIME_LEAF:
		return *children == 0;
	case MIME_MULTIPART:
		return *children > 0;
	case MIME_MESSAGE:
		return *children == 1;
	}
	unreachable("mime kind");
}

static bool take_nodes(const struct cache *cache, uint64_t message_bytes, struct mime_node *nodes)
{
	struct open_node open[MIME_DEPTH_MAX + 1];
	struct str rest = cache->nodes_raw;
	unsigned depth = 0; // of the next node: open[depth - 1] is its parent
	uint64_t header_end = 0;
	for (uint32_t i = 0; i < cache->nodes_n; i++) {
		uint64_t children;
		if ((i > 0 && depth == 0) || depth > MIME_DEPTH_MAX ||
			!take_node(&rest, message_bytes, &header_end, &nodes[i], &children))
			return false;
		nodes[i].depth = (uint8_t)depth;
		if (depth > 0) {
			struct open_node *parent = &open[depth - 1];
			if (parent->last_child)
				nodes[parent->last_child].next = i;
			else
				nodes[parent->index].child = i;
			parent->last_child = i;
			parent->missing--;
		}
		open[depth++] = (struct open_node){.index = i, .missing = children};
		while (depth > 0 && open[depth - 1].missing == 0)
			depth--;
	}
	return depth == 0 && rest.n == 0;
}

enum err_code cache_nodes(const struct cache *cache, uint64_t message_bytes, struct arena *arena,
	const struct mime_node **nodes_out, size_t *n_out, struct err *err)
{
	struct mime_node *nodes = arena_array(arena, cache->nodes_n, sizeof *nodes);
	if (nodes == NULL)
		return err_set(err, ERR_LIMIT, "message cache: %zu parts do not fit", cache->nodes_n);
	if (!take_nodes(cache, message_bytes, nodes))
		return err_set(err, ERR_CORRUPT, "message cache: damaged part table");
	*nodes_out = nodes;
	*n_out = cache->nodes_n;
	return ERR_OK;
}
