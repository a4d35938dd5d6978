// SPDX-License-Identifier: Apache-2.0
// Modified UTF-7 and patterns of LIST: what decodes encodes to the same bytes; a name matches itself and "*".
#include "base/must.h"
#include "mail/imap_pattern.h"
#include "mail/mailbox_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *arena = arena_new(1 << 20);
	struct str text = str_of((const char *)data, n), pattern_text, utf8;
	struct mailbox_name name;
	if (mailbox_name_from_mutf7(text, arena, &name)) {
		struct buf b;
		struct mailbox_name again;
		buf_init(&b, 8 * MAILBOX_NAME_BYTES_MAX);
		must(mailbox_name_to_mutf7(&name, &b));
		must(mailbox_name_from_mutf7(buf_str(&b), arena, &again) && str_eq(again.path, name.path));
		buf_fini(&b);
		must(imap_pattern_match(imap_pattern_new(name.path, arena), name.path));
		must(imap_pattern_match(imap_pattern_new(STR("*"), arena), name.path));
	}
	if (str_cut(text, ' ', &pattern_text, &text) && mutf7_decode(pattern_text, arena, &utf8)) {
		struct imap_pattern *pattern = imap_pattern_new(utf8, arena);
		if (pattern)
			imap_pattern_match(pattern, text);
	}
	arena_free(&arena);
	return 0;
}
