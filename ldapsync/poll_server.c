// SPDX-License-Identifier: Apache-2.0
// Ids and marks of changes as servers have them.
#include "poll_server.h"

#include <time.h>

#include "base/must.h"
#include "dn.h"
#include "poll_table.h"
#include "schema/entry.h"
#include "sync_wire.h"

const char *const poll_server_root_attributes[] = {"supportedControl", "highestCommittedUSN", "dsServiceName",
	"defaultNamingContext", NULL};
const char *const poll_server_service_attributes[] = {"invocationId", NULL};

// In order of preference. hyphens: behind which octets its text has one, as bits.
enum { HYPHENS_UUID = 1 << 4 | 1 << 6 | 1 << 8 | 1 << 10, HYPHENS_389 = 1 << 4 | 1 << 8 | 1 << 12 };
static const struct {
	const char *name;
	enum poll_ids ids;
	unsigned hyphens;
} known_ids[] = {
	{"nsUniqueId", POLL_IDS_HEX, HYPHENS_389},     {"entryUUID", POLL_IDS_HEX, HYPHENS_UUID},
	{"objectGUID", POLL_IDS_GUID, 0},
	{"ibm-entryUUID", POLL_IDS_HEX, HYPHENS_UUID}, {"orclGUID", POLL_IDS_HEX, 0},             {"GUID", POLL_IDS_TEXT, 0},
};
static const struct {
	const char *name;
	enum poll_marks marks;
} known_marks[] = {
	{"uSNChanged", POLL_MARKS_USN},
	{"entryCSN", POLL_MARKS_CSN},
	{"modifyTimestamp", POLL_MARKS_TIME},
	{"whenChanged", POLL_MARKS_TIME},
};
enum { KNOWN_IDS = sizeof known_ids / sizeof *known_ids, KNOWN_MARKS = sizeof known_marks / sizeof *known_marks };

static bool find(const struct raw_entry *entry, const char *name, struct str *value_out)
{
	for (size_t i = 0; i < entry->n_values; i++)
		if (str_eq_nocase(entry->values[i].name, str_of_c(name))) {
			*value_out = entry->values[i].value;
			return true;
		}
	return false;
}

// --- The root DSE ---

void poll_server_begin(struct poll_server *server, struct str uri)
{
	static const struct guid none;
	*server = (struct poll_server){.identity = guid_derive(&none, uri, STR("server"))};
}

void poll_server_root(struct poll_server *server, const struct raw_entry *root)
{
	struct str value;
	uint64_t number;
	for (size_t i = 0; i < root->n_values; i++) {
		if (!str_eq_nocase(root->values[i].name, STR("supportedControl")))
			continue;
		server->has_controls = true;
		server->offers_sync |= str_eq(root->values[i].value, STR(SYNC_OID_REQUEST));
		server->offers_pages |= str_eq(root->values[i].value, STR("1.2.840.113556.1.4.319"));        // RFC 2696
		server->offers_domain_scope |=
			str_eq(root->values[i].value, STR("1.2.840.113556.1.4.1339")); // [MS-ADTS] 3.1.1.3.4.1.12
	}
	if (find(root, "highestCommittedUSN", &value) && str_to_u64(value, INT64_MAX, &number)) {
		server->counts = true;
		server->usn = (int64_t)number;
	}
	// One name may stand for many domain controllers, and each counts by itself.
	if (find(root, "dsServiceName", &value)) {
		server->identity = guid_derive(&server->identity, value, STR("service"));
		(void)str_to_c(value, server->service, sizeof server->service);
		if (find(root, "defaultNamingContext", &value))
			(void)str_to_c(value, server->naming_context, sizeof server->naming_context);
	}
}

// A domain controller gets another invocationId when it is restored, and counts on from where it was then ([MS-ADTS] 3.1.1.1.9).
void poll_server_service(struct poll_server *server, const struct raw_entry *service)
{
	struct str value;
	if (!find(service, "invocationId", &value))
		return;
	server->identity = guid_derive(&server->identity, value, STR("invocation"));
	if (value.n == sizeof server->invocation.b)
		memcpy(server->invocation.b, value.p, value.n);
	server->tells_setback = true;
}

bool poll_server_usn(const struct poll_server *server, int64_t usn, struct csns *csns)
{
	return !guid_is_zero(&server->invocation) && usn >= 0 && csns_add_usn(csns, server->invocation.b, (uint64_t)usn);
}

// --- The base ---

void poll_server_base_attributes(const char *id_attribute, const char *mark_attribute,
	const char *names[POLL_BASE_ATTRIBUTES_MAX])
{
	size_t n = 0;
	_Static_assert(KNOWN_IDS + KNOWN_MARKS + 3 <= POLL_BASE_ATTRIBUTES_MAX, "room for all");
	for (size_t i = 0; i < KNOWN_IDS; i++)
		names[n++] = known_ids[i].name;
	for (size_t i = 0; i < KNOWN_MARKS; i++)
		names[n++] = known_marks[i].name;
	if (id_attribute[0])
		names[n++] = id_attribute;
	if (mark_attribute[0])
		names[n++] = mark_attribute;
	names[n] = NULL;
}

static bool parse_id(enum poll_ids ids, struct str value, struct guid *uuid_out);
static bool parse_mark(enum poll_marks marks, struct str value, int64_t *mark_out);

static void choose_id(struct poll_server *server, const struct raw_entry *base)
{
	struct str value;
	struct guid uuid;
	for (size_t i = 0; i < KNOWN_IDS; i++)
		if (find(base, known_ids[i].name, &value) && parse_id(known_ids[i].ids, value, &uuid)) {
			server->ids = known_ids[i].ids;
			must(str_to_c(str_of_c(known_ids[i].name), server->id_name, sizeof server->id_name));
			return;
		}
}

static void choose_mark(struct poll_server *server, const struct raw_entry *base)
{
	struct str value;
	int64_t mark;
	for (size_t i = 0; i < KNOWN_MARKS; i++) {
		if (known_marks[i].marks == POLL_MARKS_USN && !server->counts)
			continue;
		if (find(base, known_marks[i].name, &value) && parse_mark(known_marks[i].marks, value, &mark)) {
			server->marks = known_marks[i].marks;
			must(str_to_c(str_of_c(known_marks[i].name), server->mark_name, sizeof server->mark_name));
			return;
		}
	}
}

void poll_server_base(struct poll_server *server, const struct raw_entry *base, struct str id_attribute,
	struct str mark_attribute)
{
	server->ids = POLL_IDS_DN;
	server->marks = POLL_MARKS_NONE;
	if (id_attribute.n && str_to_c(id_attribute, server->id_name, sizeof server->id_name)) {
		server->ids = POLL_IDS_TEXT;
		for (size_t i = 0; i < KNOWN_IDS; i++)
			if (str_eq_nocase(id_attribute, str_of_c(known_ids[i].name)))
				server->ids = known_ids[i].ids;
	} else {
		choose_id(server, base);
	}
	if (mark_attribute.n && str_to_c(mark_attribute, server->mark_name, sizeof server->mark_name)) {
		server->marks = POLL_MARKS_TIME;
		for (size_t i = 0; i < KNOWN_MARKS; i++)
			if (str_eq_nocase(mark_attribute, str_of_c(known_marks[i].name)))
				server->marks = known_marks[i].marks;
	} else {
		choose_mark(server, base);
	}
	// Made anew, it may have entries older than its predecessor's latest.
	struct guid uuid;
	server->identity = guid_derive(&server->identity, str_of_c(server->id_name), str_of_c(server->mark_name));
	(void)poll_server_id(server, base, &server->directory);
	if (poll_server_id(server, base, &uuid))
		server->identity = guid_derive(&server->identity, guid_bytes(&uuid), STR("base"));
	server->tells_setback = server->tells_setback && server->marks == POLL_MARKS_USN;
}

// --- Ids ---

static bool parse_hex(struct str value, struct guid *uuid_out)
{
	struct guid uuid = {0};
	size_t n = 0;
	for (size_t i = 0; i < value.n; i++) {
		int digit = chr_hex(value.p[i]);
		if (value.p[i] == '-')
			continue;
		if (digit < 0 || n == 2 * sizeof uuid.b)
			return false;
		uuid.b[n / 2] = (uint8_t)(uuid.b[n / 2] << 4 | digit);
		n++;
	}
	if (n != 2 * sizeof uuid.b || guid_is_zero(&uuid))
		return false;
	*uuid_out = uuid;
	return true;
}

// So that it reads as administrators of Active Directory know it ([MS-DTYP] 2.3.4: 32, 16 and 16 bits, least significant octet
// first).
static const uint8_t guid_order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

static bool parse_guid(struct str value, struct guid *uuid_out)
{
	struct guid uuid;
	if (value.n != sizeof uuid.b)
		return false;
	for (size_t i = 0; i < sizeof uuid.b; i++)
		uuid.b[i] = (uint8_t)value.p[guid_order[i]];
	if (guid_is_zero(&uuid))
		return false;
	*uuid_out = uuid;
	return true;
}

static bool parse_id(enum poll_ids ids, struct str value, struct guid *uuid_out)
{
	static const struct guid none;
	switch (ids) {
	case POLL_IDS_DN:
		return false;
	case POLL_IDS_HEX:
		return parse_hex(value, uuid_out);
	case POLL_IDS_GUID:
		return parse_guid(value, uuid_out);
	case POLL_IDS_TEXT:
		if (value.n)
			*uuid_out = guid_derive(&none, value, STR("id"));
		return value.n > 0;
	}
	unreachable("poll_ids");
}

bool poll_server_id(const struct poll_server *server, const struct raw_entry *entry, struct guid *uuid_out)
{
	struct str value;
	if (server->ids != POLL_IDS_DN && find(entry, server->id_name, &value) && parse_id(server->ids, value, uuid_out))
		return true;
	struct guid key = dn_key(entry->dn);
	*uuid_out = guid_derive(&key, STR_NONE, STR("entry")); // as intake.c has it
	return false;
}

static unsigned hyphens_of(const struct poll_server *server)
{
	for (size_t i = 0; i < KNOWN_IDS; i++)
		if (str_eq_nocase(str_of_c(server->id_name), str_of_c(known_ids[i].name)))
			return known_ids[i].hyphens;
	return 0;
}

bool poll_server_id_filter(const struct poll_server *server, const struct guid *uuid, struct buf *filter)
{
	if (server->ids == POLL_IDS_DN || server->ids == POLL_IDS_TEXT)
		return false;
	unsigned hyphens = hyphens_of(server);
	buf_printf(filter, "(%s=", server->id_name);
	for (size_t i = 0; i < sizeof uuid->b; i++) {
		if (server->ids == POLL_IDS_GUID)
			buf_printf(filter, "\\%02x", uuid->b[guid_order[i]]); // RFC 4515, 3; the order is its own inverse
		else
			buf_printf(filter, "%s%02x", hyphens & 1u << i ? "-" : "", uuid->b[i]);
	}
	buf_add_byte(filter, ')');
	return true;
}

// --- Marks ---

static bool parse_mark(enum poll_marks marks, struct str value, int64_t *mark_out)
{
	struct str time = value, rest;
	uint64_t number;
	switch (marks) {
	case POLL_MARKS_NONE:
		return false;
	case POLL_MARKS_CSN:
		return str_cut(value, '#', &time, &rest) && entry_time_parse(time, mark_out);
	case POLL_MARKS_TIME:
		return entry_time_parse(time, mark_out);
	case POLL_MARKS_USN:
		if (!str_to_u64(value, INT64_MAX, &number))
			return false;
		*mark_out = (int64_t)number;
		return true;
	}
	unreachable("poll_marks");
}

bool poll_server_mark(const struct poll_server *server, const struct raw_entry *entry, int64_t *mark_out)
{
	struct str value;
	return server->marks != POLL_MARKS_NONE && find(entry, server->mark_name, &value) &&
	       parse_mark(server->marks, value, mark_out);
}

static void add_time(struct buf *filter, int64_t mark)
{
	time_t seconds = (time_t)(mark / 1000);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	if (tm.tm_year > 9999 - 1900) // no server has such a year
		gmtime_r(&(time_t){0}, &tm);
	buf_printf(filter, "%04d%02d%02d%02d%02d%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
		tm.tm_sec);
}

void poll_server_since(const struct poll_server *server, int64_t mark, struct buf *filter)
{
	mark = mark > 0 ? mark : 0;
	buf_printf(filter, "(%s>=", server->mark_name);
	switch (server->marks) {
	case POLL_MARKS_NONE:
		break;
	case POLL_MARKS_TIME:
		add_time(filter, mark);
		// Some have a fraction and some would not read one.
		buf_add(filter, str_eq_nocase(str_of_c(server->mark_name), STR("whenChanged")) ? STR(".0Z") : STR("Z"));
		break;
	case POLL_MARKS_CSN:
		add_time(filter, mark);
		buf_add(filter, STR(".000000Z#000000#000#000000"));
		break;
	case POLL_MARKS_USN:
		buf_add_u64(filter, (uint64_t)mark);
		break;
	}
	buf_add_byte(filter, ')');
}

uint64_t poll_server_digest(const struct poll_server *server, const struct raw_entry *entry)
{
	static const struct guid none;
	struct str mark = STR_NONE;
	if (server->marks != POLL_MARKS_NONE)
		(void)find(entry, server->mark_name, &mark);
	struct guid hash = guid_derive(&none, entry->dn, mark); // the same wherever and whenever: it is stored
	uint64_t digest;
	memcpy(&digest, hash.b, sizeof digest);
	return digest >= POLL_DIGEST_MIN ? digest : POLL_DIGEST_MIN;
}
