// SPDX-License-Identifier: Apache-2.0
// Look-ups for log-ins. One connection under a mutex: a look-up takes microseconds, the hash that follows it milliseconds.
#include "ldapsync/credentials.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "directory_source.h"
#include "mail/addr.h"
#include "schema/ddl_shadow.h"

struct credentials {
	pthread_mutex_t mutex;
	struct reader *reader;
	char *default_realm; // owned
};

struct credentials *credentials_open(const char *path, struct str default_realm)
{
	struct credentials *credentials = calloc(1, sizeof *credentials);
	must(credentials != NULL && pthread_mutex_init(&credentials->mutex, NULL) == 0);
	credentials->reader = reader_new(path, &ddl_credentials);
	credentials->default_realm = strndup(default_realm.n ? default_realm.p : "", default_realm.n);
	must(credentials->default_realm != NULL);
	return credentials;
}

void credentials_close(struct credentials **credentials_in)
{
	struct credentials *credentials = *credentials_in;
	if (credentials == NULL)
		return;
	reader_free(&credentials->reader);
	pthread_mutex_destroy(&credentials->mutex);
	free(credentials->default_realm);
	free(credentials);
	*credentials_in = NULL;
}

// The word of phService for a service of SASL.
static struct str service_word(struct str service)
{
	if (str_eq(service, STR("smtp")))
		return STR("submission");
	if (str_eq(service, STR("pop")))
		return STR("pop3");
	return service;
}

static bool services_allow(const struct entry *entry, struct str word)
{
	struct entry_cursor cursor = {0};
	struct str value;
	bool any = false;
	while (entry_next(entry, ATTR_PH_SERVICE, &cursor, &value)) {
		any = true;
		if (str_eq_nocase(value, word))
			return true;
	}
	return !any;
}

const char *credentials_forbid(const struct entry *entry, const struct credentials_class *class, struct str service,
	bool *later_out)
{
	enum entry_status_answer status = entry_status_row(entry_status(entry))->log_in;
	*later_out = status == ENTRY_STATUS_LATER;
	if (status != ENTRY_STATUS_YES)
		return status == ENTRY_STATUS_LATER ? "phStatus is no status" : "phStatus forbids it";
	if (entry_is_expired(entry, clock_wall_ms()))
		return "phExpires has passed";
	if (!services_allow(entry, service))
		return "phService does not grant it";
	if (entry_has(entry, ATTR_PH_SERVICE))
		return NULL;
	if (class->entry && !services_allow(class->entry, service))
		return "phService of the class of service does not grant it";
	*later_out = class->is_missing;
	return class->is_missing ? "phClassOfService names a class that nobody has" : NULL;
}

// "label:services:{SCHEME}hash", services separated by commas, empty or "*" for all. False when it is not for this service.
static bool app_password(struct str value, struct str word, struct str *hash_out)
{
	struct str label, rest, services, one;
	if (!str_cut(value, ':', &label, &rest) || !str_cut(rest, ':', &services, &rest))
		return false;
	*hash_out = rest;
	if (services.n == 0 || str_eq(services, STR("*")))
		return true;
	while (services.n) {
		one = services;
		struct str after = STR_NONE;
		str_cut(services, ',', &one, &after);
		if (str_eq_nocase(str_trim(one), word))
			return true;
		services = after;
	}
	return false;
}

static size_t count_values(const struct entry *entry, enum attr attr)
{
	struct entry_cursor cursor = {0};
	struct str value;
	size_t n = 0;
	while (entry_next(entry, attr, &cursor, &value))
		n++;
	return n;
}

static bool fill(const struct entry *entry, const struct credentials_class *class, struct str word, struct arena *arena,
	struct sasl_credentials *out)
{
	struct str *scram = arena_array(arena, count_values(entry, ATTR_PH_SCRAM), sizeof *scram);
	struct str *passwords = arena_array(arena, count_values(entry, ATTR_USER_PASSWORD) + count_values(entry,
		ATTR_PH_APP_PASSWORD), sizeof *passwords);
	char text[GUID_TEXT_BYTES];
	struct sasl_credentials made = {.scram = scram, .passwords = passwords};
	if (scram == NULL || passwords == NULL)
		return false;
	struct entry_cursor cursor = {0};
	struct str value, hash;
	while (entry_next(entry, ATTR_PH_SCRAM, &cursor, &value))
		scram[made.scram_n++] = value;
	cursor = (struct entry_cursor){0};
	while (entry_next(entry, ATTR_USER_PASSWORD, &cursor, &value))
		passwords[made.passwords_n++] = value;
	cursor = (struct entry_cursor){0};
	while (entry_next(entry, ATTR_PH_APP_PASSWORD, &cursor, &value))
		if (app_password(value, word, &hash))
			passwords[made.passwords_n++] = hash;
	made.why_not = credentials_forbid(entry, class, word, &made.later);
	made.allowed = made.why_not == NULL;
	made.account = arena_dup(arena, guid_text(&entry->uuid, text));
	if (made.account.p == NULL)
		return false;
	*out = made;
	return true;
}

static enum directory_answer find_class(struct credentials *credentials, const struct entry *entry, struct arena *arena,
	struct credentials_class *class_out)
{
	struct directory_match match;
	struct str name;
	for (unsigned tries = 0; entry_class_of_service(entry, tries, &name); tries++) {
		enum directory_answer answer = reader_find(credentials->reader, DIRECTORY_CLASS_OF_SERVICE, addr_local_key(arena,
			name), 0, arena, &match);
		if (answer == DIRECTORY_FOUND)
			*class_out = (struct credentials_class){.entry = match.entry};
		if (answer != DIRECTORY_NONE)
			return answer;
		class_out->is_missing = !entry_class_is_default(entry);
	}
	return DIRECTORY_FOUND;
}

// The entry of a login, and its class of service where that counts.
static enum directory_answer find(struct credentials *credentials, struct str key, struct arena *arena,
	const struct entry **entry_out, struct credentials_class *class_out)
{
	struct directory_match match;
	enum directory_answer answer = reader_find(credentials->reader, DIRECTORY_LOGIN, key, 0, arena, &match);
	*class_out = (struct credentials_class){0};
	if (answer != DIRECTORY_FOUND)
		return answer;
	*entry_out = match.entry;
	return entry_has(match.entry, ATTR_PH_SERVICE) ? DIRECTORY_FOUND : find_class(credentials, match.entry, arena, class_out);
}

enum sasl_lookup credentials_lookup(void *context, struct str service, struct str login, struct arena *arena,
	struct sasl_credentials *out)
{
	struct credentials *credentials = context;
	const struct entry *entry;
	struct credentials_class class;
	enum directory_answer answer = DIRECTORY_UNAVAILABLE;
	struct str key = directory_login_key(arena, login, str_of_c(credentials->default_realm));
	if (key.p == NULL)
		return arena_overflowed(arena) ? SASL_UNAVAILABLE : SASL_UNKNOWN;
	pthread_mutex_lock(&credentials->mutex);
	if (reader_begin(credentials->reader)) {
		answer = find(credentials, key, arena, &entry, &class);
		reader_end(credentials->reader);
	}
	pthread_mutex_unlock(&credentials->mutex);
	switch (answer) {
	case DIRECTORY_NONE:
		return SASL_UNKNOWN;
	case DIRECTORY_AMBIGUOUS:
	case DIRECTORY_UNAVAILABLE:
		return SASL_UNAVAILABLE;
	case DIRECTORY_FOUND:
		return fill(entry, &class, service_word(service), arena, out) ? SASL_FOUND : SASL_UNAVAILABLE;
	}
	unreachable("directory_answer");
}
