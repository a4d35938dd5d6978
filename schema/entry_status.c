// SPDX-License-Identifier: Apache-2.0
// The table of phStatus.
#include "schema/entry_status.h"

const struct entry_status_row *entry_status_row(enum entry_status status)
{
	static const struct entry_status_row rows[] = {
#define STATUS_ROW(status, word, log_in_, mail_, text_) [status] = {.log_in = log_in_, .mail = mail_, .text = text_},
		ENTRY_STATUSES(STATUS_ROW)
#undef STATUS_ROW
	};
	return &rows[status];
}

enum entry_status entry_status_of(struct str word)
{
	static const char *const words[] = {
#define STATUS_WORD(status, word, log_in, mail, text) [status] = word,
		ENTRY_STATUSES(STATUS_WORD)
#undef STATUS_WORD
	};
	for (unsigned i = 0; i < ENTRY_STATUS_BAD; i++)
		if (str_eq_nocase(word, str_of_c(words[i])))
			return (enum entry_status)i;
	return ENTRY_STATUS_BAD;
}
