// SPDX-License-Identifier: Apache-2.0
// Rows of access tables, as a file of them. Whatever comes in, keys are canonical, replies are one line, and RELAY for everybody
// is complained of.
// Covers: mail/access_rule.c mail/rule_file.c
#include "base/must.h"
#include "chars.h"
#include "mail/access_rule.h"
#include "mail/rule_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_tag(struct str key)
{
	static const char *const tags[] = {"connect:", "from:", "to:", "relay:", "certissuer:", "certsubject:", "certname:"};
	for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
		if (str_starts(key, str_of_c(tags[i])))
			return true;
	return false;
}

static void check_keys(struct arena *arena, const struct access_rule_keys *keys)
{
	struct access_rule_keys again;
	must(keys->n > 0 && keys->n <= ACCESS_RULE_KEYS_MAX);
	for (size_t i = 0; i < keys->n; i++) {
		struct str key = keys->v[i];
		must(has_tag(key) && !chars_any_control(key));
		if (str_starts(key, STR("from:")) || str_starts(key, STR("to:")) || str_starts(key, STR("cert")))
			must(access_rule_keys(arena, key, &again) != NULL ||
				str_eq(again.v[0], key)); // folding may make it too long
	}
}

static void check_row(struct arena *arena, const struct rule_file_row *row)
{
	struct access_rule_keys keys;
	struct access_rule rule;
	struct buf wire;
	bool has_keys = access_rule_keys(arena, row->key, &keys) == NULL;
	struct str tag;
	const char *instead;
	must(access_rule_tag(row->key, &tag, &instead) == ACCESS_RULE_TAG_OURS || (!has_keys && tag.n && *instead));
	if (has_keys)
		check_keys(arena, &keys);
	if (access_rule_action(arena, row->value, &rule) != NULL)
		return;
	if (rule.action == ACCESS_RULE_REJECT || rule.action == ACCESS_RULE_ERROR) {
		buf_init(&wire, 4096);
		must(rule.reply.code >= 400 && reply_format(rule.reply, &wire) &&
			str_index(buf_str(&wire), '\n') == (ptrdiff_t)wire.n - 1);
		buf_fini(&wire);
	}
	if (has_keys && rule.action == ACCESS_RULE_RELAY && str_ends(keys.v[0], STR("/0/0.0.0.0")))
		must(access_rule_check(&keys, &rule) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rule_file file = rule_file_of(str_of((const char *)data, size));
	struct rule_file_row row;
	struct arena *arena = arena_new(8 << 20);
	size_t line = 0;
	while (rule_file_next(&file, arena, &row)) {
		must(row.line > line && row.line <= file.line);
		line = row.line;
		check_row(arena, &row);
		arena_reset(arena);
	}
	arena_free(&arena);
	return 0;
}
