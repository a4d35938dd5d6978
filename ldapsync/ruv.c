// SPDX-License-Identifier: Apache-2.0
// Values of nsds50ruv.
#include "ruv.h"

#include <stdio.h>

enum { RUV_CSN_BYTES = 20, ID_AT = 12, ID_DIGITS = 4, ID_MAX = 65534, TEXT_BYTES = RUV_CSN_BYTES + 1 };

// Time and count, 0 for the replica id, and in the place of the last count who gave it out.
static bool add_generation(struct csns *csns, struct str given)
{
	char text[TEXT_BYTES];
	if (given.n != RUV_CSN_BYTES)
		return false;
	memcpy(text, given.p, ID_AT);
	memcpy(text + ID_AT, "0000", ID_DIGITS);
	memcpy(text + ID_AT + ID_DIGITS, given.p + ID_AT, ID_DIGITS);
	return csns_add(csns, str_of(text, RUV_CSN_BYTES));
}

static bool add_replica(struct csns *csns, struct str id, struct str given)
{
	uint64_t number;
	struct str first, last, rest;
	char text[TEXT_BYTES], digits[ID_DIGITS + 1];
	if (!str_to_u64(id, ID_MAX, &number) || number == 0)
		return false;
	snprintf(digits, sizeof digits, "%04x", (unsigned)number);
	snprintf(text, sizeof text, "000000000000%s0000", digits);
	if (given.n == 0)
		return csns_add(csns, str_of(text, RUV_CSN_BYTES));
	if (!str_cut(given, ' ', &first, &last))
		return false;
	if (str_cut(last, ' ', &first, &rest))
		last = first;
	return last.n == RUV_CSN_BYTES && str_eq_nocase(str_of(last.p + ID_AT, ID_DIGITS), str_of_c(digits)) &&
	       csns_add(csns, last);
}

bool ruv_add(struct csns *csns, struct str value)
{
	struct str name, given, id, url;
	if (!str_starts(value, STR("{")) || !str_cut(str_from(value, 1), '}', &name, &given))
		return false;
	given = str_trim(given);
	if (str_eq(name, STR("replicageneration")))
		return add_generation(csns, given);
	if (!str_starts(name, STR("replica ")))
		return false;
	name = str_from(name, 8);
	if (!str_cut(name, ' ', &id, &url))
		id = name;
	return add_replica(csns, id, given);
}
