// SPDX-License-Identifier: Apache-2.0
// Renders IMAP's BODY and BODYSTRUCTURE from the parts of a message. Recursion follows the nesting, at most MIME_DEPTH_MAX deep.
#include "base/must.h"
#include "envelope_inside.h"
#include "mail/envelope.h"

struct renderer {
	const struct mime *mime;
	bool with_extensions;
	struct arena *arena;   // scratch of one list of parameters, or of one envelope inside
	size_t envelopes_left; // bytes
	struct buf *b;
};

static void add_space_nstring(struct renderer *r, struct str s)
{
	buf_add_byte(r->b, ' ');
	envelope_nstring_add(s, r->b);
}

static void add_params(struct renderer *r, const struct mime_params *written, bool default_charset)
{
	struct mime_params params;
	bool any = false;
	mime_params_join(written, r->arena, &params);
	for (size_t i = 0; i < params.n; i++) {
		struct str base = params.p[i].name, rest;
		buf_add_byte(r->b, any ? ' ' : '(');
		any = true;
		envelope_nstring_add(params.p[i].name, r->b);
		add_space_nstring(r, params.p[i].value);
		str_cut(params.p[i].name, '*', &base, &rest); // "charset*" is one too
		default_charset = default_charset && !str_eq_nocase(base, STR("charset"));
	}
	arena_reset(r->arena);
	if (default_charset) {
		buf_add_byte(r->b, any ? ' ' : '(');
		buf_add(r->b, STR("\"charset\" \"us-ascii\""));
		any = true;
	}
	buf_add(r->b, any ? STR(")") : STR("NIL"));
}

// Disposition, languages, location: what BODYSTRUCTURE has at its end for every kind of body.
static void add_common_extensions(struct renderer *r, const struct mime_details *details)
{
	buf_add_byte(r->b, ' ');
	if (details->disposition.n) {
		buf_add_byte(r->b, '(');
		envelope_nstring_add(details->disposition, r->b);
		buf_add_byte(r->b, ' ');
		add_params(r, &details->disposition_params, false);
		buf_add_byte(r->b, ')');
	} else {
		buf_add(r->b, STR("NIL"));
	}
	buf_add_byte(r->b, ' ');
	for (size_t i = 0; i < details->languages_n; i++) {
		buf_add_byte(r->b, i ? ' ' : '(');
		envelope_nstring_add(details->languages[i], r->b);
	}
	buf_add(r->b, details->languages_n ? STR(")") : STR("NIL"));
	add_space_nstring(r, details->location);
}

static void add_body(struct renderer *r, uint32_t index);

static void add_multipart(struct renderer *r, uint32_t index)
{
	const struct mime_details *details = &r->mime->details[index];
	for (uint32_t child = r->mime->nodes[index].child; child; child = r->mime->nodes[child].next)
		add_body(r, child);
	add_space_nstring(r, details->subtype);
	if (!r->with_extensions)
		return;
	buf_add_byte(r->b, ' ');
	add_params(r, &details->params, false);
	add_common_extensions(r, details);
}

// The envelope of the message inside, or one of NILs when there have been too many bytes of them.
static void add_envelope_inside(struct renderer *r, const struct mime_node *message)
{
	size_t before = r->b->n;
	struct str header = str_upto(str_from(r->mime->message, message->header_at), message->header_bytes);
	if (r->envelopes_left > 0 && envelope_render(header, r->arena, r->b) && r->b->n - before <= r->envelopes_left) {
		r->envelopes_left -= r->b->n - before;
		return;
	}
	if (!r->b->overflow)
		buf_truncate(r->b, before);
	r->envelopes_left = 0;
	buf_add(r->b, STR("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"));
}

static void add_single(struct renderer *r, uint32_t index)
{
	const struct mime_node *node = &r->mime->nodes[index];
	const struct mime_details *details = &r->mime->details[index];
	bool is_text = str_eq_nocase(details->type, STR("text"));
	envelope_nstring_add(details->type, r->b);
	add_space_nstring(r, details->subtype);
	buf_add_byte(r->b, ' ');
	add_params(r, &details->params, is_text);
	add_space_nstring(r, details->id);
	add_space_nstring(r, details->description);
	add_space_nstring(r, details->encoding);
	buf_add_byte(r->b, ' ');
	buf_add_u64(r->b, node->body_bytes);
	if (node->kind == MIME_MESSAGE) {
		buf_add_byte(r->b, ' ');
		add_envelope_inside(r, &r->mime->nodes[node->child]);
		buf_add_byte(r->b, ' ');
		add_body(r, node->child);
	}
	if (node->kind == MIME_MESSAGE || is_text) {
		buf_add_byte(r->b, ' ');
		buf_add_u64(r->b, node->body_lines);
	}
	if (!r->with_extensions)
		return;
	add_space_nstring(r, details->md5);
	add_common_extensions(r, details);
}

static void add_body(struct renderer *r, uint32_t index)
{
	must(r->mime->nodes[index].depth <= MIME_DEPTH_MAX);
	buf_add_byte(r->b, '(');
	if (r->mime->nodes[index].kind == MIME_MULTIPART)
		add_multipart(r, index);
	else
		add_single(r, index);
	buf_add_byte(r->b, ')');
}

bool bodystructure_add(const struct mime *mime, bool with_extensions, struct buf *b)
{
	struct renderer r = {.mime = mime,
	                     .with_extensions = with_extensions,
	                     .arena = arena_new(ENVELOPE_ARENA_BYTES),
	                     .envelopes_left = ENVELOPE_INSIDE_BYTES_MAX,
	                     .b = b};
	add_body(&r, 0);
	arena_free(&r.arena);
	return !b->overflow;
}
