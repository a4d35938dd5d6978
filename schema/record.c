// SPDX-License-Identifier: Apache-2.0
// The codec of log records: one table of fields for each kind of struct, one encoder and one decoder that walk it.
//
// On the wire a record is type u16, version u8, flags u8 (0), then fields; a field is tag u8, length varint, bytes. A list is one
// field an element, each element's bytes being fields again. What makes the encoding the only one: tags ascend, zero and empty
// values are left out, numbers have the width of their kind, varints are minimal; the decoder refuses everything else.
#include "schema/record.h"

#include "base/must.h"

enum kind { U8, U32, U64, ENUM, STR, DIGEST, GUID, LIST };

enum { REQUIRED = 1 };

struct shape;

struct field {
	uint8_t tag;
	enum kind kind;
	unsigned flags;
	size_t offset;
	uint64_t max;             // numbers: the largest value; STR: bytes; LIST: elements
	const struct shape *of;   // LIST
};

struct shape {
	size_t bytes; // sizeof the struct
	const struct field *fields;
	size_t n;
	bool (*check)(const void *value); // what one field alone does not show; may be NULL
};

#define FIELDS(array) (array), sizeof(array) / sizeof *(array)
#define AT(type, member) offsetof(struct type, member)

static bool check_numbers_ascend(const struct record_recipients *recipients)
{
	uint32_t last = 0;
	for (size_t i = 0; i < recipients->n; i++) {
		if (recipients->v[i].number <= last)
			return false;
		last = recipients->v[i].number;
	}
	return true;
}

// Each field where it says something.
static bool is_way(enum record_target target, struct str mailbox_id, struct str stands_for)
{
	return target >= RECORD_TO_MAILBOX && (target == RECORD_TO_MAILBOX || mailbox_id.n == 0) &&
	       (target == RECORD_TO_RELAY || stands_for.n == 0);
}

static bool check_recipient(const void *value)
{
	const struct record_recipient *r = value;
	return is_way(r->target, r->mailbox_id, r->stands_for);
}

static bool check_enter(const void *value)
{
	const struct record_enter *e = value;
	return e->recipients.n > 0 && check_numbers_ascend(&e->recipients) && e->received_ms >= 0;
}

static bool check_expand(const void *value)
{
	const struct record_expand *e = value;
	return check_numbers_ascend(&e->into) && e->at_ms >= 0;
}

static bool check_one_result(const void *value)
{
	const struct record_one_result *r = value;
	bool deferred = r->outcome == RECORD_DEFERRED;
	return r->outcome >= RECORD_DELIVERED && (deferred || (r->next_try_ms == 0 && r->waited_s == 0));
}

static bool check_one_route(const void *value)
{
	const struct record_one_route *r = value;
	return is_way(r->target, r->mailbox_id, r->stands_for);
}

static bool check_requeue(const void *value)
{
	const struct record_requeue *q = value;
	return q->leave.n + q->come.n > 0 && check_numbers_ascend(&q->come);
}

static bool check_attempt(const void *value)
{
	const struct record_attempt *a = value;
	return a->refs.n > 0;
}

static const struct field also_fields[] = {
	{1, STR, REQUIRED, AT(record_also, key), RECORD_TEXT_BYTES_MAX, NULL},
	{2, STR, REQUIRED, AT(record_also, address), RECORD_TEXT_BYTES_MAX, NULL},
	{3, U8, 0, AT(record_also, notify), RECORD_NOTIFY_ALL, NULL},
	{4, STR, 0, AT(record_also, orcpt), RECORD_TEXT_BYTES_MAX, NULL},
};
static const struct shape also_shape = {sizeof(struct record_also), FIELDS(also_fields), NULL};

static const struct field recipient_fields[] = {
	{1, U32, REQUIRED, AT(record_recipient, number), UINT32_MAX, NULL},
	{2, ENUM, REQUIRED, AT(record_recipient, target), RECORD_TO_EXPAND, NULL},
	{3, U8, 0, AT(record_recipient, notify), RECORD_NOTIFY_ALL | RECORD_SHARED | RECORD_SHARED_MORE, NULL},
	{4, STR, REQUIRED, AT(record_recipient, address), RECORD_TEXT_BYTES_MAX, NULL},
	{5, STR, REQUIRED, AT(record_recipient, key), RECORD_TEXT_BYTES_MAX, NULL},
	{6, STR, 0, AT(record_recipient, original), RECORD_TEXT_BYTES_MAX, NULL},
	{7, STR, 0, AT(record_recipient, orcpt), RECORD_TEXT_BYTES_MAX, NULL},
	{8, STR, REQUIRED, AT(record_recipient, destination), RECORD_TEXT_BYTES_MAX, NULL},
	{9, STR, 0, AT(record_recipient, mailbox_id), RECORD_MAILBOX_ID_BYTES_MAX, NULL},
	{10, STR, 0, AT(record_recipient, detail), RECORD_TEXT_BYTES_MAX, NULL},
	{11, STR, 0, AT(record_recipient, list), RECORD_TEXT_BYTES_MAX, NULL},
	{12, STR, 0, AT(record_recipient, stands_for), RECORD_TEXT_BYTES_MAX, NULL},
	{13, LIST, 0, AT(record_recipient, also), RECORD_ALSO_MAX, &also_shape},
};
static const struct shape recipient_shape = {sizeof(struct record_recipient), FIELDS(recipient_fields), check_recipient};

static const struct field enter_fields[] = {
	{1, GUID, REQUIRED, AT(record_enter, guid), 0, NULL},
	{2, GUID, REQUIRED, AT(record_enter, root), 0, NULL},
	{3, GUID, 0, AT(record_enter, parent), 0, NULL},
	{4, ENUM, 0, AT(record_enter, kind), RECORD_REPLY, NULL},
	{5, U8, 0, AT(record_enter, flags), 255, NULL},
	{6, STR, 0, AT(record_enter, sender), RECORD_TEXT_BYTES_MAX, NULL},
	{7, STR, 0, AT(record_enter, envid), RECORD_TEXT_BYTES_MAX, NULL},
	{8, STR, 0, AT(record_enter, source), RECORD_TEXT_BYTES_MAX, NULL},
	{9, U64, REQUIRED, AT(record_enter, received_ms), INT64_MAX, NULL},
	{10, U64, 0, AT(record_enter, body_bytes), INT64_MAX, NULL},
	{11, DIGEST, REQUIRED, AT(record_enter, digest), 0, NULL},
	{12, LIST, REQUIRED, AT(record_enter, recipients), RECORD_RECIPIENTS_MAX, &recipient_shape},
	{13, STR, 0, AT(record_enter, held), RECORD_TEXT_BYTES_MAX, NULL},
};
static const struct shape enter_shape = {sizeof(struct record_enter), FIELDS(enter_fields), check_enter};

static const struct field cancel_fields[] = {{1, GUID, REQUIRED, AT(record_cancel, guid), 0, NULL}};
static const struct shape cancel_shape = {sizeof(struct record_cancel), FIELDS(cancel_fields), NULL};

static const struct field expand_fields[] = {
	{1, GUID, REQUIRED, AT(record_expand, guid), 0, NULL},
	{2, U32, REQUIRED, AT(record_expand, number), UINT32_MAX, NULL},
	{3, U64, REQUIRED, AT(record_expand, at_ms), INT64_MAX, NULL},
	{4, LIST, 0, AT(record_expand, into), RECORD_RECIPIENTS_MAX, &recipient_shape},
	{5, LIST, 0, AT(record_expand, begets), RECORD_RECIPIENTS_MAX, &enter_shape},
};
static const struct shape expand_shape = {sizeof(struct record_expand), FIELDS(expand_fields), check_expand};

static const struct field ref_fields[] = {
	{1, GUID, REQUIRED, AT(record_ref, guid), 0, NULL},
	{2, U32, REQUIRED, AT(record_ref, number), UINT32_MAX, NULL},
};
static const struct shape ref_shape = {sizeof(struct record_ref), FIELDS(ref_fields), NULL};

static const struct field attempt_fields[] = {
	{1, STR, REQUIRED, AT(record_attempt, destination), RECORD_TEXT_BYTES_MAX, NULL},
	{2, U64, REQUIRED, AT(record_attempt, at_ms), INT64_MAX, NULL},
	{3, U32, REQUIRED, AT(record_attempt, validity_ms), UINT32_MAX, NULL},
	{4, LIST, REQUIRED, AT(record_attempt, refs), RECORD_RECIPIENTS_MAX, &ref_shape},
};
static const struct shape attempt_shape = {sizeof(struct record_attempt), FIELDS(attempt_fields), check_attempt};

static const struct field one_result_fields[] = {
	{1, GUID, REQUIRED, AT(record_one_result, guid), 0, NULL},
	{2, U32, REQUIRED, AT(record_one_result, number), UINT32_MAX, NULL},
	{3, ENUM, REQUIRED, AT(record_one_result, outcome), RECORD_SUPPRESSED, NULL},
	{4, U64, 0, AT(record_one_result, next_try_ms), INT64_MAX, NULL},
	{5, U32, 0, AT(record_one_result, waited_s), UINT32_MAX, NULL},
	{6, STR, 0, AT(record_one_result, reply), RECORD_TEXT_BYTES_MAX, NULL},
};
static const struct shape one_result_shape = {sizeof(struct record_one_result), FIELDS(one_result_fields), check_one_result};

static const struct field result_fields[] = {
	{1, U64, 0, AT(record_result, attempt), INT64_MAX, NULL},
	{2, U64, REQUIRED, AT(record_result, at_ms), INT64_MAX, NULL},
	{3, LIST, REQUIRED, AT(record_result, results), RECORD_RECIPIENTS_MAX, &one_result_shape},
	{4, LIST, 0, AT(record_result, begets), RECORD_RECIPIENTS_MAX, &enter_shape},
};
static const struct shape result_shape = {sizeof(struct record_result), FIELDS(result_fields), NULL};

static const struct field hold_fields[] = {
	{1, GUID, REQUIRED, AT(record_hold, guid), 0, NULL},
	{2, U32, 0, AT(record_hold, number), UINT32_MAX, NULL},
	{3, U64, REQUIRED, AT(record_hold, at_ms), INT64_MAX, NULL},
	{4, STR, 0, AT(record_hold, who), RECORD_TEXT_BYTES_MAX, NULL},
	{5, STR, REQUIRED, AT(record_hold, why), RECORD_TEXT_BYTES_MAX, NULL},
};
static const struct shape hold_shape = {sizeof(struct record_hold), FIELDS(hold_fields), NULL};

static const struct field release_fields[] = {
	{1, GUID, REQUIRED, AT(record_release, guid), 0, NULL},
	{2, U32, 0, AT(record_release, number), UINT32_MAX, NULL},
	{3, U64, REQUIRED, AT(record_release, at_ms), INT64_MAX, NULL},
	{4, STR, 0, AT(record_release, who), RECORD_TEXT_BYTES_MAX, NULL},
};
static const struct shape release_shape = {sizeof(struct record_release), FIELDS(release_fields), NULL};

static const struct field delete_fields[] = {
	{1, GUID, REQUIRED, AT(record_delete, guid), 0, NULL},
	{2, U32, 0, AT(record_delete, number), UINT32_MAX, NULL},
	{3, U64, REQUIRED, AT(record_delete, at_ms), INT64_MAX, NULL},
	{4, STR, 0, AT(record_delete, who), RECORD_TEXT_BYTES_MAX, NULL},
	{5, STR, 0, AT(record_delete, why), RECORD_TEXT_BYTES_MAX, NULL},
};
static const struct shape delete_shape = {sizeof(struct record_delete), FIELDS(delete_fields), NULL};

static const struct field warned_fields[] = {
	{1, U64, REQUIRED, AT(record_warned, at_ms), INT64_MAX, NULL},
	{2, LIST, REQUIRED, AT(record_warned, refs), RECORD_RECIPIENTS_MAX, &ref_shape},
	{3, LIST, 0, AT(record_warned, begets), RECORD_RECIPIENTS_MAX, &enter_shape},
};
static const struct shape warned_shape = {sizeof(struct record_warned), FIELDS(warned_fields), NULL};

static const struct field feature_fields[] = {
	{1, U32, REQUIRED, AT(record_feature, type), UINT16_MAX, NULL},
	{2, U32, REQUIRED, AT(record_feature, version), UINT8_MAX, NULL},
};
static const struct shape feature_shape = {sizeof(struct record_feature), FIELDS(feature_fields), NULL};

static const struct field features_fields[] = {{1, LIST, REQUIRED, AT(record_features, may), 256, &feature_shape}};
static const struct shape features_shape = {sizeof(struct record_features), FIELDS(features_fields), NULL};

static const struct field policy_fields[] = {{1, U32, REQUIRED, AT(record_policy, copies), 9, NULL}};
static const struct shape policy_shape = {sizeof(struct record_policy), FIELDS(policy_fields), NULL};

static const struct field one_route_fields[] = {
	{1, GUID, REQUIRED, AT(record_one_route, guid), 0, NULL},
	{2, U32, REQUIRED, AT(record_one_route, number), UINT32_MAX, NULL},
	{3, ENUM, REQUIRED, AT(record_one_route, target), RECORD_TO_EXPAND, NULL},
	{4, STR, REQUIRED, AT(record_one_route, address), RECORD_TEXT_BYTES_MAX, NULL},
	{5, STR, REQUIRED, AT(record_one_route, key), RECORD_TEXT_BYTES_MAX, NULL},
	{6, STR, 0, AT(record_one_route, original), RECORD_TEXT_BYTES_MAX, NULL},
	{7, STR, REQUIRED, AT(record_one_route, destination), RECORD_TEXT_BYTES_MAX, NULL},
	{8, STR, 0, AT(record_one_route, mailbox_id), RECORD_MAILBOX_ID_BYTES_MAX, NULL},
	{9, STR, 0, AT(record_one_route, detail), RECORD_TEXT_BYTES_MAX, NULL},
	{10, STR, 0, AT(record_one_route, stands_for), RECORD_TEXT_BYTES_MAX, NULL},
};
static const struct shape one_route_shape = {sizeof(struct record_one_route), FIELDS(one_route_fields), check_one_route};

static const struct field route_fields[] = {
	{1, U64, REQUIRED, AT(record_route, at_ms), INT64_MAX, NULL},
	{2, LIST, REQUIRED, AT(record_route, routes), RECORD_RECIPIENTS_MAX, &one_route_shape},
};
static const struct shape route_shape = {sizeof(struct record_route), FIELDS(route_fields), NULL};

static const struct field mend_fields[] = {
	{1, U64, REQUIRED, AT(record_mend, at_ms), INT64_MAX, NULL},
	{2, STR, 0, AT(record_mend, who), RECORD_TEXT_BYTES_MAX, NULL},
	{3, STR, 0, AT(record_mend, why), RECORD_TEXT_BYTES_MAX, NULL},
};
static const struct shape mend_shape = {sizeof(struct record_mend), FIELDS(mend_fields), NULL};

static const struct field leave_fields[] = {
	{1, U32, REQUIRED, AT(record_leave, number), UINT32_MAX, NULL},
	{2, STR, REQUIRED, AT(record_leave, key), RECORD_TEXT_BYTES_MAX, NULL},
};
static const struct shape leave_shape = {sizeof(struct record_leave), FIELDS(leave_fields), NULL};

static const struct field requeue_fields[] = {
	{1, GUID, REQUIRED, AT(record_requeue, guid), 0, NULL},
	{2, U64, REQUIRED, AT(record_requeue, at_ms), INT64_MAX, NULL},
	{3, STR, 0, AT(record_requeue, who), RECORD_TEXT_BYTES_MAX, NULL},
	{4, LIST, 0, AT(record_requeue, leave), RECORD_RECIPIENTS_MAX, &leave_shape},
	{5, LIST, 0, AT(record_requeue, come), RECORD_RECIPIENTS_MAX, &recipient_shape},
};
static const struct shape requeue_shape = {sizeof(struct record_requeue), FIELDS(requeue_fields), check_requeue};

static const struct shape retired_shape = {0, NULL, 0, NULL};

static const struct {
	const char *name;
	const struct shape *shape;
} types[] = {
	[RECORD_ENTER] = {"ENTER", &enter_shape},
	[RECORD_CANCEL] = {"CANCEL", &cancel_shape},
	[RECORD_EXPAND] = {"EXPAND", &expand_shape},
	[RECORD_ATTEMPT] = {"ATTEMPT", &attempt_shape},
	[RECORD_RESULT] = {"RESULT", &result_shape},
	[RECORD_HOLD] = {"HOLD", &hold_shape},
	[RECORD_RELEASE] = {"RELEASE", &release_shape},
	[RECORD_DELETE] = {"DELETE", &delete_shape},
	[RECORD_WARNED] = {"WARNED", &warned_shape},
	[RECORD_FEATURES] = {"FEATURES", &features_shape},
	[RECORD_POLICY] = {"POLICY", &policy_shape},
	[RECORD_RETIRED] = {"RETIRED", &retired_shape},
	[RECORD_ROUTE] = {"ROUTE", &route_shape},
	[RECORD_MEND] = {"MEND", &mend_shape},
	[RECORD_REQUEUE] = {"REQUEUE", &requeue_shape},
};
enum { TYPES = sizeof types / sizeof *types };

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

static struct list list_at(const void *base, const struct field *field)
{
	struct list list;
	memcpy(&list, (const char *)base + field->offset, sizeof list);
	return list;
}

static uint64_t number_at(const void *base, const struct field *field)
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

static size_t number_bytes(enum kind kind)
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

static struct str str_at(const void *base, const struct field *field)
{
	const char *p = (const char *)base + field->offset;
	if (field->kind == GUID)
		return guid_is_zero((const struct guid *)(const void *)p) ? STR_NONE : str_of(p, sizeof(struct guid));
	return *(const struct str *)(const void *)p;
}

static size_t shape_bytes(const struct shape *shape, const void *base);

static size_t element_bytes(const struct field *field, const struct list *list, size_t i)
{
	return shape_bytes(field->of, (const char *)list->v + i * field->of->bytes);
}

static size_t field_bytes(const struct field *field, const void *base)
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

static size_t shape_bytes(const struct shape *shape, const void *base)
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

static void put_shape(struct buf *out, const struct shape *shape, const void *base);

static void put_field(struct buf *out, const struct field *field, const void *base)
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

static void put_shape(struct buf *out, const struct shape *shape, const void *base)
{
	must(shape->check == NULL || shape->check(base));
	for (size_t i = 0; i < shape->n; i++)
		put_field(out, &shape->fields[i], base);
}

bool record_encode(const struct record *record, struct buf *out)
{
	must((size_t)record->type < TYPES && types[record->type].shape != NULL);
	const struct shape *shape = types[record->type].shape;
	size_t n = 4 + shape_bytes(shape, &record->enter);
	if (n > RECORD_BYTES_MAX || buf_reserve(out, n) == NULL)
		return false;
	buf_add_byte(out, (char)record->type);
	buf_add_byte(out, (char)(record->type >> 8));
	buf_add_byte(out, RECORD_VERSION);
	buf_add_byte(out, 0);
	put_shape(out, shape, &record->enter); // all members of the union begin at the same place
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

static bool set_number(const struct field *field, struct str bytes, char *at)
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

static bool get_shape(struct arena *arena, struct str bytes, const struct shape *shape, void *base);

// The run of fields with this tag, the first of which has been taken off *rest already.
static bool get_list(struct arena *arena, const struct field *field, struct str first, struct str *rest, void *at)
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

static bool get_value(struct arena *arena, const struct field *field, struct str bytes, struct str *rest, char *at)
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
static bool get_shape(struct arena *arena, struct str bytes, const struct shape *shape, void *base)
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
		const struct field *field = &shape->fields[next++];
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
	if (type == 0 || type >= TYPES || version != RECORD_VERSION)
		return err_set(err, ERR_VERSION, "record of type %u, version %u: upgrade this node", type, version);
	if (bytes.p[3] != 0 || bytes.n > RECORD_BYTES_MAX)
		return err_set(err, ERR_CORRUPT, "%s record: flags %u, %zu bytes", types[type].name, (uint8_t)bytes.p[3],
			bytes.n);
	struct record record;
	memset(&record, 0, sizeof record);
	record.type = (enum record_type)type;
	if (!get_shape(arena, str_from(bytes, 4), types[type].shape, &record.enter)) {
		if (arena_overflowed(arena))
			return err_set(err, ERR_LIMIT, "%s record needs more memory than allowed", types[type].name);
		return err_set(err, ERR_CORRUPT, "%s record is damaged", types[type].name);
	}
	*record_out = record;
	return ERR_OK;
}
