// SPDX-License-Identifier: Apache-2.0
// Headers: the fields are the bytes of the header; every text is UTF-8 without controls; what we emit of it reads back the same.
// Covers: mail/header.c
#include "base/must.h"
#include "chars.h"
#include "mail/date.h"
#include "mail/header.h"
#include "mail/header_emit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(struct arena *arena, struct str text)
{
	struct header_emit emit;
	struct header_field field;
	struct buf out;
	must(str_is_utf8(text) && !chars_any_control(text));
	buf_init(&out, 1 << 20);
	header_emit_init(&emit, &out);
	header_emit_text(&emit, STR("X"), text);
	must(!emit.failed && header_find(buf_str(&out), STR("X"), &field) && field.end == out.n);
	struct str rest = buf_str(&out), line;
	while (str_next_line(&rest, &line))
		must(line.n <= 998 && str_index(line, '\r') < 0);
	must(str_eq(str_trim(header_text(arena, field.body)), str_trim(text)));
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(16 << 20);
	struct str message = str_of((const char *)data, size);
	struct header_walk walk;
	struct header_field field;
	size_t at = 0;
	header_walk_init(&walk, message);
	while (header_walk_next(&walk, &field)) {
		struct header_msgids ids;
		struct date date;
		must(field.start == at && field.end > at && field.raw.n == field.end - at);
		must(field.name.n == 0 || header_is_name(field.name));
		must(field.body_start >= field.start && field.body_start + field.body.n <= field.end);
		at = field.end;
		struct str rest = header_skip_cfws(field.body);
		must(rest.n <= field.body.n && (rest.n == 0 || rest.p + rest.n == field.body.p + field.body.n));
		must(field.name.n == 0 || header_count(message, field.name) > 0);
		check_text(arena, header_text(arena, field.body));
		header_msgids(arena, field.body, 3, &ids);
		must(ids.n <= 3);
		date_parse_header(field.body, &date);
		arena_reset(arena);
	}
	must(header_body_start(message) == walk.body_start);
	must(walk.header_end == at && walk.body_start >= at && walk.body_start <= at + 2 && walk.body_start <= size);
	arena_free(&arena);
	return 0;
}
