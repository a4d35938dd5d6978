// SPDX-License-Identifier: Apache-2.0
// Rows of route tables: "key LF value". Whatever comes in, a key is its own key, a rule is its own text, a reply is one line of a
// reply.
// Covers: mail/route_rule.c mail/rule_reply.c
#include "base/must.h"
#include "chars.h"
#include "mail/route_rule.h"
#include "mail/rule_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_key(struct arena *arena, struct str text)
{
	struct str key, again;
	if (route_rule_key(arena, text, &key) != NULL)
		return;
	must(key.n > 0 && !chars_any_control(key));
	if (route_rule_key(arena, key, &again) == NULL) // folding may make it too long
		must(str_eq(again, key));
}

static void check_value(struct arena *arena, struct str text)
{
	struct route_rule rule = ROUTE_RULE_NONE, again;
	struct domain domain;
	struct buf wire;
	if (route_rule_value(arena, text, &rule) != NULL)
		return;
	if (rule.kind == ROUTE_RULE_ERROR) {
		must(rule.reply.code >= 400 && rule.reply.code < 600 && rule.reply.enhanced.p[0] == '0' + rule.reply.code / 100);
		buf_init(&wire, 4096);
		must(reply_format(rule.reply, &wire) && str_index(buf_str(&wire), '\n') == (ptrdiff_t)wire.n - 1);
		buf_fini(&wire);
	}
	if (rule.kind != ROUTE_RULE_RELAY && rule.kind != ROUTE_RULE_DISCARD)
		return;
	must(domain_parse(arena, STR("[IPv6:2001:db8::1]"), 0, &domain) == DOMAIN_OK);
	route_rule_complete(arena, &domain, &rule);
	struct str destination = route_rule_text(arena, &rule);
	if (destination.n == 0)
		return;
	must(!chars_any_control(destination) && route_rule_is_text(destination) &&
		route_rule_of_text(arena, destination, &again));
	must(str_eq(route_rule_text(arena, &again), destination));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str key = str_of((const char *)data, size), value = STR_NONE;
	struct arena *arena = arena_new(1 << 20);
	str_cut(key, '\n', &key, &value);
	check_key(arena, key);
	check_value(arena, value);
	if (!arena_overflowed(arena))
		check_value(arena, str_of((const char *)data, size));
	arena_free(&arena);
	return 0;
}
