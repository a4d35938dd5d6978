// SPDX-License-Identifier: Apache-2.0
// Dates: an accepted date can be written, and what was written is the same date.
// Covers: mail/date.c
#include "base/must.h"
#include "mail/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct date date)
{
	struct buf text;
	struct date again;
	buf_init(&text, 100);
	if (date_format_header(date, &text)) {
		must(date_parse_header(buf_str(&text), &again) && again.utc_s == date.utc_s && again.zone_min == date.zone_min);
		buf_clear(&text);
		must(date_format_imap(date, &text) && text.n == 26);
		must(date_parse_imap(buf_str(&text), &again) && again.utc_s == date.utc_s && again.zone_min == date.zone_min);
		must(date_local_day(again) == date_local_day(date));
	}
	buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of((const char *)data, size);
	struct date date;
	int32_t day;
	if (date_parse_header(in, &date))
		check(date);
	if (date_parse_imap(in, &date))
		check(date);
	date_parse_search(in, &day);
	if (size >= 10) { // a value from a damaged store
		memcpy(&date.utc_s, data, 8);
		memcpy(&date.zone_min, data + 8, 2);
		check(date);
	}
	return 0;
}
