// SPDX-License-Identifier: Apache-2.0
// Asking a server for single entries. The worker fills an arena; the fiber sends what is there, line by line, so that a slow
// asker holds no connection to the server.
#include "entries.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/must.h"
#include "dn.h"
#include "ldap_link.h"
#include "poll_server.h"
#include "profile_search.h"

enum { VALUE_BYTES_MAX = CONTROL_LINE_BYTES_MAX / 2 }; // base64 and the line around it

struct entries {
	const struct profile *profile; // borrowed
	struct watchdog *watchdog;
};

struct found {
	size_t which;
	struct str name, value;
};

struct job {
	struct entries *entries;
	const struct settings *settings;
	const char *provider;
	const json_t *dns;
	struct arena *arena;         // owned
	const char **attributes;
	struct found *found;         // owned
	size_t n, room, which;
	int64_t end_ms; // of all of it
	enum err_code code;
	struct err err;
};

enum err_code entries_new(const struct profile *profile, struct entries **entries_out, struct err *err)
{
	struct entries *entries = calloc(1, sizeof *entries);
	must(entries != NULL);
	entries->profile = profile;
	enum err_code code = watchdog_start(&entries->watchdog, err);
	if (code)
		free(entries);
	else
		*entries_out = entries;
	return code;
}

void entries_end_waits(struct entries *entries)
{
	if (entries)
		watchdog_end_waits(entries->watchdog);
}

void entries_free(struct entries **entries)
{
	if (*entries == NULL)
		return;
	watchdog_stop(&(*entries)->watchdog);
	free(*entries);
	*entries = NULL;
}

// --- On a worker ---

static void add(struct job *job, struct str name, struct str value)
{
	if (job->n == job->room) {
		job->room = job->room ? 2 * job->room : 64;
		job->found = reallocarray(job->found, job->room, sizeof *job->found);
		must(job->found != NULL);
	}
	job->found[job->n++] = (struct found){job->which, arena_dup(job->arena, name), arena_dup(job->arena, value)};
}

// A server may say more than it was asked for: hashes.
static bool was_asked(const struct job *job, struct str name)
{
	for (size_t i = 0; job->attributes[i]; i++)
		if (str_eq_nocase(name, str_of_c(job->attributes[i])))
			return true;
	return false;
}

static bool take_entry(void *context, const struct raw_entry *entry)
{
	struct job *job = context;
	struct poll_server server;
	struct guid uuid;
	char text[GUID_TEXT_BYTES];
	bool too_large = false;
	poll_server_begin(&server, STR(""));
	poll_server_base(&server, entry, job->settings->ldap_id_attribute, STR(""));
	for (size_t i = 0; i < entry->n_values; i++) {
		too_large = too_large || entry->values[i].value.n > VALUE_BYTES_MAX;
		if (was_asked(job, entry->values[i].name) && !str_eq_nocase(entry->values[i].name, STR("entryUUID")))
			add(job, entry->values[i].name, entry->values[i].value);
	}
	if (poll_server_id(&server, entry, &uuid))
		add(job, STR("entryUUID"), guid_text(&uuid, text));
	if (entry->partial)
		add(job, STR(""), STR(""));
	if (too_large || arena_overflowed(job->arena))
		job->code = err_set(&job->err, ERR_LIMIT, "%.*s is too large to be looked at", STR_FMT(entry->dn));
	return true;
}

// At the base, or beneath it.
static bool is_below(struct str dn, struct str base)
{
	const struct guid wanted = dn_key(base);
	struct str rdn;
	struct guid key;
	do {
		key = dn_key(dn);
		if (guid_eq(&key, &wanted))
			return true;
	} while (dn_cut(dn, &rdn, &dn) && dn.n);
	return false;
}

static enum err_code ask_server(struct job *job, const char *uri)
{
	struct ldap_link *link = NULL;
	size_t i;
	const json_t *dn;
	job->n = 0;
	job->code = ldap_link_open(job->settings, uri, job->entries->watchdog, &link, &job->err);
	json_array_foreach(job->dns, i, dn) {
		const char *name = json_string_value(dn);
		const struct ldap_link_search search = {
			.base = name, .filter = "(objectClass=*)", .base_only = true, .attributes = job->attributes};
		job->which = i;
		if (job->code == ERR_OK && clock_mono_exact_ms() > job->end_ms)
			job->code = err_set(&job->err, ERR_TIMEOUT, "%zu entries were not told within %d s", json_array_size(job->dns),
				ENTRIES_MS_MAX / 1000);
		if (job->code || name == NULL || !dn_is_valid(str_of_c(name)) ||
			!is_below(str_of_c(name), job->settings->ldap_base))
			continue;
		enum err_code code = ldap_link_search(link, &search, take_entry, job, &job->err);
		if (job->code == ERR_OK && code != ERR_NOTFOUND)
			job->code = code;
	}
	ldap_link_close(&link);
	return job->code ? err_wrap(&job->err, "%s", uri) : ERR_OK;
}

static void make_attributes(struct job *job)
{
	const char *ids[POLL_BASE_ATTRIBUTES_MAX];
	struct profile_search search;
	size_t n = 0, n_ids = 0;
	profile_search_all(job->entries->profile, false, job->arena, &search);
	poll_server_base_attributes(job->settings->ldap_id_attribute.n ? job->settings->ldap_id_attribute.p : "", "", ids);
	while (search.attributes[n])
		n++;
	while (ids[n_ids])
		n_ids++;
	job->attributes = arena_must(job->arena, (n + n_ids + 1) * sizeof *job->attributes);
	memcpy(job->attributes, search.attributes, n * sizeof *job->attributes);
	memcpy(job->attributes + n, ids, (n_ids + 1) * sizeof *job->attributes);
}

static void run(void *arg)
{
	struct job *job = arg;
	const struct settings_list *uris = &job->settings->ldap_uri;
	struct str first = str_of_c(job->provider);
	job->end_ms = clock_mono_exact_ms() + ENTRIES_MS_MAX;
	make_attributes(job);
	job->code = ERR_CONNECT;
	for (size_t i = 0; i < uris->n && job->code; i++)
		if (str_eq(uris->v[i], first))
			job->code = ask_server(job, uris->v[i].p);
	for (size_t i = 0; i < uris->n && job->code && clock_mono_exact_ms() <= job->end_ms; i++)
		if (!str_eq(uris->v[i], first))
			job->code = ask_server(job, uris->v[i].p);
}

// --- On the fiber ---

static bool send_value(struct control_request *request, const struct found *found)
{
	struct buf text;
	buf_init(&text, CONTROL_LINE_BYTES_MAX);
	must(codec_base64_add(&text, found->value));
	json_t *item = json_pack("{s:I, s:s%, s:s%}", "which", (json_int_t)found->which, "name",
		found->name.n ? found->name.p : "", found->name.n, "value", text.n ? text.p : "", text.n);
	buf_fini(&text);
	return item == NULL || control_item(request, item) == ERR_OK; // a name that is no text is none of ours
}

void entries_answer(struct entries *entries, struct settings_snapshot *settings, const char *provider,
	struct worker_pool *workers, struct control_request *request)
{
	const json_t *dns = json_object_get(control_args(request), "dns");
	struct job *job = calloc(1, sizeof *job);
	must(job != NULL);
	*job = (struct job){.entries = entries, .settings = settings_of(settings), .provider = provider, .dns = dns};
	if (!json_is_array(dns) || json_array_size(dns) > ENTRIES_DNS_MAX) {
		control_fail(request, ERR_INVALID, "dns is a list of up to %d names", ENTRIES_DNS_MAX);
		free(job);
		return;
	}
	job->arena = arena_new(ENTRIES_BYTES_MAX);
	enum err_code code = worker_run(workers, run, job, &job->err);
	code = code ? code : job->code;
	if (code)
		control_fail(request, code, "%s", job->err.text);
	bool sent = code == ERR_OK;
	for (size_t i = 0; sent && i < job->n; i++)
		sent = send_value(request, &job->found[i]);
	if (sent)
		control_ok(request, NULL);
	arena_free(&job->arena);
	free(job->found);
	free(job);
}
