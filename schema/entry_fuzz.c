// SPDX-License-Identifier: Apache-2.0
// Blobs of entries: a damaged shadow must never crash a reader. What decodes has one form: written again it is the same bytes.
// Covers: schema/entry.c
#include <stdint.h>

#include "base/must.h"
#include "schema/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEAL_BYTES = 8 };

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

// Sealed it says the same, and with another byte nothing.
static void check_seal(struct buf *b, const struct entry *entry)
{
	struct entry sealed;
	if (!entry_seal(b) || b->n > ENTRY_BYTES_MAX)
		return;
	must(entry_decode(buf_str(b), &sealed) && str_eq(sealed.values, entry->values) && str_eq(sealed.dn, entry->dn));
	size_t at = 1 + b->n / 3 % (b->n - 1);
	b->p[at] ^= 0x20;
	must(!entry_decode(buf_str(b), &sealed));
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
	buf_init(&again, size + SEAL_BYTES);
	entry_begin(&again, &entry.uuid, entry.has_uuid, entry.classes, entry.dn);
	if (entry.cut)
		entry_mark_cut(&again);
	while (entry_each(&entry, &cursor, &attr, &value)) {
		entry_add(&again, attr, value);
		must(entry_has(&entry, attr));
	}
	bool is_sealed = blob.p[0] == 2;
	if (is_sealed)
		must(entry_seal(&again));
	must(str_eq(buf_str(&again), blob));
	if (!is_sealed)
		check_seal(&again, &entry);
	buf_fini(&again);
	for (unsigned number = 1; number <= ATTR_NUMBER_MAX; number++)
		check_attr(&entry, (enum attr)number);
	if (entry_mailbox_id(&entry, &id))
		must(entry.has_uuid || entry_has(&entry, ATTR_PH_MAILBOX_ID));
	if (entry_is_expired(&entry, INT64_MIN))
		must(entry_has(&entry, ATTR_PH_EXPIRES));
	return 0;
}
