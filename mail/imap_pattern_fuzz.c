// SPDX-License-Identifier: Apache-2.0
// Patterns of LIST against a matcher that is too slow to be wrong: a table of "the first i elements match the first j bytes".
// Covers: mail/imap_pattern.c
#include "base/must.h"
#include "mail/imap_pattern.h"
#include "mail/mailbox_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { TEXT_BYTES_MAX = 200 };

static bool slow_match(struct str pattern, struct str name)
{
	static bool fits[TEXT_BYTES_MAX + 1][TEXT_BYTES_MAX + 1];
	bool inbox = str_starts(name, STR("INBOX")) && (name.n == 5 || name.p[5] == MAILBOX_NAME_DELIMITER);
	for (size_t i = 0; i <= pattern.n; i++)
		for (size_t j = 0; j <= name.n; j++) {
			char p = i ? pattern.p[i - 1] : '\0', c = j ? name.p[j - 1] : '\0';
			bool same = inbox && j <= 5 ? chr_lower(p) == chr_lower(c) : p == c;
			if (i == 0)
				fits[i][j] = j == 0;
			else if (p == '*' || p == '%')
				fits[i][j] = fits[i - 1][j] || (j && fits[i][j - 1] && (p == '*' || c != MAILBOX_NAME_DELIMITER));
			else
				fits[i][j] = j && same && fits[i - 1][j - 1];
		}
	return fits[pattern.n][name.n];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str pattern, name;
	if (!str_cut(str_of((const char *)data, n), '\n', &pattern, &name) || pattern.n > TEXT_BYTES_MAX ||
		name.n > TEXT_BYTES_MAX)
		return 0;
	struct arena *arena = arena_new(1 << 20);
	must(imap_pattern_match(imap_pattern_new(pattern, arena), name) == slow_match(pattern, name));
	arena_free(&arena);
	return 0;
}
