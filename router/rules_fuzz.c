// SPDX-License-Identifier: Apache-2.0
// Files of routes and of access rows (routes_file, access_file): the first byte says which of both. Either every row that is
// wrong is complained of by its line, or each key is found where the file has it, in ascending order, and nothing else is.
// Covers: router/rules.c
#include <stdint.h>

#include "base/must.h"
#include "ldapsync/directory_memory.h"
#include "router/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 64 << 20 };

struct complaints {
	size_t n, lines;
};

static void complain(void *context, struct str file, size_t line, struct str key, const char *what)
{
	struct complaints *complaints = context;
	(void)key;
	must(str_eq(file, STR("/etc/rows")) && line > 0 && line <= complaints->lines && what != NULL);
	complaints->n++;
}

static size_t lines_of(struct str text)
{
	size_t n = 1;
	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '\n';
	return n;
}

static void check_row(const struct rules *rules, enum rules_kind kind, struct directory *directory, struct str key,
	struct arena *arena)
{
	struct rules_row row;
	must(rules_find(rules, kind, directory, key, ATTR_CN, arena, &row) == RULES_FOUND);
	must(row.of_directory == NULL && row.value.n > 0 && str_starts(row.entry, STR("/etc/rows:")));
	must(rules_have(rules, kind, directory, key, arena));
	must(rules_find(rules, kind, directory, arena_printf(arena, "%.*s\x7f", STR_FMT(key)), ATTR_CN, arena, &row) ==
		RULES_NONE);
	must(rules_find(NULL, kind, directory, key, ATTR_CN, arena, &row) == RULES_NONE);
}

static void check_table(const struct rules *rules, enum rules_kind kind, struct directory *directory, struct arena *arena)
{
	struct str last = STR("");
	for (struct str key; (key = rules_next_key(rules, kind, directory, last, arena)).n > 0;) {
		must(str_cmp(key, last) >= 0);
		check_row(rules, kind, directory, key, arena);
		last = arena_printf(arena, "%.*s\x01", STR_FMT(key)); // no key has that, so it is the least above
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	enum rules_kind kind = data[0] & 1 ? RULES_ACCESS : RULES_ROUTES;
	struct str text = str_of((const char *)data + 1, size - 1);
	struct complaints complaints = {.lines = lines_of(text)};
	struct arena *arena = arena_new(ARENA_BYTES);
	struct directory *directory = directory_memory_new(STR(""), NULL, NULL);
	must(directory != NULL);
	struct rules *rules = rules_new();
	bool good = rules_add(rules, kind, STR("/etc/rows"), text, complain, &complaints);
	must(good == (complaints.n == 0));
	if (good) {
		struct rules *held = rules_ref(rules);
		check_table(held, kind, directory, arena);
		rules_drop(&held);
	}
	rules_drop(&rules);
	directory_close(&directory);
	arena_free(&arena);
	return 0;
}
