// SPDX-License-Identifier: Apache-2.0
// Address lists: any body is read, groups are opened and closed, no part holds a line end, and an address made of parts is an
// address.
// Covers: mail/addrlist.c
#include "base/must.h"
#include "chars.h"
#include "mail/addr.h"
#include "mail/addrlist.h"
#include "mail/encword.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAILBOXES_MAX = 50 };

static void check_mailbox(struct arena *arena, const struct addrlist_item *item)
{
	struct addr addr;
	must(encword_decode(arena, item->name).p != NULL || arena_overflowed(arena));
	if (addr_from_parts(arena, item->local, item->domain, ADDR_UTF8, &addr) == ADDR_OK)
		must(!chars_any_control(addr.text));
}

// What was cut at a smaller number is the beginning of the same list.
static void check_cut(struct arena *arena, struct str body, const struct addrlist *whole)
{
	struct addrlist few;
	addrlist_parse(arena, body, 1, &few);
	must(few.mailboxes <= 1 && (few.cut || few.n == whole->n));
	for (size_t i = 0; i < few.n && few.items[i].kind == ADDRLIST_MAILBOX; i++)
		must(str_eq(few.items[i].local, whole->items[i].local) && str_eq(few.items[i].domain, whole->items[i].domain));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(16 << 20);
	struct str body = str_of((const char *)data, size);
	struct addrlist list;
	size_t mailboxes = 0, open = 0;
	addrlist_parse(arena, body, MAILBOXES_MAX, &list);
	for (size_t i = 0; i < list.n; i++) {
		open += list.items[i].kind == ADDRLIST_GROUP_START;
		open -= list.items[i].kind == ADDRLIST_GROUP_END;
		must(open <= 1);
		if (list.items[i].kind != ADDRLIST_MAILBOX)
			continue;
		mailboxes++;
		check_mailbox(arena, &list.items[i]);
	}
	must(open == 0 && mailboxes == list.mailboxes && mailboxes <= MAILBOXES_MAX);
	check_cut(arena, body, &list);
	arena_free(&arena);
	return 0;
}
