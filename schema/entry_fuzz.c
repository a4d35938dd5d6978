// SPDX-License-Identifier: Apache-2.0
// Blobs of entries: a damaged shadow must never crash a reader. What decodes has one form: written again it is the same bytes.
#include <stdint.h>

#include "base/must.h"
#include "schema/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str blob = str_of((const char *)data, size);
	struct entry entry;
	if (!entry_decode(blob, &entry))
		return 0;
	struct buf again;
	struct entry_cursor cursor = {0};
	enum attr attr;
	struct str value;
	struct guid id;
	buf_init(&again, size);
	entry_begin(&again, &entry.uuid, entry.has_uuid, entry.classes, entry.dn);
	while (entry_each(&entry, &cursor, &attr, &value)) {
		entry_add(&again, attr, value);
		must(entry_has(&entry, attr));
	}
	must(str_eq(buf_str(&again), blob));
	buf_fini(&again);
	(void)entry_mailbox_id(&entry, &id);
	(void)entry_is_expired(&entry, 0);
	return 0;
}
