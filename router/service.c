// SPDX-License-Identifier: Apache-2.0
// Class of service: the entry of an account first, then the class that it names.
#include "router/service.h"

#include "base/clock.h"
#include "base/must.h"
#include "mail/addr.h"
#include "router/home.h"

enum service_answer service_class(struct directory *directory, const struct entry *entry, struct arena *arena,
	struct service_class *class_out)
{
	struct directory_match match;
	struct str name;
	*class_out = (struct service_class){0};
	for (unsigned tries = 0; entry_class_of_service(entry, tries, &name); tries++) {
		switch (directory_find(directory, DIRECTORY_CLASS_OF_SERVICE, addr_local_key(arena, name), arena, &match)) {
		case DIRECTORY_FOUND:
			class_out->entry = match.entry;
			return SERVICE_SET;
		case DIRECTORY_NONE:
			if (!entry_class_is_default(entry))
				class_out->missing = entry_first(entry, ATTR_PH_CLASS_OF_SERVICE);
			break;
		case DIRECTORY_AMBIGUOUS:
		case DIRECTORY_UNAVAILABLE:
			return SERVICE_UNAVAILABLE;
		}
	}
	return class_out->missing.n ? SERVICE_MISSING : SERVICE_UNSET;
}

// The entry that has values of attr. UNSET: neither has.
static enum service_answer find_source(struct directory *directory, const struct entry *entry, enum attr attr,
	struct arena *arena, const struct entry **source_out)
{
	struct service_class class;
	*source_out = entry;
	if (entry_has(entry, attr))
		return SERVICE_SET;
	enum service_answer answer = service_class(directory, entry, arena, &class);
	*source_out = class.entry;
	return answer == SERVICE_SET && !entry_has(class.entry, attr) ? SERVICE_UNSET : answer;
}

enum service_answer service_number(struct directory *directory, const struct entry *entry, enum attr attr, struct arena *arena,
	struct service_grant *grant_out)
{
	const struct entry *source;
	uint64_t number;
	enum service_answer answer = find_source(directory, entry, attr, arena, &source);
	if (answer != SERVICE_SET)
		return answer;
	struct str text = entry_first(source, attr);
	*grant_out = (struct service_grant){.value = SERVICE_UNLIMITED, .entry = source->dn, .attribute = attr_name(attr)};
	if (str_to_u64(text, INT64_MAX, &number))
		grant_out->value = (int64_t)number;
	return SERVICE_SET; // the intake lets only numbers and -1 through
}

// False: cannot know now.
static bool limit_of(struct directory *directory, const struct entry *entry, enum attr attr, int64_t unset, struct arena *arena,
	int64_t *max_out)
{
	struct service_grant grant;
	switch (service_number(directory, entry, attr, arena, &grant)) {
	case SERVICE_SET:
		*max_out = grant.value;
		return true;
	case SERVICE_UNSET:
		*max_out = unset;
		return true;
	case SERVICE_MISSING:
	case SERVICE_UNAVAILABLE:
		return false;
	}
	unreachable("service_answer");
}

static bool find_limits(struct directory *directory, const struct entry *entry, int64_t hour_default, struct arena *arena,
	struct service_submission *may)
{
	return limit_of(directory, entry, ATTR_PH_MAX_MESSAGE_BYTES, SERVICE_UNLIMITED, arena, &may->message_bytes_max) &&
	       limit_of(directory, entry, ATTR_PH_MAX_RECIPIENTS, SERVICE_UNLIMITED, arena, &may->recipients_max) &&
	       limit_of(directory, entry, ATTR_PH_SUBMIT_RATE, hour_default, arena, &may->hour_max);
}

// Of an entry or of its domain.
static enum service_sending by_status(const struct entry *entry, enum service_sending no)
{
	switch (entry_status_row(entry_status(entry))->log_in) {
	case ENTRY_STATUS_NO:
		return no;
	case ENTRY_STATUS_LATER:
		return SERVICE_CANNOT_KNOW;
	case ENTRY_STATUS_YES:
		break;
	}
	return entry_is_expired(entry, clock_wall_ms()) ? no : SERVICE_MAY_SEND;
}

// The entry first: what it forbids needs no domain.
static enum service_sending by_statuses(struct directory *directory, const struct entry *entry, enum service_sending no,
	struct arena *arena)
{
	const struct entry *domain;
	enum service_sending answer = by_status(entry, no);
	if (answer != SERVICE_MAY_SEND)
		return answer;
	switch (home_domain(directory, entry, arena, &domain)) {
	case DIRECTORY_FOUND:
		return by_status(domain, no);
	case DIRECTORY_NONE:
		return SERVICE_MAY_SEND;
	case DIRECTORY_AMBIGUOUS:
	case DIRECTORY_UNAVAILABLE:
		return SERVICE_CANNOT_KNOW;
	}
	unreachable("directory_answer");
}

static enum service_sending decide(struct directory *directory, const struct entry *entry, int64_t hour_default,
	struct arena *arena, struct service_submission *submission_out)
{
	struct service_submission may;
	struct directory_status shadow = directory_status(directory);
	enum service_sending no = shadow.complete && shadow.fresh ? SERVICE_MAY_NOT_SEND : SERVICE_CANNOT_KNOW;
	enum service_sending answer = by_statuses(directory, entry, no, arena);
	if (answer != SERVICE_MAY_SEND)
		return answer;
	if (!find_limits(directory, entry, hour_default, arena, &may))
		return SERVICE_CANNOT_KNOW;
	if (may.message_bytes_max == 0 || may.recipients_max == 0 || may.hour_max == 0)
		return no;
	*submission_out = may;
	return SERVICE_MAY_SEND;
}

enum service_sending service_submission(struct directory *directory, struct str account, int64_t hour_default,
	struct arena *arena, struct service_submission *submission_out)
{
	struct guid uuid;
	struct directory_match match;
	enum service_sending answer = SERVICE_CANNOT_KNOW;
	directory_begin(directory);
	if (guid_parse(account, &uuid) &&
		directory_find(directory, DIRECTORY_UUID, guid_bytes(&uuid), arena, &match) == DIRECTORY_FOUND)
		answer = decide(directory, match.entry, hour_default, arena, submission_out);
	directory_end(directory);
	return answer;
}
