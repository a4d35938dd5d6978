// SPDX-License-Identifier: Apache-2.0
// IMAP sections: the text between the brackets, the part that a path names, and the fields that HEADER.FIELDS picks.
#include <stdlib.h>

#include "base/must.h"
#include "mail/mime.h"

static const struct {
	struct str name;
	enum mime_section_kind kind;
} kinds[] = {
	{{"HEADER", 6}, MIME_SECTION_HEADER},
	{{"HEADER.FIELDS", 13}, MIME_SECTION_FIELDS},
	{{"HEADER.FIELDS.NOT", 17}, MIME_SECTION_FIELDS_NOT},
	{{"TEXT", 4}, MIME_SECTION_TEXT},
	{{"MIME", 4}, MIME_SECTION_MIME},
};

static bool kind_parse(struct str text, enum mime_section_kind *out)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (str_eq_nocase(text, kinds[i].name)) {
			*out = kinds[i].kind;
			return true;
		}
	}
	return false;
}

bool mime_section_parse(struct str text, struct mime_section *out)
{
	struct mime_section section = {.kind = MIME_SECTION_ALL};
	while (text.n && chr_is_digit(text.p[0])) {
		struct str number = text, rest = STR_NONE;
		uint64_t value;
		bool more = str_cut(text, '.', &number, &rest);
		// RFC 3501 section 9: nz-number, so no 0 and no leading zero.
		if (number.p[0] == '0' || !str_to_u64(number, UINT32_MAX, &value) || section.path_n == MIME_DEPTH_MAX)
			return false;
		if (more && rest.n == 0)
			return false;
		section.path[section.path_n++] = (uint32_t)value;
		text = rest;
	}
	if (text.n && !kind_parse(text, &section.kind))
		return false;
	if (section.kind == MIME_SECTION_MIME && section.path_n == 0)
		return false; // section-text: MIME only with a part
	*out = section;
	return true;
}

// The child of a multipart with that number, 1-based; 0 when there is none.
static uint32_t nth_child(const struct mime_node *nodes, uint32_t parent, uint32_t number)
{
	uint32_t child = nodes[parent].child;
	while (child && --number)
		child = nodes[child].next;
	return child;
}

bool mime_part_find(const struct mime_node *nodes, size_t n, const uint32_t *path, unsigned path_n, uint32_t *index_out)
{
	must(n > 0);
	uint32_t at = 0;
	bool is_message = true; // `at` is the top of a message, whose parts are numbered below it
	for (unsigned i = 0; i < path_n; i++) {
		if (!is_message && nodes[at].kind == MIME_MESSAGE) {
			at = nodes[at].child;
			is_message = true;
		}
		if (nodes[at].kind == MIME_MULTIPART) {
			at = nth_child(nodes, at, path[i]);
			if (at == 0)
				return false;
		} else if (!is_message || path[i] != 1) {
			// RFC 3501 section 6.4.5: a message that is no multipart has a part 1, and no part has parts otherwise
			return false;
		}
		is_message = false;
	}
	*index_out = at;
	return true;
}

bool mime_section_find(const struct mime_node *nodes, size_t n, const struct mime_section *section, struct mime_slice *slice_out)
{
	uint32_t at;
	if (!mime_part_find(nodes, n, section->path, section->path_n, &at))
		return false;
	const struct mime_node *node = &nodes[at];
	bool whole_message = section->path_n == 0;
	switch (section->kind) {
	case MIME_SECTION_ALL:
		if (whole_message)
			*slice_out = (struct mime_slice){node->header_at, node->header_bytes + node->body_bytes};
		else
			*slice_out = (struct mime_slice){node->body_at, node->body_bytes};
		return true;
	case MIME_SECTION_MIME:
		*slice_out = (struct mime_slice){node->header_at, node->header_bytes};
		return true;
	case MIME_SECTION_HEADER:
	case MIME_SECTION_FIELDS:
	case MIME_SECTION_FIELDS_NOT:
	case MIME_SECTION_TEXT:
		if (!whole_message && node->kind != MIME_MESSAGE)
			return false;
		if (!whole_message)
			node = &nodes[node->child];
		if (section->kind == MIME_SECTION_TEXT)
			*slice_out = (struct mime_slice){node->body_at, node->body_bytes};
		else
			*slice_out = (struct mime_slice){node->header_at, node->header_bytes};
		return true;
	}
	unreachable("mime section kind");
}

static int compare_nocase(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	for (size_t i = 0; i < n; i++) {
		int order = (unsigned char)chr_lower(a.p[i]) - (unsigned char)chr_lower(b.p[i]);
		if (order)
			return order;
	}
	return (a.n > b.n) - (a.n < b.n);
}

static int compare_names(const void *a, const void *b)
{
	const struct str *left = a, *right = b;
	return compare_nocase(*left, *right);
}

void mime_filter_init(struct mime_filter *filter, struct str header, const struct str *names, size_t names_n, bool with_not)
{
	*filter = (struct mime_filter){.names = calloc(names_n + 1, sizeof *names), .names_n = names_n, .with_not = with_not};
	must(filter->names != NULL);
	if (names_n)
		memcpy(filter->names, names, names_n * sizeof *names);
	qsort(filter->names, names_n, sizeof *names, compare_names);
	header_walk_init(&filter->walk, header);
}

void mime_filter_fini(struct mime_filter *filter)
{
	free(filter->names);
	*filter = (struct mime_filter){.names = NULL};
}

bool mime_filter_more(struct mime_filter *filter, size_t bytes, struct buf *out)
{
	struct header_walk *walk = &filter->walk;
	struct header_field field;
	for (size_t from = walk->at; walk->at - from < bytes;) {
		if (!header_walk_next(walk, &field)) {
			buf_add(out, str_upto(str_from(walk->message, walk->header_end), walk->body_start - walk->header_end));
			return false;
		}
		bool named = bsearch(&field.name, filter->names, filter->names_n, sizeof field.name, compare_names) != NULL;
		if (named != filter->with_not)
			buf_add(out, field.raw);
	}
	return true;
}
