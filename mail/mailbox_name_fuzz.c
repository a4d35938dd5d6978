// SPDX-License-Identifier: Apache-2.0
// Any bytes as a folder name: what is accepted survives both encodings and is a fixed point.
// Covers: mail/mailbox_name.c
#include "base/must.h"
#include "mail/mailbox_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *arena = arena_new(1 << 20);
	struct str text = str_of((const char *)data, n);
	struct mailbox_name name, again;
	for (int mutf7 = 0; mutf7 < 2; mutf7++) {
		if (mutf7 ? !mailbox_name_from_mutf7(text, arena, &name) : !mailbox_name_from_utf8(text, arena, &name))
			continue;
		struct buf b;
		buf_init(&b, 16 * MAILBOX_NAME_BYTES_MAX);
		must(mailbox_name_to_mutf7(&name, &b));
		must(mailbox_name_from_mutf7(buf_str(&b), arena, &again) && str_eq(again.path, name.path));
		must(mailbox_name_from_utf8(name.path, arena, &again) && str_eq(again.path, name.path));
		buf_fini(&b);
	}
	arena_free(&arena);
	return 0;
}
