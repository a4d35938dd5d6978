// SPDX-License-Identifier: Apache-2.0
// The codec of log records: one encoder and one decoder, which walk the tables of record_shape.c.
//
// On the wire a record is type u16, version u8, flags u8 (0), then fields; a field is tag u8, length varint, bytes. A list is one
// field an element, each element's bytes being fields again. What makes the encoding the only one: tags ascend, zero and empty
// values are left out, numbers have the width of their kind, varints are minimal; the decoder refuses everything else.
#include "record_shape.h"

#include "base/must.h"

const char *record_kind_name(enum record_kind kind)
{
	static const char *const names[] = {"accepted", "dsn", "delay", "forward", "list", "reply"};
	must((size_t)kind < sizeof names / sizeof *names);
	return names[kind];
}

// A list in any of our structs: typed pointer and count, in this order.
struct list {
	void *v;
	size_t n;
};

static struct list list_at(const void *base, const struct record_field *field)
{
	struct list list;
	memcpy(&list, (const char *)base + field->offset, sizeof list);
	return list;
}

static uint64_t number_at(const void *base, const struct record_field *field)
{
	const char *p = (const char *)base + field->offset;
	switch (field->kind) {
	case U8:
		return *(const uint8_t *)p;
	case U32:
		return *(const uint32_t *)(const void *)p;
	case U64:
		return *(const uint64_t *)(const void *)p;
	case ENUM:
		return (uint64_t) * (const int *)(const void *)p;
	case STR:
	case DIGEST:
	case GUID:
	case LIST:
		break;
	}
	unreachable("not a number");
}

static size_t number_bytes(enum record_field_kind kind)
{
	return kind == U32 ? 4 : kind == U64 ? 8 : 1;
}

static size_t varint_bytes(uint64_t value)
{
	size_t n = 1;
	while (value >>= 7)
		n++;
	return n;
}

static struct str str_at(const void *base, const struct record_field *field)
{
	const char *p = (const char *)base + field->offset;
	if (field->kind == GUID)
		return guid_is_zero((const struct guid *)(const void *)p) ? STR_NONE : str_of(p, sizeof(struct guid));
	return *(const struct str *)(const void *)p;
}

static size_t shape_bytes(const struct record_shape *shape, const void *base);

static size_t element_bytes(const struct record_field *field, const struct list *list, size_t i)
{
	return shape_bytes(field->of, (const char *)list->v + i * field->of->bytes);
}

static size_t field_bytes(const struct record_field *field, const void *base)
{
	size_t n, sum = 0;
	switch (field->kind) {
	case U8:
	case U32:
	case U64:
	case ENUM:
		n = number_at(base, field) == 0 && !(field->flags & REQUIRED) ? 0 : number_bytes(field->kind);
		return n ? 2 + n : 0;
	case STR:
	case DIGEST:
	case GUID:
		n = str_at(base, field).n;
		return n || (field->flags & REQUIRED) ? 1 + varint_bytes(n) + n : 0;
	case LIST:
		break;
	}
	struct list list = list_at(base, field);
	for (size_t i = 0; i < list.n; i++) {
		n = element_bytes(field, &list, i);
		sum += 1 + varint_bytes(n) + n;
	}
	return sum;
}

static size_t shape_bytes(const struct record_shape *shape, const void *base)
{
	size_t sum = 0;
	for (size_t i = 0; i < shape->n; i++)
		sum += field_bytes(&shape->fields[i], base);
	return sum;
}

static void put_head(struct buf *out, uint8_t tag, uint64_t n)
{
	char bytes[1 + 10];
	size_t at = 0;
	bytes[at++] = (char)tag;
	for (; n >= 0x80; n >>= 7)
		bytes[at++] = (char)(0x80 | (n & 0x7f));
	bytes[at++] = (char)n;
	buf_add(out, str_of(bytes, at));
}

static void put_number(struct buf *out, uint8_t tag, uint64_t value, size_t n)
{
	char bytes[2 + sizeof value] = {(char)tag, (char)n};
	for (size_t i = 0; i < n; i++)
		bytes[2 + i] = (char)(value >> (8 * i));
	buf_add(out, str_of(bytes, 2 + n));
}

static void put_shape(struct buf *out, const struct record_shape *shape, const void *base);

static void put_field(struct buf *out, const struct record_field *field, const void *base)
{
	struct str s;
	uint64_t value;
	switch (field->kind) {
	case U8:
	case U32:
	case U64:
	case ENUM:
		value = number_at(base, field);
		must(value <= field->max);
		if (value == 0 && !(field->flags & REQUIRED))
			return;
		put_number(out, field->tag, value, number_bytes(field->kind));
		return;
	case STR:
	case DIGEST:
	case GUID:
		s = str_at(base, field);
		if (s.n == 0 && !(field->flags & REQUIRED))
			return;
		must(field->kind == STR ? s.n <= field->max : field->kind == GUID ? s.n == 16 : s.n == RECORD_DIGEST_BYTES);
		put_head(out, field->tag, s.n);
		buf_add(out, s);
		return;
	case LIST:
		break;
	}
	struct list list = list_at(base, field);
	must(list.n <= field->max);
	for (size_t i = 0; i < list.n; i++) {
		put_head(out, field->tag, element_bytes(field, &list, i));
		put_shape(out, field->of, (const char *)list.v + i * field->of->bytes);
	}
}

static void put_shape(struct buf *out, const struct record_shape *shape, const void *base)
{
	must(shape->check == NULL || shape->check(base));
	for (size_t i = 0; i < shape->n; i++)
		put_field(out, &shape->fields[i], base);
}

bool record_encode(const struct record *record, struct buf *out)
{
	const struct record_type_row *row = record_type_row((unsigned)record->type);
	must(row != NULL);
	size_t n = 4 + shape_bytes(row->shape, &record->enter);
	if (n > RECORD_BYTES_MAX || buf_reserve(out, n) == NULL)
		return false;
	buf_add_byte(out, (char)record->type);
	buf_add_byte(out, (char)(record->type >> 8));
	buf_add_byte(out, RECORD_VERSION);
	buf_add_byte(out, 0);
	put_shape(out, row->shape, &record->enter); // all members of the union begin at the same place
	return !out->overflow;
}

// Tag and bytes of the next field; false when the input is cut short or the length is not minimal.
static bool get_field(struct str *rest, uint8_t *tag_out, struct str *bytes_out)
{
	uint64_t n = 0;
	size_t i = 1;
	for (unsigned shift = 0;; shift += 7, i++) {
		if (i >= rest->n || shift > 28)
			return false;
		uint8_t byte = (uint8_t)rest->p[i];
		n |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0) {
			if (byte == 0 && shift > 0)
				return false;
			break;
		}
	}
	i++;
	if (n > rest->n - i)
		return false;
	*tag_out = (uint8_t)rest->p[0];
	*bytes_out = str_of(rest->p + i, (size_t)n);
	*rest = str_from(*rest, i + (size_t)n);
	return true;
}

static bool set_number(const struct record_field *field, struct str bytes, char *at)
{
	uint64_t value = 0;
	if (bytes.n != number_bytes(field->kind))
		return false;
	for (size_t i = 0; i < bytes.n; i++)
		value |= (uint64_t)(uint8_t)bytes.p[i] << (8 * i);
	if (value > field->max || (value == 0 && !(field->flags & REQUIRED)))
		return false;
	switch (field->kind) {
	case U8:
		*(uint8_t *)at = (uint8_t)value;
		return true;
	case U32:
		*(uint32_t *)(void *)at = (uint32_t)value;
		return true;
	case U64:
		*(uint64_t *)(void *)at = value;
		return true;
	case ENUM:
		*(int *)(void *)at = (int)value;
		return true;
	case STR:
	case DIGEST:
	case GUID:
	case LIST:
		break;
	}
	unreachable("not a number");
}

static bool get_shape(struct arena *arena, struct str bytes, const struct record_shape *shape, void *base);

// The run of fields with this tag, the first of which has been taken off *rest already.
static bool get_list(struct arena *arena, const struct record_field *field, struct str first, struct str *rest, void *at)
{
	size_t n = 1;
	struct str look = *rest, bytes;
	uint8_t tag;
	while (look.n > 0 && (uint8_t)look.p[0] == field->tag && n <= field->max && get_field(&look, &tag, &bytes))
		n++;
	if (n > field->max)
		return false;
	struct list list = {arena_array(arena, n, field->of->bytes), n};
	if (list.v == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && !get_field(rest, &tag, &first))
			return false;
		if (!get_shape(arena, first, field->of, (char *)list.v + i * field->of->bytes))
			return false;
	}
	memcpy(at, &list, sizeof list);
	return true;
}

static bool get_value(struct arena *arena, const struct record_field *field, struct str bytes, struct str *rest, char *at)
{
	switch (field->kind) {
	case U8:
	case U32:
	case U64:
	case ENUM:
		return set_number(field, bytes, at);
	case STR:
		if (bytes.n > field->max || (bytes.n == 0 && !(field->flags & REQUIRED)))
			return false;
		*(struct str *)(void *)at = bytes;
		return true;
	case DIGEST:
		*(struct str *)(void *)at = bytes;
		return bytes.n == RECORD_DIGEST_BYTES;
	case GUID:
		if (bytes.n != sizeof(struct guid))
			return false;
		memcpy(at, bytes.p, bytes.n);
		return !guid_is_zero((const struct guid *)(const void *)at);
	case LIST:
		return get_list(arena, field, bytes, rest, at);
	}
	unreachable("kind of field");
}

// base is zeroed. Fields come in the table's order, each at most once (a list: one run).
static bool get_shape(struct arena *arena, struct str bytes, const struct record_shape *shape, void *base)
{
	size_t next = 0;
	while (bytes.n > 0) {
		uint8_t tag;
		struct str value;
		if (!get_field(&bytes, &tag, &value))
			return false;
		for (; next < shape->n && shape->fields[next].tag != tag; next++)
			if (shape->fields[next].flags & REQUIRED)
				return false;
		if (next == shape->n)
			return false;
		const struct record_field *field = &shape->fields[next++];
		if (!get_value(arena, field, value, &bytes, (char *)base + field->offset))
			return false;
	}
	for (; next < shape->n; next++)
		if (shape->fields[next].flags & REQUIRED)
			return false;
	return shape->check == NULL || shape->check(base);
}

enum err_code record_decode(struct arena *arena, struct str bytes, struct record *record_out, struct err *err)
{
	if (bytes.n < 4)
		return err_set(err, ERR_CORRUPT, "record of %zu bytes", bytes.n);
	unsigned type = (uint8_t)bytes.p[0] | (unsigned)(uint8_t)bytes.p[1] << 8, version = (uint8_t)bytes.p[2];
	const struct record_type_row *row = record_type_row(type);
	if (row == NULL || version != RECORD_VERSION)
		return err_set(err, ERR_VERSION, "record of type %u, version %u: upgrade this node", type, version);
	if (bytes.p[3] != 0 || bytes.n > RECORD_BYTES_MAX)
		return err_set(err, ERR_CORRUPT, "%s record: flags %u, %zu bytes", row->name, (uint8_t)bytes.p[3],
			bytes.n);
	struct record record;
	memset(&record, 0, sizeof record);
	record.type = (enum record_type)type;
	if (!get_shape(arena, str_from(bytes, 4), row->shape, &record.enter)) {
		if (arena_overflowed(arena))
			return err_set(err, ERR_LIMIT, "%s record needs more memory than allowed", row->name);
		return err_set(err, ERR_CORRUPT, "%s record is damaged", row->name);
	}
	*record_out = record;
	return ERR_OK;
}
