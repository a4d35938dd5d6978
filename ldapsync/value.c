// SPDX-License-Identifier: Apache-2.0
// The rules for values. What is refused here never reaches a router, a header or a command (threat evil-attr).
#include "value.h"

#include "base/guid.h"
#include "dn.h"
#include "mail/addr.h"
#include "schema/entry.h"

// Controls would end a header or a protocol line; DEL and C1 included. The text is UTF-8.
static bool has_controls(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c < 0x20 || c == 0x7f || (c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0))
			return true;
	}
	return false;
}

// What nearly all values are: ASCII without controls. Eight bytes at a time; a byte of the sum is 0x80 or more where all is well.
static bool is_plain(struct str s)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x80 * ones;
	uint64_t word = 0, good = high;
	for (; s.n >= sizeof word; s = str_of(s.p + sizeof word, s.n - sizeof word)) {
		memcpy(&word, s.p, sizeof word);
		if (word & high)
			return false;
		good &= (word | high) - 0x20 * ones;        // from 0x20 on
		good &= (word ^ 0x7f * ones) + 0x7f * ones; // and not DEL
	}
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] >= 0x7f)
			return false;
	return (good & high) == high;
}

static const char *check_word(struct str text)
{
	if (text.n == 0 || !str_is_printable(text) || str_index(text, ' ') >= 0)
		return "is not one word of printable ASCII";
	return NULL;
}

static const char *check_address(struct str text, struct arena *scratch, struct value *out)
{
	struct addr addr;
	// aliases(5) has "|command", "/file" and ":include:file"; none of these is an address here, quoted or not.
	struct str first = str_starts(text, STR("\"")) ? str_from(text, 1) : text;
	if (str_starts(first, STR("|")) || str_starts(first, STR("/")) || str_starts_nocase(first, STR(":include:")))
		return "is a command or a file, not an address";
	enum addr_result result = addr_parse(scratch, text, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr);
	if (result != ADDR_OK)
		return addr_result_text(result);
	out->text = addr.text;
	out->key = addr.key;
	return NULL;
}

static const char *check_domain(struct str text, struct arena *scratch, struct value *out)
{
	struct domain domain;
	if (domain_parse(scratch, text, DOMAIN_UTF8, &domain) != DOMAIN_OK || domain.kind != DOMAIN_NAME)
		return "is not a domain name";
	out->text = out->key = domain.key;
	return NULL;
}

static const char *check_address_or_domain(struct str text, struct arena *scratch, struct value *out)
{
	if (!str_starts(text, STR("@")))
		return check_address(text, scratch, out);
	const char *wrong = check_domain(str_from(text, 1), scratch, out);
	if (wrong == NULL)
		out->text = out->key = arena_printf(scratch, "@%.*s", STR_FMT(out->key));
	return wrong;
}

static const char *check_number(struct str text)
{
	uint64_t number;
	if (str_eq(text, STR("-1")) || str_to_u64(text, INT64_MAX, &number))
		return NULL;
	return "is neither a whole number nor -1";
}

static const char *check_guid(struct str text, struct arena *scratch, struct value *out)
{
	struct guid guid;
	char canonical[GUID_TEXT_BYTES];
	if (!guid_parse(text, &guid) || guid_is_zero(&guid))
		return "is not a UUID";
	out->text = arena_dup(scratch, guid_text(&guid, canonical));
	return NULL;
}

const char *value_check(enum attr_check check, struct str text, struct arena *scratch, struct value *value_out)
{
	int64_t stamp_ms;
	*value_out = (struct value){.text = text};
	if (check != ATTR_CHECK_RAW && !is_plain(text)) {
		if (!str_is_utf8(text))
			return "is not UTF-8";
		if (has_controls(text))
			return "has control characters";
	}
	switch (check) {
	case ATTR_CHECK_ANY:
		return text.n ? NULL : "is empty";
	case ATTR_CHECK_RAW:
		return NULL;
	case ATTR_CHECK_WORD:
		return check_word(text);
	case ATTR_CHECK_ADDRESS:
	case ATTR_CHECK_PATTERN:
		return check_address(text, scratch, value_out);
	case ATTR_CHECK_ADDRESS_OR_DOMAIN:
		return check_address_or_domain(text, scratch, value_out);
	case ATTR_CHECK_HOST:
	case ATTR_CHECK_DOMAIN:
		return check_domain(text, scratch, value_out);
	case ATTR_CHECK_GUID:
		return check_guid(text, scratch, value_out);
	case ATTR_CHECK_NUMBER:
		return check_number(text);
	case ATTR_CHECK_FLAG:
		return str_eq_nocase(text, STR("TRUE")) || str_eq_nocase(text, STR("FALSE")) ? NULL : "is neither TRUE nor FALSE";
	case ATTR_CHECK_STAMP:
		return entry_time_parse(text, &stamp_ms) ? NULL : "is not a time such as 20261231235959Z";
	case ATTR_CHECK_NAME:
		return dn_is_valid(text) ? NULL : "is not a DN";
	}
	return "has an unknown rule";
}
