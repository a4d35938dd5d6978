// SPDX-License-Identifier: Apache-2.0
// The rows of schema/attr.def, found by name and by number.
#include "schema/attr.h"

static const struct attr_info rows[] = {
#define ATTR(id, number, name_, syntax_, values_, check_, where_)                                                              \
	{.attr = ATTR_##id, .name = name_, .syntax = ATTR_##syntax_, .values = ATTR_##values_, .check = ATTR_CHECK_##check_,  \
		.where = ATTR_IN_##where_},
#include "schema/attr.def"
#undef ATTR
};

enum { ROWS = sizeof rows / sizeof *rows };

// Which numbers are taken.
static const bool is_number[ATTR_NUMBER_MAX + 1] = {
#define ATTR(id, number, name, syntax, values, check, where) [number] = true,
#include "schema/attr.def"
#undef ATTR
};

const struct attr_info *attr_by_number(unsigned number)
{
	if (number > ATTR_NUMBER_MAX || !is_number[number])
		return NULL;
	size_t low = 0, high = ROWS; // rows ascend by number
	while (high - low > 1) {
		size_t middle = (low + high) / 2;
		if ((unsigned)rows[middle].attr <= number)
			low = middle;
		else
			high = middle;
	}
	return &rows[low];
}

const struct attr_info *attr_by_name(struct str name)
{
	for (size_t i = 0; i < ROWS; i++)
		if (str_eq_nocase(name, str_of_c(rows[i].name)))
			return &rows[i];
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
		const char *name;
		unsigned bit;
	} classes[] = {
#define ATTR_CLASS_ROW(id, bit_, name_) {name_, 1u << bit_},
		ATTR_CLASSES(ATTR_CLASS_ROW)
#undef ATTR_CLASS_ROW
	};
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if (str_eq_nocase(name, str_of_c(classes[i].name)))
			return classes[i].bit;
	return 0;
}
