// SPDX-License-Identifier: Apache-2.0
// Dates of headers and of IMAP, by arithmetic on the proleptic Gregorian calendar.
#include "mail/date.h"

#include <string.h>

#include "mail/header.h"

enum { DAY_S = 86400, ZONE_MIN_MAX = 1439 };

static const struct str months[] = {STR("Jan"), STR("Feb"), STR("Mar"), STR("Apr"), STR("May"), STR("Jun"),
                                    STR("Jul"), STR("Aug"), STR("Sep"), STR("Oct"), STR("Nov"), STR("Dec")};
static const struct str weekdays[] = {STR("Thu"), STR("Fri"), STR("Sat"), STR("Sun"), STR("Mon"), STR("Tue"), STR("Wed")};

// RFC 5322 section 4.3. All other names, and the military letters, are zone 0: their signs were given wrongly in RFC 822.
static const struct {
	struct str name;
	int16_t hours;
} zones[] = {{STR("EST"), -5}, {STR("EDT"), -4}, {STR("CST"), -6}, {STR("CDT"), -5},
             {STR("MST"), -7}, {STR("MDT"), -6}, {STR("PST"), -8}, {STR("PDT"), -7}};

struct fields {
	unsigned year, month, day, hour, minute, second; // month from 1
	int zone_min;
};

static bool is_leap(unsigned year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned days_in_month(unsigned year, unsigned month)
{
	static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	return days[month - 1] + (month == 2 && is_leap(year) ? 1u : 0u);
}

// Days from 0001-01-01 to the first day of the year.
static int64_t days_before_year(int64_t year)
{
	int64_t y = year - 1;
	return y * 365 + y / 4 - y / 100 + y / 400;
}

enum { EPOCH_DAYS = 719162 }; // days_before_year(1970)

static int64_t days_of(unsigned year, unsigned month, unsigned day)
{
	int64_t days = days_before_year(year) - EPOCH_DAYS + day - 1;
	for (unsigned m = 1; m < month; m++)
		days += days_in_month(year, m);
	return days;
}

static bool is_day(const struct fields *f)
{
	return f->year >= 1 && f->year <= 9999 && f->month >= 1 && f->month <= 12 && f->day >= 1 &&
	       f->day <= days_in_month(f->year, f->month);
}

static bool to_date(const struct fields *f, struct date *date_out)
{
	if (!is_day(f) || f->hour > 23 || f->minute > 59 || f->second > 60 || f->zone_min > ZONE_MIN_MAX ||
	    f->zone_min < -ZONE_MIN_MAX)
		return false;
	int64_t local_s = days_of(f->year, f->month, f->day) * DAY_S + f->hour * 3600 + f->minute * 60 + f->second;
	*date_out = (struct date){local_s - (int64_t)f->zone_min * 60, (int16_t)f->zone_min};
	return true;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0 ? 1 : 0);
}

// Seconds on the clock of the date's own zone. A value from a damaged store must not overflow.
static int64_t local_seconds(struct date date)
{
	const int64_t limit = (int64_t)1 << 46;
	int64_t utc_s = date.utc_s > limit ? limit : date.utc_s < -limit ? -limit : date.utc_s;
	return utc_s + (int64_t)date.zone_min * 60;
}

int32_t date_local_day(struct date date)
{
	return (int32_t)floor_div(local_seconds(date), DAY_S);
}

static bool to_fields(struct date date, struct fields *f)
{
	int64_t local_s = local_seconds(date);
	int64_t day = floor_div(local_s, DAY_S), second = local_s - day * DAY_S;
	int64_t days = day + EPOCH_DAYS; // since 0001-01-01
	if (days < 0 || days >= days_before_year(10000) || date.zone_min > ZONE_MIN_MAX || date.zone_min < -ZONE_MIN_MAX)
		return false;
	int64_t year = days * 400 / 146097 + 1; // right or one too many
	if (days_before_year(year) > days)
		year--;
	else if (days_before_year(year + 1) <= days)
		year++;
	unsigned rest = (unsigned)(days - days_before_year(year)), month = 1;
	while (rest >= days_in_month((unsigned)year, month))
		rest -= days_in_month((unsigned)year, month++);
	*f = (struct fields){(unsigned)year, month, rest + 1, (unsigned)(second / 3600), (unsigned)(second / 60 % 60),
	                     (unsigned)(second % 60), date.zone_min};
	return true;
}

// Takes one to max digits off *rest; the number and how many there were.
static size_t take_number(struct str *rest, size_t max, unsigned *out)
{
	size_t n = 0;
	unsigned value = 0;
	while (n < rest->n && n < max && chr_is_digit(rest->p[n]))
		value = value * 10 + (unsigned)(rest->p[n++] - '0');
	if (n)
		*out = value;
	*rest = str_from(*rest, n);
	return n;
}

static struct str take_letters(struct str *rest)
{
	size_t n = 0;
	while (n < rest->n && chr_is_alpha(rest->p[n]))
		n++;
	struct str letters = str_upto(*rest, n);
	*rest = str_from(*rest, n);
	return letters;
}

static bool take(struct str *rest, char c)
{
	if (rest->n == 0 || rest->p[0] != c)
		return false;
	*rest = str_from(*rest, 1);
	return true;
}

// A month by its first three letters, from 1; 0 when it is none.
static unsigned month_of(struct str name)
{
	for (unsigned i = 0; i < 12; i++)
		if (str_starts_nocase(name, months[i]))
			return i + 1;
	return 0;
}

// "+0100"; "+01:00" is seen too. False, *rest untouched, for anything else.
static bool take_offset(struct str *rest, int *zone_min_out)
{
	struct str s = *rest;
	unsigned hours = 0, minutes = 0;
	bool minus = take(&s, '-');
	if ((!minus && !take(&s, '+')) || take_number(&s, 2, &hours) != 2)
		return false;
	take(&s, ':');
	if (take_number(&s, 2, &minutes) != 2 || hours > 23 || minutes > 59)
		return false;
	int zone_min = (int)(hours * 60 + minutes);
	*zone_min_out = minus ? -zone_min : zone_min;
	*rest = s;
	return true;
}

static int zone_of(struct str name)
{
	for (size_t i = 0; i < sizeof zones / sizeof *zones; i++)
		if (str_eq_nocase(name, zones[i].name))
			return zones[i].hours * 60;
	return 0;
}

static void skip(struct str *rest)
{
	*rest = header_skip_cfws(*rest);
}

// "21 Nov 2026"; hyphens between the parts are seen too.
static bool take_day(struct str *rest, struct fields *f)
{
	skip(rest);
	if (take_number(rest, 2, &f->day) == 0)
		return false;
	skip(rest);
	take(rest, '-');
	f->month = month_of(take_letters(rest));
	skip(rest);
	take(rest, '-');
	size_t digits = take_number(rest, 4, &f->year);
	if (f->month == 0 || digits < 2 || (rest->n && chr_is_digit(rest->p[0])))
		return false;
	if (digits == 3 || (digits == 2 && f->year >= 50)) // RFC 5322 section 4.3
		f->year += 1900;
	else if (digits == 2)
		f->year += 2000;
	return true;
}

static bool take_time(struct str *rest, struct fields *f)
{
	skip(rest);
	if (take_number(rest, 2, &f->hour) == 0)
		return false;
	skip(rest);
	if (!take(rest, ':'))
		return false;
	skip(rest);
	if (take_number(rest, 2, &f->minute) == 0)
		return false;
	skip(rest);
	if (!take(rest, ':'))
		return true;
	skip(rest);
	return take_number(rest, 2, &f->second) > 0;
}

bool date_parse_header(struct str text, struct date *date_out)
{
	struct fields f = {.year = 0};
	skip(&text);
	take_letters(&text); // the day name
	skip(&text);
	take(&text, ',');
	if (!take_day(&text, &f) || !take_time(&text, &f))
		return false;
	skip(&text);
	if (!take_offset(&text, &f.zone_min))
		f.zone_min = zone_of(take_letters(&text));
	return to_date(&f, date_out);
}

static void put_digits(char *p, unsigned value, unsigned n)
{
	for (; n; n--, value /= 10)
		p[n - 1] = (char)('0' + value % 10);
}

// Every message that comes in gets one, so it is not printf's work.
bool date_format_header(struct date date, struct buf *out)
{
	struct fields f;
	if (!to_fields(date, &f))
		return false;
	int64_t day = (int64_t)date_local_day(date) % 7;
	unsigned zone = (unsigned)(f.zone_min < 0 ? -f.zone_min : f.zone_min);
	char text[] = "Www, dd Mmm yyyy hh:mm:ss +hhmm";
	memcpy(text, weekdays[(day + 7) % 7].p, 3);
	put_digits(text + 5, f.day, 2);
	memcpy(text + 8, months[f.month - 1].p, 3);
	put_digits(text + 12, f.year, 4);
	put_digits(text + 17, f.hour, 2);
	put_digits(text + 20, f.minute, 2);
	put_digits(text + 23, f.second, 2);
	text[26] = f.zone_min < 0 ? '-' : '+';
	put_digits(text + 27, zone / 60, 2);
	put_digits(text + 29, zone % 60, 2);
	return buf_add(out, str_of(text, sizeof text - 1));
}

// "21-Nov-2026" with a day of one or two digits.
static bool take_imap_day(struct str *rest, struct fields *f)
{
	if (take_number(rest, 2, &f->day) == 0 || !take(rest, '-'))
		return false;
	struct str month = take_letters(rest);
	f->month = month.n == 3 ? month_of(month) : 0;
	return take(rest, '-') && take_number(rest, 4, &f->year) == 4 && is_day(f);
}

bool date_parse_imap(struct str text, struct date *date_out)
{
	struct fields f = {.year = 0};
	take(&text, ' ');
	return take_imap_day(&text, &f) && take(&text, ' ') && take_number(&text, 2, &f.hour) == 2 && take(&text, ':') &&
	       take_number(&text, 2, &f.minute) == 2 && take(&text, ':') && take_number(&text, 2, &f.second) == 2 &&
	       take(&text, ' ') && text.n == 5 && take_offset(&text, &f.zone_min) && text.n == 0 && to_date(&f, date_out);
}

bool date_format_imap(struct date date, struct buf *out)
{
	struct fields f;
	if (!to_fields(date, &f))
		return false;
	unsigned zone = (unsigned)(f.zone_min < 0 ? -f.zone_min : f.zone_min);
	return buf_printf(out, "%2u-%s-%04u %02u:%02u:%02u %c%02u%02u", f.day, months[f.month - 1].p, f.year, f.hour, f.minute,
		f.second, f.zone_min < 0 ? '-' : '+', zone / 60, zone % 60);
}

bool date_parse_search(struct str text, int32_t *day_out)
{
	struct fields f = {.year = 0};
	if (!take_imap_day(&text, &f) || text.n)
		return false;
	*day_out = (int32_t)days_of(f.year, f.month, f.day);
	return true;
}
