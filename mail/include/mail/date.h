// SPDX-License-Identifier: Apache-2.0
// Dates of mail: header dates (RFC 5322), INTERNALDATE and SEARCH dates of IMAP (RFC 3501, RFC 9051).
//
//     struct date date;
//     if (!date_parse_header(STR("Sat, 21 Nov 2026 19:44:15 +0100 (CET)"), &date)) ...
//     date_format_imap(date, &reply);                       // "21-Nov-2026 19:44:15 +0100"
//
// No locale, no time zone database, no libc calendar: proleptic Gregorian arithmetic, years 1 to 9999. Pure; nothing blocks.
#ifndef MAIL_DATE_H
#define MAIL_DATE_H

#include "base/buf.h"
#include "base/str.h"

struct date {
	int64_t utc_s;    // seconds since 1970-01-01T00:00:00Z; a leap second counts as the second after it
	int16_t zone_min; // minutes east of UTC, -1439 to 1439; 0 also for "-0000", the unknown zone
};

// RFC 5322 section 3.3 and 4.3: comments, folding, missing day name or seconds, two- and three-digit years, GMT, EST… and
// military zones (unknown names and single letters are zone 0, section 4.3). A day name that does not fit the date is ignored.
// False for anything else; linear time.
bool date_parse_header(struct str text, struct date *date_out);

// "Sat, 21 Nov 2026 19:44:15 +0100": 31 bytes. False when out is full or the year is not 1 to 9999.
bool date_format_header(struct date date, struct buf *out);

// IMAP date-time without its quotes: " 1-Feb-1994 21:52:25 -0800" (the day is two bytes; one digit without the space is
// accepted).
bool date_parse_imap(struct str text, struct date *date_out);

// Always 26 bytes, without quotes.
bool date_format_imap(struct date date, struct buf *out);

// IMAP date without its quotes, "1-Feb-1994", as days since 1970-01-01.
bool date_parse_search(struct str text, int32_t *day_out);

// The day on the calendar of the date's own zone, as days since 1970-01-01: what SEARCH SENTON, ON, BEFORE and SINCE compare
// ("disregarding time and timezone").
int32_t date_local_day(struct date date);

#endif
