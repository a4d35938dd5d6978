// SPDX-License-Identifier: Apache-2.0
// Fields that we write from what others gave us: a line each of the input. Whatever it holds, what is written is exactly one
// field that reads back as what went in, on lines that fit, or nothing at all.
// Covers: mail/header_emit.c
#include "base/must.h"
#include "chars.h"
#include "mail/addrlist.h"
#include "mail/encword.h"
#include "mail/header.h"
#include "mail/header_emit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The one field X that must be there, with its body.
static struct str read_field(const struct buf *out)
{
	struct header_walk walk;
	struct header_field field, more;
	header_walk_init(&walk, buf_str(out));
	must(header_walk_next(&walk, &field) && str_eq(field.name, STR("X")) && !header_walk_next(&walk, &more));
	struct str rest = buf_str(out), line;
	while (str_next_line(&rest, &line))
		must(line.n <= 998 && str_index(line, '\r') < 0 && str_index(line, '\0') < 0 && str_trim(line).n > 0);
	must(str_ends(field.raw, STR("\r\n")) && field.end == out->n);
	return field.body;
}

static bool has_line_end(struct str s)
{
	return str_index(s, '\r') >= 0 || str_index(s, '\n') >= 0 || str_index(s, '\0') >= 0;
}

static void check_text(struct arena *arena, struct buf *out, struct str text)
{
	struct header_emit emit;
	header_emit_init(&emit, out);
	header_emit_text(&emit, STR("X"), text);
	must(emit.failed ? out->n == 0 : !has_line_end(text));
	if (!emit.failed && str_is_utf8(text) && !chars_any_control(text))
		must(str_eq(str_trim(header_text(arena, read_field(out))), str_trim(text)));
}

static void check_raw(struct arena *arena, struct buf *out, struct str value)
{
	struct header_emit emit;
	header_emit_init(&emit, out);
	header_emit_raw(&emit, STR("X"), value);
	must(emit.failed ? out->n == 0 : !has_line_end(value));
	if (!emit.failed)
		must(str_eq(header_unfold(arena, read_field(out)), str_trim(value)));
}

static void check_msgid(struct arena *arena, struct buf *out, struct str id)
{
	struct header_emit emit;
	struct header_msgids ids;
	header_emit_init(&emit, out);
	header_emit_msgid(&emit, STR("X"), id);
	must(!emit.failed || out->n == 0);
	if (emit.failed)
		return;
	header_msgids(arena, read_field(out), 2, &ids);
	must(ids.n == 1 && str_eq(ids.ids[0], id));
}

static void check_mailbox(struct arena *arena, struct buf *out, struct str display, struct str address)
{
	struct header_emit emit;
	struct addrlist list;
	struct addr addr, again;
	if (addr_parse(arena, address, ADDR_UTF8, &addr) != ADDR_OK || addr.domain.kind == DOMAIN_NONE)
		return;
	header_emit_init(&emit, out);
	header_emit_mailbox(&emit, STR("X"), display, &addr);
	must(emit.failed ? out->n == 0 : !has_line_end(display));
	if (emit.failed)
		return;
	addrlist_parse(arena, read_field(out), 3, &list);
	must(list.n == 1 && !list.cut && list.items[0].kind == ADDRLIST_MAILBOX);
	must(addr_from_parts(arena, list.items[0].local, list.items[0].domain, ADDR_UTF8, &again) == ADDR_OK &&
		addr_same(&again, &addr));
	if (str_is_utf8(display) && !chars_any_control(display))
		must(str_eq(str_trim(encword_decode(arena, list.items[0].name)), str_trim(display)));
	buf_clear(out);
	header_emit_init(&emit, out);
	header_emit_path(&emit, STR("X"), &addr);
	must(!emit.failed);
	struct str path = str_trim(read_field(out));
	must(addr_parse_path(arena, &path, ADDR_UTF8, &again) == ADDR_OK && addr_same(&again, &addr) && path.n == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(16 << 20);
	struct str rest = str_of((const char *)data, size), line, display, address;
	struct buf out;
	buf_init(&out, 1 << 20);
	while (rest.n) {
		if (!str_cut(rest, '\n', &line, &rest)) {
			line = rest;
			rest = STR_NONE;
		}
		buf_clear(&out);
		check_text(arena, &out, line);
		buf_clear(&out);
		check_raw(arena, &out, line);
		buf_clear(&out);
		check_msgid(arena, &out, line);
		buf_clear(&out);
		if (str_cut(line, '<', &display, &address))
			check_mailbox(arena, &out, display, address);
		arena_reset(arena);
	}
	buf_fini(&out);
	arena_free(&arena);
	return 0;
}
