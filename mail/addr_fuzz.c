// SPDX-License-Identifier: Apache-2.0
// Addresses: whatever comes in, an accepted address has no control, parses to itself, and its key is its own key.
// Covers: mail/addr.c mail/domain.c
#include "base/must.h"
#include "chars.h"
#include "mail/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct arena *arena, const struct addr *addr)
{
	struct addr again, base;
	struct str text;
	must(addr->text.n + 2 <= ADDR_PATH_BYTES_MAX && str_is_utf8(addr->text) && str_is_utf8(addr->key));
	must(!chars_any_control(addr->text) && !chars_any_control(addr->key));
	must(chars_all_ascii(addr->domain.key));
	if (addr->domain.kind == DOMAIN_NONE)
		return;
	must(addr_parse(arena, addr->text, ADDR_UTF8 | ADDR_LONG_LOCAL, &again) == ADDR_OK);
	must(str_eq(again.text, addr->text) && addr_same(&again, addr));
	if (addr_parse(arena, addr->key, ADDR_UTF8 | ADDR_LONG_LOCAL, &again) == ADDR_OK) // folding may make it too long
		must(addr_same(&again, addr));
	if (addr_detail(arena, addr, STR("+-"), &base, &text))
		must(base.local.n + 1 + text.n == addr->local.n);
	if (addr_to_ascii(arena, addr, &text))
		must(addr_parse(arena, text, ADDR_LONG_LOCAL, &again) != ADDR_OK || addr_same(&again, addr));
}

// What a rewriting rule, a header or a directory does with the parts.
static void check_parts(struct arena *arena, const struct addr *addr)
{
	struct addr again, moved, copy = addr_copy(arena, addr);
	must(addr_same(&copy, addr) && str_eq(copy.text, addr->text) && copy.text.p != addr->text.p);
	must(addr_local_key(arena, addr->local).p != NULL && addr_is_postmaster(addr) == addr_is_postmaster(&copy));
	if (addr->domain.kind == DOMAIN_NONE)
		return;
	must(addr_from_parts(arena, addr->local, addr->domain.text, ADDR_UTF8 | ADDR_LONG_LOCAL, &again) == ADDR_OK &&
		addr_same(&again, addr));
	must(addr_with_local(arena, addr, addr->local, &again) == ADDR_OK && addr_same(&again, addr));
	must(addr_parse(arena, STR("x@other.example"), 0, &moved) == ADDR_OK);
	if (addr_with_domain(arena, addr, &moved.domain, &again) == ADDR_OK)
		must(str_eq(again.local, addr->local) && str_eq(again.domain.key, STR("other.example")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(1 << 20);
	struct addr addr;
	unsigned flags = size ? data[0] : 0;
	struct str in = str_of((const char *)data + (size ? 1 : 0), size ? size - 1 : 0), rest = in;
	if (addr_parse(arena, in, flags, &addr) == ADDR_OK) {
		check(arena, &addr);
		check_parts(arena, &addr);
	}
	if (addr_parse_path(arena, &rest, flags, &addr) == ADDR_OK && !addr_is_null(&addr)) {
		check(arena, &addr);
		check_parts(arena, &addr);
	}
	arena_free(&arena);
	return 0;
}
