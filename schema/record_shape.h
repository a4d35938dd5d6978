// SPDX-License-Identifier: Apache-2.0
// What the structs of schema/record.h are made of, as record.c walks them: a table of fields for each kind of struct.
//
//     const struct record_type_row *row = record_type_row(type);
//     if (row == NULL) ...                                       // of a later version
//     for (size_t i = 0; i < row->shape->n; i++) ... row->shape->fields[i] ...
//
// Private to schema/. A new field of a record is a row in record_shape.c, and one of FORMATS.md section 5.
#ifndef SCHEMA_RECORD_SHAPE_H
#define SCHEMA_RECORD_SHAPE_H

#include "schema/record.h"

enum record_field_kind { U8, U32, U64, ENUM, STR, DIGEST, GUID, LIST };

enum { REQUIRED = 1 };

struct record_shape;

struct record_field {
	uint8_t tag;
	enum record_field_kind kind;
	unsigned flags;
	size_t offset;
	uint64_t max;                  // numbers: the largest value; STR: bytes; LIST: elements
	const struct record_shape *of; // LIST
};

struct record_shape {
	size_t bytes; // sizeof the struct
	const struct record_field *fields;
	size_t n;
	bool (*check)(const void *value); // what one field alone does not show; may be NULL
};

struct record_type_row {
	const char *name;
	const struct record_shape *shape;
};

// NULL: there is no such type.
const struct record_type_row *record_type_row(unsigned type);

#endif
