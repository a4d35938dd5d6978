// SPDX-License-Identifier: Apache-2.0
// Blobs of entries: a damaged shadow must never crash a reader. What decodes has one form: written again it is the same bytes.
// Covers: schema/entry.c
#include <stdint.h>

#include "base/must.h"
#include "schema/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_attr(const struct entry *entry, enum attr attr)
{
	struct entry_cursor cursor = {0};
	struct str value, first = entry_first(entry, attr);
	bool has = entry_next(entry, attr, &cursor, &value);
	must(has == entry_has(entry, attr) && has == (first.p != NULL) && (!has || str_eq(first, value)));
	must(!entry_flag(entry, attr) || str_eq_nocase(first, STR("true")));
	int64_t ms;
	if (has && entry_time_parse(first, &ms))
		must(chr_is_digit(first.p[0]));
}

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
	if (entry.cut)
		entry_mark_cut(&again);
	while (entry_each(&entry, &cursor, &attr, &value)) {
		entry_add(&again, attr, value);
		must(entry_has(&entry, attr));
	}
	must(str_eq(buf_str(&again), blob));
	buf_fini(&again);
	for (unsigned number = 1; number <= ATTR_NUMBER_MAX; number++)
		check_attr(&entry, (enum attr)number);
	if (entry_mailbox_id(&entry, &id))
		must(entry.has_uuid || entry_has(&entry, ATTR_PH_MAILBOX_ID));
	if (entry_is_expired(&entry, INT64_MIN))
		must(entry_has(&entry, ATTR_PH_EXPIRES));
	return 0;
}
