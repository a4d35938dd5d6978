// SPDX-License-Identifier: Apache-2.0
// Up-to-dateness vectors as they are read.
#include "ad_cursors.h"

#include "base/guid.h"

enum { HEAD_BYTES = 16, ID_BYTES = CSN_INVOCATION_BYTES, NUMBER_BYTES = 8, TIME_BYTES = 8 };
static const uint8_t guid_order[ID_BYTES] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15}; // [MS-DTYP] 2.3.4

static uint64_t little_endian(struct str bytes)
{
	uint64_t number = 0;
	for (size_t i = bytes.n; i > 0; i--)
		number = number << 8 | (uint8_t)bytes.p[i - 1];
	return number;
}

static void take(struct csns *csns, const struct csns *wanted, const uint8_t id[ID_BYTES], uint64_t number)
{
	struct csns one = {0};
	bool known = csns_add_usn(&one, id, number);
	for (size_t i = 0; known && i < wanted->n; i++)
		if (str_eq(csns_origin(wanted, i), csns_origin(&one, 0)))
			(void)csns_merge(csns, &one);
}

static bool pick_octets(struct csns *csns, const struct csns *wanted, struct str value)
{
	uint64_t version = little_endian(str_upto(value, 4)), n = little_endian(str_upto(str_from(value, 8), 4));
	size_t each = ID_BYTES + NUMBER_BYTES + (version == 2 ? TIME_BYTES : 0);
	if (value.n < HEAD_BYTES || (version != 1 && version != 2) || n != (value.n - HEAD_BYTES) / each)
		return false;
	for (struct str rest = str_from(value, HEAD_BYTES); rest.n >= each; rest = str_from(rest, each)) {
		uint8_t id[ID_BYTES];
		memcpy(id, rest.p, sizeof id);
		take(csns, wanted, id, little_endian(str_upto(str_from(rest, ID_BYTES), NUMBER_BYTES)));
	}
	return true;
}

// What is between <name> and the next "<".
static bool find_element(struct str xml, struct str name, struct str *text_out)
{
	struct str text, rest;
	ptrdiff_t at = str_find(xml, name);
	if (at < 0 || !str_cut(str_from(xml, (size_t)at + name.n), '<', &text, &rest))
		return false;
	*text_out = str_trim(text);
	return true;
}

static bool pick_xml(struct csns *csns, const struct csns *wanted, struct str value)
{
	struct str id, number;
	struct guid guid;
	uint8_t wire[ID_BYTES];
	uint64_t usn;
	if (!find_element(value, STR("<uuidSourceDsaInvocationID>"), &id) ||
		!find_element(value, STR("<usnAttributeFilter>"), &number) || !guid_parse(id, &guid) ||
		!str_to_u64(number, INT64_MAX, &usn))
		return false;
	for (size_t i = 0; i < ID_BYTES; i++)
		wire[i] = guid.b[guid_order[i]];
	take(csns, wanted, wire, usn);
	return true;
}

bool ad_cursors_pick(struct csns *csns, const struct csns *wanted, struct str value)
{
	return str_starts(value, STR("<")) ? pick_xml(csns, wanted, value) : pick_octets(csns, wanted, value);
}
