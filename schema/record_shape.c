// SPDX-License-Identifier: Apache-2.0
// The tables of fields of log records, and what must hold between the fields of one.
#include "record_shape.h"

#include <stddef.h>

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

static const struct record_field also_fields[] = {
	{1, STR, REQUIRED, AT(record_also, key), RECORD_TEXT_BYTES_MAX, NULL},
	{2, STR, REQUIRED, AT(record_also, address), RECORD_TEXT_BYTES_MAX, NULL},
	{3, U8, 0, AT(record_also, notify), RECORD_NOTIFY_ALL, NULL},
	{4, STR, 0, AT(record_also, orcpt), RECORD_TEXT_BYTES_MAX, NULL},
};
static const struct record_shape also_shape = {sizeof(struct record_also), FIELDS(also_fields), NULL};

static const struct record_field recipient_fields[] = {
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
static const struct record_shape recipient_shape = {sizeof(struct record_recipient), FIELDS(recipient_fields), check_recipient};

static const struct record_field enter_fields[] = {
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
static const struct record_shape enter_shape = {sizeof(struct record_enter), FIELDS(enter_fields), check_enter};

static const struct record_field cancel_fields[] = {{1, GUID, REQUIRED, AT(record_cancel, guid), 0, NULL}};
static const struct record_shape cancel_shape = {sizeof(struct record_cancel), FIELDS(cancel_fields), NULL};

static const struct record_field expand_fields[] = {
	{1, GUID, REQUIRED, AT(record_expand, guid), 0, NULL},
	{2, U32, REQUIRED, AT(record_expand, number), UINT32_MAX, NULL},
	{3, U64, REQUIRED, AT(record_expand, at_ms), INT64_MAX, NULL},
	{4, LIST, 0, AT(record_expand, into), RECORD_RECIPIENTS_MAX, &recipient_shape},
	{5, LIST, 0, AT(record_expand, begets), RECORD_RECIPIENTS_MAX, &enter_shape},
};
static const struct record_shape expand_shape = {sizeof(struct record_expand), FIELDS(expand_fields), check_expand};

static const struct record_field ref_fields[] = {
	{1, GUID, REQUIRED, AT(record_ref, guid), 0, NULL},
	{2, U32, REQUIRED, AT(record_ref, number), UINT32_MAX, NULL},
};
static const struct record_shape ref_shape = {sizeof(struct record_ref), FIELDS(ref_fields), NULL};

static const struct record_field attempt_fields[] = {
	{1, STR, REQUIRED, AT(record_attempt, destination), RECORD_TEXT_BYTES_MAX, NULL},
	{2, U64, REQUIRED, AT(record_attempt, at_ms), INT64_MAX, NULL},
	{3, U32, REQUIRED, AT(record_attempt, validity_ms), UINT32_MAX, NULL},
	{4, LIST, REQUIRED, AT(record_attempt, refs), RECORD_RECIPIENTS_MAX, &ref_shape},
};
static const struct record_shape attempt_shape = {sizeof(struct record_attempt), FIELDS(attempt_fields), check_attempt};

static const struct record_field one_result_fields[] = {
	{1, GUID, REQUIRED, AT(record_one_result, guid), 0, NULL},
	{2, U32, REQUIRED, AT(record_one_result, number), UINT32_MAX, NULL},
	{3, ENUM, REQUIRED, AT(record_one_result, outcome), RECORD_SUPPRESSED, NULL},
	{4, U64, 0, AT(record_one_result, next_try_ms), INT64_MAX, NULL},
	{5, U32, 0, AT(record_one_result, waited_s), UINT32_MAX, NULL},
	{6, STR, 0, AT(record_one_result, reply), RECORD_TEXT_BYTES_MAX, NULL},
};
static const struct record_shape one_result_shape = {
	sizeof(struct record_one_result), FIELDS(one_result_fields), check_one_result};

static const struct record_field result_fields[] = {
	{1, U64, 0, AT(record_result, attempt), INT64_MAX, NULL},
	{2, U64, REQUIRED, AT(record_result, at_ms), INT64_MAX, NULL},
	{3, LIST, REQUIRED, AT(record_result, results), RECORD_RECIPIENTS_MAX, &one_result_shape},
	{4, LIST, 0, AT(record_result, begets), RECORD_RECIPIENTS_MAX, &enter_shape},
};
static const struct record_shape result_shape = {sizeof(struct record_result), FIELDS(result_fields), NULL};

static const struct record_field hold_fields[] = {
	{1, GUID, REQUIRED, AT(record_hold, guid), 0, NULL},
	{2, U32, 0, AT(record_hold, number), UINT32_MAX, NULL},
	{3, U64, REQUIRED, AT(record_hold, at_ms), INT64_MAX, NULL},
	{4, STR, 0, AT(record_hold, who), RECORD_TEXT_BYTES_MAX, NULL},
	{5, STR, REQUIRED, AT(record_hold, why), RECORD_TEXT_BYTES_MAX, NULL},
};
static const struct record_shape hold_shape = {sizeof(struct record_hold), FIELDS(hold_fields), NULL};

static const struct record_field release_fields[] = {
	{1, GUID, REQUIRED, AT(record_release, guid), 0, NULL},
	{2, U32, 0, AT(record_release, number), UINT32_MAX, NULL},
	{3, U64, REQUIRED, AT(record_release, at_ms), INT64_MAX, NULL},
	{4, STR, 0, AT(record_release, who), RECORD_TEXT_BYTES_MAX, NULL},
};
static const struct record_shape release_shape = {sizeof(struct record_release), FIELDS(release_fields), NULL};

static const struct record_field delete_fields[] = {
	{1, GUID, REQUIRED, AT(record_delete, guid), 0, NULL},
	{2, U32, 0, AT(record_delete, number), UINT32_MAX, NULL},
	{3, U64, REQUIRED, AT(record_delete, at_ms), INT64_MAX, NULL},
	{4, STR, 0, AT(record_delete, who), RECORD_TEXT_BYTES_MAX, NULL},
	{5, STR, 0, AT(record_delete, why), RECORD_TEXT_BYTES_MAX, NULL},
};
static const struct record_shape delete_shape = {sizeof(struct record_delete), FIELDS(delete_fields), NULL};

static const struct record_field warned_fields[] = {
	{1, U64, REQUIRED, AT(record_warned, at_ms), INT64_MAX, NULL},
	{2, LIST, REQUIRED, AT(record_warned, refs), RECORD_RECIPIENTS_MAX, &ref_shape},
	{3, LIST, 0, AT(record_warned, begets), RECORD_RECIPIENTS_MAX, &enter_shape},
};
static const struct record_shape warned_shape = {sizeof(struct record_warned), FIELDS(warned_fields), NULL};

static const struct record_field feature_fields[] = {
	{1, U32, REQUIRED, AT(record_feature, type), UINT16_MAX, NULL},
	{2, U32, REQUIRED, AT(record_feature, version), UINT8_MAX, NULL},
};
static const struct record_shape feature_shape = {sizeof(struct record_feature), FIELDS(feature_fields), NULL};

static const struct record_field features_fields[] = {{1, LIST, REQUIRED, AT(record_features, may), 256, &feature_shape}};
static const struct record_shape features_shape = {sizeof(struct record_features), FIELDS(features_fields), NULL};

static const struct record_field policy_fields[] = {{1, U32, REQUIRED, AT(record_policy, copies), 9, NULL}};
static const struct record_shape policy_shape = {sizeof(struct record_policy), FIELDS(policy_fields), NULL};

static const struct record_field one_route_fields[] = {
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
static const struct record_shape one_route_shape = {sizeof(struct record_one_route), FIELDS(one_route_fields), check_one_route};

static const struct record_field route_fields[] = {
	{1, U64, REQUIRED, AT(record_route, at_ms), INT64_MAX, NULL},
	{2, LIST, REQUIRED, AT(record_route, routes), RECORD_RECIPIENTS_MAX, &one_route_shape},
};
static const struct record_shape route_shape = {sizeof(struct record_route), FIELDS(route_fields), NULL};

static const struct record_field mend_fields[] = {
	{1, U64, REQUIRED, AT(record_mend, at_ms), INT64_MAX, NULL},
	{2, STR, 0, AT(record_mend, who), RECORD_TEXT_BYTES_MAX, NULL},
	{3, STR, 0, AT(record_mend, why), RECORD_TEXT_BYTES_MAX, NULL},
};
static const struct record_shape mend_shape = {sizeof(struct record_mend), FIELDS(mend_fields), NULL};

static const struct record_field leave_fields[] = {
	{1, U32, REQUIRED, AT(record_leave, number), UINT32_MAX, NULL},
	{2, STR, REQUIRED, AT(record_leave, key), RECORD_TEXT_BYTES_MAX, NULL},
};
static const struct record_shape leave_shape = {sizeof(struct record_leave), FIELDS(leave_fields), NULL};

static const struct record_field requeue_fields[] = {
	{1, GUID, REQUIRED, AT(record_requeue, guid), 0, NULL},
	{2, U64, REQUIRED, AT(record_requeue, at_ms), INT64_MAX, NULL},
	{3, STR, 0, AT(record_requeue, who), RECORD_TEXT_BYTES_MAX, NULL},
	{4, LIST, 0, AT(record_requeue, leave), RECORD_RECIPIENTS_MAX, &leave_shape},
	{5, LIST, 0, AT(record_requeue, come), RECORD_RECIPIENTS_MAX, &recipient_shape},
};
static const struct record_shape requeue_shape = {sizeof(struct record_requeue), FIELDS(requeue_fields), check_requeue};

static const struct record_shape retired_shape = {0, NULL, 0, NULL};

static const struct record_type_row types[] = {
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

const struct record_type_row *record_type_row(unsigned type)
{
	return type < sizeof types / sizeof *types && types[type].shape ? &types[type] : NULL;
}
