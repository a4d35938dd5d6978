// SPDX-License-Identifier: Apache-2.0
// The rows of schema/attr.def, found by name and by number.
#include "schema/attr.h"

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

// Asked for every value of every entry that is loaded: most rows differ in length.
const struct attr_info *attr_by_name(struct str name)
{
	static const struct {
		struct str name;
		uint8_t number;
	} names[] = {
#define ATTR(id, number_, name_, syntax, values, check, where) {{name_, sizeof name_ - 1}, number_},
#include "schema/attr.def"
#undef ATTR
	};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].name.n == name.n && str_eq_nocase(name, names[i].name))
			return &rows[names[i].number];
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
