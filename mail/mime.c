// SPDX-License-Identifier: Apache-2.0
// The MIME structure of a message, in one pass over its lines.
//
// The parser keeps a stack of open entities, the message at its bottom; the top one takes the next line. A line is the top's
// header until its blank line, then its body. A line that starts with "--" is compared with the boundaries of all open
// multiparts, the innermost first and the longest match winning (RFC 2046 section 5.1.1 wants a prefix compared; of "x" and "xy"
// the line "--xy" is the second's). It closes whatever is open above that multipart, and opens its next part or ends it. What
// follows an end, the epilogue, belongs to the multipart and to no part.
//
// Bounds turn an entity into one opaque leaf, application/octet-stream, and never fail. After the last part that MIME_PARTS_MAX
// (or the arena) allows, boundaries are no longer looked for.
//
// Called by the store at delivery and by tools, on threads that may be busy for the time a pass over the message takes.
#include "mail/mime.h"

#include "base/must.h"
#include "mime_fields.h"

enum { NODES_FIRST = 16 };

// An entity that may still get lines.
struct open_entity {
	uint32_t node;
	uint32_t last_child;  // 0 without children
	struct str boundary;  // empty: not a multipart, or ended
	bool in_header;
	uint64_t lines_before_body; // line ends before the body starts
};

struct parser {
	struct str message;
	struct arena *arena;
	struct mime_node *nodes;
	struct mime_details *details;
	uint32_t n, size;
	size_t fields_budget;
	struct open_entity open[MIME_DEPTH_MAX + 1];
	unsigned depth;      // index of the top of open
	size_t at;           // start of the line being read
	size_t line_end;     // bytes of the line end before `at`: 0, 1 (LF), 2 (CRLF)
	uint64_t line_ends;  // seen before `at`
	bool last_part;      // no further part may be opened
	bool bounded;
	uint64_t work;
};

// Room for `more` nodes; false at a bound.
static bool grow(struct parser *p, uint32_t more)
{
	if (p->n + more <= p->size)
		return true;
	uint32_t size = p->size * 2 < MIME_PARTS_MAX ? p->size * 2 : MIME_PARTS_MAX;
	if (p->n + more > size)
		return false;
	struct mime_node *nodes = arena_array(p->arena, size, sizeof *nodes);
	struct mime_details *details = nodes ? arena_array(p->arena, size, sizeof *details) : NULL;
	if (details == NULL)
		return false;
	memcpy(nodes, p->nodes, p->n * sizeof *nodes);
	memcpy(details, p->details, p->n * sizeof *details);
	p->nodes = nodes;
	p->details = details;
	p->size = size;
	return true;
}

// Opens an entity whose header starts at the current line. The caller has made sure of room and depth.
static void open_entity(struct parser *p, unsigned depth)
{
	uint32_t index = p->n++;
	p->nodes[index] = (struct mime_node){.header_at = p->at, .body_at = p->at, .depth = (uint8_t)depth};
	if (depth > 0) {
		struct open_entity *parent = &p->open[depth - 1];
		if (parent->last_child)
			p->nodes[parent->last_child].next = index;
		else
			p->nodes[parent->node].child = index;
		parent->last_child = index;
	}
	p->open[depth] = (struct open_entity){.node = index, .in_header = true};
	p->depth = depth;
}

static void make_opaque(struct parser *p, uint32_t node)
{
	struct mime_details *details = &p->details[node];
	details->type = STR("application");
	details->subtype = STR("octet-stream");
	details->params = (struct mime_params){NULL, 0};
	p->nodes[node].kind = MIME_LEAF;
	p->bounded = true;
}

// The boundary of a multipart, without the trailing white space that RFC 2046 forbids; empty when it cannot be used.
static struct str boundary_of(struct parser *p, const struct mime_details *details)
{
	struct str boundary;
	if (!mime_param_bytes(&details->params, STR("BOUNDARY"), p->arena, &boundary))
		return STR_NONE;
	while (boundary.n && (boundary.p[boundary.n - 1] == ' ' || boundary.p[boundary.n - 1] == '\t'))
		boundary.n--;
	return boundary.n <= MIME_BOUNDARY_BYTES_MAX ? boundary : STR_NONE;
}

static bool parent_is_digest(const struct parser *p)
{
	if (p->depth == 0)
		return false;
	const struct mime_details *parent = &p->details[p->open[p->depth - 1].node];
	return str_eq_nocase(parent->type, STR("multipart")) && str_eq_nocase(parent->subtype, STR("digest"));
}

// The header of the top ended before p->at: reads it and says what the body is. A message inside opens at once.
static void end_header(struct parser *p)
{
	struct open_entity *top = &p->open[p->depth];
	struct mime_node *node = &p->nodes[top->node];
	struct mime_details *details = &p->details[top->node];
	node->header_bytes = p->at - node->header_at;
	node->body_at = p->at;
	top->in_header = false;
	top->lines_before_body = p->line_ends;
	struct str header = str_upto(str_from(p->message, node->header_at), node->header_bytes);
	p->bounded |= !mime_fields_read(header, parent_is_digest(p), &p->fields_budget, p->arena, details);
	p->work += header.n;
	node->encoding = (uint8_t)mime_encoding_of(details->encoding);

	// Whatever opens here leaves room for one part more: the next boundary line must find it.
	bool multipart = str_eq_nocase(details->type, STR("multipart"));
	bool message = str_eq_nocase(details->type, STR("message")) &&
	               (str_eq_nocase(details->subtype, STR("rfc822")) || str_eq_nocase(details->subtype, STR("global")));
	if (!multipart && !message) {
		if (p->last_part)
			make_opaque(p, top->node);
		return;
	}
	if (p->depth == MIME_DEPTH_MAX || p->last_part) {
		make_opaque(p, top->node);
		return;
	}
	if (multipart) {
		top->boundary = boundary_of(p, details);
		if (top->boundary.n) {
			node->kind = MIME_MULTIPART;
			return;
		}
		// No multipart without a boundary: not valid, so it is what RFC 2045 section 5.2 says of such fields.
		details->type = STR("text");
		details->subtype = STR("plain");
		details->params = (struct mime_params){NULL, 0};
		return;
	}
	if (!grow(p, 2)) {
		make_opaque(p, top->node);
		return;
	}
	p->nodes[top->node].kind = MIME_MESSAGE;
	open_entity(p, p->depth + 1);
}

// RFC 3501's grammar wants at least one body in a multipart, also where only a preamble was sent.
static void add_empty_part(struct parser *p)
{
	uint32_t parent = p->open[p->depth].node;
	if (!grow(p, 2)) {
		make_opaque(p, parent);
		return;
	}
	uint32_t child = p->n++;
	uint64_t at = p->nodes[parent].body_at + p->nodes[parent].body_bytes;
	p->nodes[child] = (struct mime_node){.header_at = at, .body_at = at, .depth = (uint8_t)(p->depth + 1)};
	p->nodes[parent].child = child;
	p->details[child] = (struct mime_details){.type = STR("text"), .subtype = STR("plain"), .encoding = STR("7bit")};
}

// Ends the top at byte `end`, which is at or before p->at; `trimmed` line ends lie between.
static void close_top(struct parser *p, size_t end, uint64_t trimmed)
{
	while (p->open[p->depth].in_header)
		end_header(p); // a message inside opens, and ends as well
	struct open_entity *top = &p->open[p->depth];
	struct mime_node *node = &p->nodes[top->node];
	if (end > node->body_at) {
		uint64_t lines = p->line_ends - top->lines_before_body - trimmed;
		node->body_bytes = end - node->body_at;
		node->body_lines = lines < UINT32_MAX ? (uint32_t)lines : UINT32_MAX;
	}
	if (node->kind == MIME_MULTIPART && node->child == 0)
		add_empty_part(p);
}

// The multipart whose boundary the line names: its index in open, or -1. *is_end_out: "--" follows the boundary.
static int match_boundary(struct parser *p, struct str line, bool *is_end_out)
{
	int found = -1;
	size_t found_n = 0;
	struct str text = str_from(line, 2);
	for (int i = (int)p->depth; i >= 0; i--) {
		struct str boundary = p->open[i].boundary;
		if (boundary.n <= found_n)
			continue;
		p->work += boundary.n;
		if (!str_starts(text, boundary))
			continue;
		found = i;
		found_n = boundary.n;
	}
	if (found < 0)
		return found;
	// White space may follow a boundary (RFC 2046 section 5.1.1). Before the "--" it is part of a boundary that should not
	// end in it.
	struct str rest = str_from(text, found_n);
	while (rest.n && (rest.p[0] == ' ' || rest.p[0] == '\t'))
		rest = str_from(rest, 1);
	*is_end_out = str_starts(rest, STR("--"));
	return found;
}

// A delimiter of open[level] at p->at: closes what is above it, then starts its next part or its epilogue.
static void take_boundary(struct parser *p, unsigned level, bool is_end)
{
	uint64_t trimmed = p->line_end ? 1 : 0;
	while (p->open[p->depth].in_header)
		end_header(p);
	while (p->depth > level) {
		close_top(p, p->at - p->line_end, trimmed);
		p->depth--;
	}
	if (is_end)
		p->open[level].boundary = STR_NONE;
}

// One line: a boundary, or the top's header or body. line has its line end.
static void take_line(struct parser *p, struct str line)
{
	bool is_end = false;
	int level = -1;
	if (line.n > 2 && line.p[0] == '-' && line.p[1] == '-' && !p->last_part)
		level = match_boundary(p, line, &is_end);
	if (level >= 0)
		take_boundary(p, (unsigned)level, is_end);
	size_t end = line.n >= 2 && line.p[line.n - 2] == '\r' ? 2 : 1;
	bool whole = line.n && line.p[line.n - 1] == '\n';
	p->at += line.n;
	p->line_end = whole ? end : 0;
	p->line_ends += whole;
	if (level >= 0 && !is_end) {
		open_entity(p, (unsigned)level + 1);
		p->last_part = !grow(p, 1);
	} else if (level < 0 && p->open[p->depth].in_header && whole && line.n == end) {
		end_header(p);
	}
}

void mime_parse(struct str message, struct arena *arena, struct mime *out)
{
	struct parser *p = arena_must(arena, sizeof *p);
	*p = (struct parser){.message = message, .arena = arena, .size = NODES_FIRST, .fields_budget = MIME_FIELDS_BYTES_MAX};
	p->nodes = arena_must(arena, NODES_FIRST * sizeof *p->nodes);
	p->details = arena_must(arena, NODES_FIRST * sizeof *p->details);
	open_entity(p, 0);
	while (p->at < message.n) {
		struct str rest = str_from(message, p->at);
		ptrdiff_t lf = str_index(rest, '\n');
		struct str line = str_upto(rest, lf < 0 ? rest.n : (size_t)lf + 1);
		p->work += line.n;
		take_line(p, line);
	}
	while (p->open[p->depth].in_header)
		end_header(p);
	for (;; p->depth--) {
		close_top(p, message.n, 0);
		if (p->depth == 0)
			break;
	}
	*out = (struct mime){.message = message, .nodes = p->nodes, .details = p->details, .n = p->n,
		.bounded = p->bounded || p->last_part,
	                     .work = p->work};
}
