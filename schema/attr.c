// SPDX-License-Identifier: Apache-2.0
// The rows of schema/attr.def, found by name and by number.
#include "schema/attr.h"

#include <pthread.h>

// By number: every value of an entry asks for its row.
static const struct attr_info rows[ATTR_NUMBER_MAX + 1] = {
#define ATTR(id, number, name_, syntax_, values_, check_, where_) \
	[number] = {.attr = ATTR_##id, .name = name_, .syntax = ATTR_##syntax_, .values = ATTR_##values_, \
		.check = ATTR_CHECK_##check_, .where = ATTR_IN_##where_},
#include "schema/attr.def"
#undef ATTR
};

const struct attr_info *attr_by_number(unsigned number)
{
	return number <= ATTR_NUMBER_MAX && rows[number].name ? &rows[number] : NULL;
}

// Asked several times for every value of every entry that is loaded: a table by length and three letters, made at the first
// question.
enum { SLOTS = 512 };

static struct {
	struct str name; // n 0: free
	uint8_t number;
} slots[SLOTS];

static size_t slot_of(struct str name)
{
	const unsigned char first = (unsigned char)chr_lower(name.p[0]), middle = (unsigned char)chr_lower(name.p[name.n / 2]),
			    last = (unsigned char)chr_lower(name.p[name.n - 1]);
	return (name.n * 131 + first * 31u + middle * 7u + last * 61u) % SLOTS;
}

static void fill_slots(void)
{
	for (unsigned number = 0; number <= ATTR_NUMBER_MAX; number++) {
		if (rows[number].name == NULL)
			continue;
		struct str name = str_of_c(rows[number].name);
		size_t at = slot_of(name);
		while (slots[at].name.n)
			at = (at + 1) % SLOTS;
		slots[at].name = name;
		slots[at].number = (uint8_t)number;
	}
}

const struct attr_info *attr_by_name(struct str name)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	if (name.n == 0)
		return NULL;
	(void)pthread_once(&once, fill_slots);
	for (size_t at = slot_of(name); slots[at].name.n; at = (at + 1) % SLOTS)
		if (str_eq_nocase(name, slots[at].name))
			return &rows[slots[at].number];
	return NULL;
}

const char *attr_name(enum attr attr)
{
	const struct attr_info *info = attr_by_number((unsigned)attr);
	return info ? info->name : "";
}

unsigned attr_class_by_name(struct str name)
{
	static const struct {
		struct str name;
		unsigned bit;
	} classes[] = {
#define ATTR_CLASS_ROW(id, bit_, name_) {{name_, sizeof name_ - 1}, 1u << bit_},
		ATTR_CLASSES(ATTR_CLASS_ROW)
#undef ATTR_CLASS_ROW
	};
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if (classes[i].name.n == name.n && str_eq_nocase(name, classes[i].name))
			return classes[i].bit;
	return 0;
}
