// SPDX-License-Identifier: Apache-2.0
// Any bytes as a message: the parts lie inside it and inside each other, in order, and the work is linear.
// Covers: mail/mime.c mail/mime_section.c
#include <stdlib.h>

#include "base/must.h"
#include "mail/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_node(const struct mime *mime, uint32_t index, uint32_t parent)
{
	const struct mime_node *node = &mime->nodes[index], *above = &mime->nodes[parent];
	must(node->header_at <= mime->message.n && node->header_bytes <= mime->message.n - node->header_at);
	must(node->body_at == node->header_at + node->header_bytes && node->body_bytes <= mime->message.n - node->body_at);
	must(node->body_lines <= node->body_bytes);
	must(node->depth <= MIME_DEPTH_MAX && node->kind <= MIME_MESSAGE && node->encoding <= MIME_UNKNOWN_ENCODING);
	must(mime->details[index].type.n && mime->details[index].subtype.n);
	must((node->kind == MIME_LEAF) == (node->child == 0));
	if (index == 0)
		return;
	must(node->depth == above->depth + 1 && node->header_at >= above->body_at);
	must(node->body_bytes == 0 || node->body_at + node->body_bytes <= above->body_at + above->body_bytes);
	if (above->kind == MIME_MESSAGE)
		must(node->next == 0 && node->header_at == above->body_at);
}

static void check_tree(const struct mime *mime)
{
	uint32_t seen = 1;
	check_node(mime, 0, 0);
	must(mime->nodes[0].next == 0);
	for (uint32_t i = 0; i < mime->n; i++) {
		uint64_t after = 0;
		for (uint32_t child = mime->nodes[i].child; child; child = mime->nodes[child].next) {
			must(child > i && child < mime->n && mime->nodes[child].header_at >= after);
			check_node(mime, child, i);
			after = mime->nodes[child].body_at + mime->nodes[child].body_bytes;
			seen++;
		}
	}
	must(seen == mime->n); // each node has one parent
}

static void check_sections(const struct mime *mime)
{
	static const char *const texts[] = {
		"", "HEADER", "TEXT", "1", "1.MIME", "2", "1.1", "1.2.HEADER", "2.1.TEXT", "1.1.1", "3"};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct mime_section section;
		struct mime_slice slice;
		must(mime_section_parse(str_of_c(texts[i]), &section));
		if (mime_section_find(mime->nodes, mime->n, &section, &slice))
			must(slice.at <= mime->message.n && slice.n <= mime->message.n - slice.at);
		else
			must(i > 4); // these every message has
	}
}

static void filter(struct str header, size_t step, bool with_not, struct buf *out)
{
	const struct str names[] = {STR("Subject"), STR("content-type")};
	struct mime_filter filter;
	mime_filter_init(&filter, header, names, 2, with_not);
	while (mime_filter_more(&filter, step, out))
		;
	mime_filter_fini(&filter);
	must(!out->overflow);
}

// Whatever the steps, the result is one.
static void check_filter(struct str header)
{
	struct buf at_once, in_steps;
	buf_init(&at_once, header.n + 1);
	buf_init(&in_steps, header.n + 1);
	for (int with_not = 0; with_not < 2; with_not++) {
		buf_clear(&at_once);
		buf_clear(&in_steps);
		filter(header, SIZE_MAX, with_not, &at_once);
		filter(header, 1, with_not, &in_steps);
		must(str_eq(buf_str(&at_once), buf_str(&in_steps)));
	}
	buf_fini(&at_once);
	buf_fini(&in_steps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str message = str_of((const char *)data, size), value;
	struct arena *arena = arena_new(MIME_ARENA_BYTES);
	struct mime mime;
	mime_parse(message, arena, &mime);
	must(mime.work <= (MIME_DEPTH_MAX + 3) * (uint64_t)size);
	check_tree(&mime);
	check_sections(&mime);
	for (uint32_t i = 0; i < mime.n; i++)
		if (mime_param(&mime.details[i].params, STR("name"), arena, &value))
			must(str_is_utf8(value));
	check_filter(str_upto(message, mime.nodes[0].header_bytes));
	struct mime_section section;
	(void)mime_section_parse(message, &section);
	arena_free(&arena);
	return 0;
}
