// SPDX-License-Identifier: Apache-2.0
// Any text as a memberURL, and as a filter: understood or refused with a reason, the same twice; what is understood says yes or
// no.
// Covers: router/filter.c router/member_url.c
#include <stdint.h>

#include "base/log.h"
#include "base/must.h"
#include "member_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make_entry(struct buf *blob, struct entry *entry_out)
{
	const struct guid uuid = {{1}};
	buf_init(blob, 4096);
	entry_begin(blob, &uuid, true, ENTRY_USER, STR("uid=a\\,b,ou=people,dc=uni"));
	entry_add(blob, ATTR_PH_EXPIRES, STR("20300101000000Z"));
	entry_add(blob, ATTR_PH_QUOTA_BYTES, STR("1000"));
	entry_add(blob, ATTR_PH_SEND_AS_GRANT, STR("uid=bob,dc=uni"));
	entry_add(blob, ATTR_PH_LIST_SUBJECT_TAG, STR("Tag"));
	entry_add(blob, ATTR_UID, STR("anna"));
	entry_add(blob, ATTR_MAIL, STR("anna@uni.example"));
	entry_add(blob, ATTR_CN, STR("\xc3\x84nna Berg"));
	must(entry_decode(buf_str(blob), entry_out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_of((const char *)data, size);
	struct arena *arena = arena_new(4 << 20);
	struct member_url url;
	const struct filter *filter, *negated;
	struct entry entry;
	struct buf blob;
	make_entry(&blob, &entry);
	log_set_level(LOG_LEVEL_ERROR);
	if (member_url_parse(arena, text, &url) == NULL)
		must(member_url_matches(&url, &entry, arena) == member_url_matches(&url, &entry, arena));
	if (filter_parse(arena, text, &filter) == NULL) {
		bool yes = filter_matches(filter, &entry, arena);
		const char *wrong = filter_parse(arena, arena_printf(arena, "(!%.*s)", STR_FMT(text)), &negated);
		must(wrong != NULL || filter_matches(negated, &entry, arena) == !yes || arena_overflowed(arena));
	}
	buf_fini(&blob);
	arena_free(&arena);
	return 0;
}
