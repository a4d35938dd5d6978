// SPDX-License-Identifier: Apache-2.0
// Class of service: the entry of an account first, then the class that it names.
#include "router/service.h"

#include "base/must.h"
#include "mail/addr.h"

enum service_answer service_class(struct directory *directory, const struct entry *entry, struct arena *arena, const struct entry **class_out)
{
	struct directory_match match;
	struct str class = entry_first(entry, ATTR_PH_CLASS_OF_SERVICE);
	if (class.p == NULL)
		return SERVICE_UNSET;
	switch (directory_find(directory, DIRECTORY_CLASS_OF_SERVICE, addr_local_key(arena, class), arena, &match)) {
	case DIRECTORY_FOUND:
		*class_out = match.entry;
		return SERVICE_SET;
	case DIRECTORY_NONE:
		return SERVICE_UNSET;
	case DIRECTORY_AMBIGUOUS:
	case DIRECTORY_UNAVAILABLE:
		return SERVICE_UNAVAILABLE;
	}
	unreachable("directory_answer");
}

// The entry that has values of attr. UNSET: neither has.
static enum service_answer find_source(struct directory *directory, const struct entry *entry, enum attr attr, struct arena *arena,
	const struct entry **source_out)
{
	*source_out = entry;
	if (entry_has(entry, attr))
		return SERVICE_SET;
	enum service_answer answer = service_class(directory, entry, arena, source_out);
	return answer == SERVICE_SET && !entry_has(*source_out, attr) ? SERVICE_UNSET : answer;
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
static bool limit_of(struct directory *directory, const struct entry *entry, enum attr attr, int64_t unset, struct arena *arena, int64_t *max_out)
{
	struct service_grant grant;
	switch (service_number(directory, entry, attr, arena, &grant)) {
	case SERVICE_SET:
		*max_out = grant.value;
		return true;
	case SERVICE_UNSET:
		*max_out = unset;
		return true;
	case SERVICE_UNAVAILABLE:
		return false;
	}
	unreachable("service_answer");
}

bool service_submission(struct directory *directory, struct str account, int64_t hour_default, struct arena *arena,
	struct service_submission *submission_out)
{
	struct guid uuid;
	struct directory_match match;
	struct service_submission may;
	directory_begin(directory);
	bool known = guid_parse(account, &uuid) &&
		     directory_find(directory, DIRECTORY_UUID, guid_bytes(&uuid), arena, &match) == DIRECTORY_FOUND &&
		     limit_of(directory, match.entry, ATTR_PH_MAX_MESSAGE_BYTES, SERVICE_UNLIMITED, arena, &may.message_bytes_max) &&
		     limit_of(directory, match.entry, ATTR_PH_MAX_RECIPIENTS, SERVICE_UNLIMITED, arena, &may.recipients_max) &&
		     limit_of(directory, match.entry, ATTR_PH_SUBMIT_RATE, hour_default, arena, &may.hour_max);
	directory_end(directory);
	if (known)
		*submission_out = may;
	return known;
}
