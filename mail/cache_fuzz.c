// SPDX-License-Identifier: Apache-2.0
// The cache both ways. First byte 0: the rest is a cache as a damaged disk gives it; else the rest is a message, whose cache must
// read back to the same part table.
// Covers: mail/cache.c mail/bodystructure.c mail/envelope.c mail/subject.c
#include <stdlib.h>

#include "base/must.h"
#include "mail/cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DAMAGED_MESSAGE_BYTES = 1000 };

static void read_damaged(struct str bytes, struct arena *arena)
{
	struct cache cache;
	const struct mime_node *nodes;
	size_t n, ids = 0;
	struct str id;
	if (cache_open(bytes, &cache, NULL) != ERR_OK)
		return;
	for (struct str rest = cache.references_raw; cache_reference(&rest, &id);)
		ids++;
	must(ids == cache.references_n);
	if (cache_nodes(&cache, DAMAGED_MESSAGE_BYTES, arena, &nodes, &n, NULL) != ERR_OK)
		return;
	for (size_t i = 0; i < n; i++) {
		must(nodes[i].body_at + nodes[i].body_bytes <= DAMAGED_MESSAGE_BYTES && nodes[i].child < n && nodes[i].next < n);
		must(nodes[i].child == 0 || nodes[i].child > i);
		must(nodes[i].next == 0 || nodes[i].next > i);
	}
	struct mime_section section;
	struct mime_slice slice;
	must(mime_section_parse(STR("1.2.1.HEADER"), &section));
	if (mime_section_find(nodes, n, &section, &slice))
		must(slice.at + slice.n <= DAMAGED_MESSAGE_BYTES);
}

// Literals in a rendered text: the parentheses outside strings must match.
static void check_rendered(struct str text)
{
	size_t depth = 0;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == '"') {
			for (i++; i < text.n && text.p[i] != '"'; i++)
				i += text.p[i] == '\\';
			must(i < text.n);
		} else if (c == '{') {
			struct str number, rest;
			uint64_t n;
			must(str_cut(str_from(text, i + 1), '}', &number, &rest) && str_to_u64(number, text.n, &n));
			must(str_starts(rest, STR("\r\n")) && n + 2 <= rest.n);
			must(str_index(str_upto(str_from(rest, 2), n), '\0') < 0);
			i = (size_t)(rest.p - text.p) + 2 + n - 1;
		} else if (c == '(') {
			depth++;
		} else if (c == ')') {
			must(depth > 0);
			depth--;
			must(depth > 0 || i + 1 == text.n);
		} else {
			must(c != '\r' && c != '\n' && c != '\0');
		}
	}
	must(depth == 0);
}

// Field by field: the padding of the struct is nobody's.
static bool is_same_node(const struct mime_node *a, const struct mime_node *b)
{
	return a->header_at == b->header_at && a->header_bytes == b->header_bytes && a->body_at == b->body_at &&
	       a->body_bytes == b->body_bytes && a->body_lines == b->body_lines && a->child == b->child && a->next == b->next &&
	       a->kind == b->kind && a->encoding == b->encoding && a->depth == b->depth;
}

static void build_and_read(struct str message, struct arena *arena)
{
	struct buf b;
	struct cache cache;
	struct mime mime;
	const struct mime_node *nodes;
	size_t n;
	buf_init(&b, CACHE_BYTES_MAX);
	must(cache_build(message, &b));
	must(cache_open(buf_str(&b), &cache, NULL) == ERR_OK);
	check_rendered(cache.envelope);
	check_rendered(cache.body);
	check_rendered(cache.bodystructure);
	must(str_is_utf8(cache.base_subject));
	must(cache_nodes(&cache, message.n, arena, &nodes, &n, NULL) == ERR_OK);
	mime_parse(message, arena, &mime);
	must(n == mime.n);
	for (size_t i = 0; i < n; i++)
		must(is_same_node(&nodes[i], &mime.nodes[i]));
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct arena *arena = arena_new(MIME_ARENA_BYTES);
	struct str rest = str_of((const char *)data + 1, size - 1);
	if (data[0] == 0)
		read_damaged(rest, arena);
	else
		build_and_read(rest, arena);
	arena_free(&arena);
	return 0;
}
