// SPDX-License-Identifier: Apache-2.0
// Names, numbers and rules of the attributes and object classes of the native schema.
//
//     const struct attr_info *info = attr_by_name(STR("mailhost"));     // any case; options (";lang-de") are the caller's
//     if (info && info->check == ATTR_CHECK_HOST) ...
//     attr_name(ATTR_MAIL_HOST)                                         // "mailHost", for reasons and messages
//
// The rows are schema/attr.def. Nothing here allocates or blocks.
#ifndef SCHEMA_ATTR_H
#define SCHEMA_ATTR_H

#include <stdbool.h>

#include "base/str.h"

enum attr {
	ATTR_NONE = 0, // no attribute: in reasons that rest on an entry as a whole
#define ATTR(id, number, name, syntax, values, check, where) ATTR_##id = number,
#include "schema/attr.def"
#undef ATTR
	ATTR_NUMBER_MAX = 255,
};

enum attr_syntax {
	ATTR_IA5,
	ATTR_IA5_EXACT,
	ATTR_TEXT,
	ATTR_TEXT_EXACT,
	ATTR_INTEGER,
	ATTR_BOOLEAN,
	ATTR_TIME,
	ATTR_DN,
	ATTR_OCTETS,
};

enum attr_values { ATTR_SINGLE, ATTR_MULTI };

enum attr_check {
	ATTR_CHECK_ANY,
	ATTR_CHECK_WORD,
	ATTR_CHECK_ADDRESS,
	ATTR_CHECK_ADDRESS_OR_DOMAIN,
	ATTR_CHECK_PATTERN,
	ATTR_CHECK_HOST,
	ATTR_CHECK_DOMAIN,
	ATTR_CHECK_GUID,
	ATTR_CHECK_NUMBER,
	ATTR_CHECK_FLAG,
	ATTR_CHECK_STAMP,
	ATTR_CHECK_NAME,
	ATTR_CHECK_RAW,
};

enum attr_where { ATTR_IN_SHADOW = 1, ATTR_IN_CREDENTIALS = 2, ATTR_IN_BOTH = 3 };

struct attr_info {
	enum attr attr;
	const char *name; // as the schema writes it
	enum attr_syntax syntax;
	enum attr_values values;
	enum attr_check check;
	enum attr_where where;
};

// NULL for what we do not read.
const struct attr_info *attr_by_name(struct str name);

// The row of a number that came from disk; NULL for one we do not know.
const struct attr_info *attr_by_number(unsigned number);

// The name as the schema writes it; "" for ATTR_NONE.
const char *attr_name(enum attr attr);

// id, bit, name of the object classes that make an entry ours. The bits are on disk.
#define ATTR_CLASSES(X)                              \
	X(ENTRY_RECIPIENT, 0, "phMailRecipient")     \
	X(ENTRY_USER, 1, "phMailUser")               \
	X(ENTRY_ALIAS, 2, "phMailAlias")             \
	X(ENTRY_LIST, 3, "phMailList")               \
	X(ENTRY_GROUP, 4, "phMailGroup")             \
	X(ENTRY_DOMAIN, 5, "phMailDomain")           \
	X(ENTRY_HOST, 6, "phMailHost")               \
	X(ENTRY_ROUTE, 7, "phMailRoute")             \
	X(ENTRY_ACCESS, 8, "phMailAccess")           \
	X(ENTRY_CLASS_OF_SERVICE, 9, "phClassOfServiceEntry")

enum entry_class {
#define ATTR_CLASS_ENUM(id, bit, name) id = 1 << bit,
	ATTR_CLASSES(ATTR_CLASS_ENUM)
#undef ATTR_CLASS_ENUM
};

// The bit of a value of objectClass, any case; 0 for other classes.
unsigned attr_class_by_name(struct str name);

#endif
