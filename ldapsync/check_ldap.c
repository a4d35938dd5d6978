// SPDX-License-Identifier: Apache-2.0
// LDAP servers tried as ldapsync would use them.
#include "ldapsync/check_ldap.h"

#include "base/must.h"
#include "ldap_link.h"
#include "profile_search.h"
#include "watchdog.h"

struct trial {
	const struct settings *settings;
	check_ldap_complain_fn *complain;
	void *context;
	struct watchdog *watchdog;
	struct profile_search search; // as ldapsync asks
	struct str server;
};

static void complain(const struct trial *trial, const char *setting, const char *what)
{
	trial->complain(trial->context, trial->server, setting, what, false);
}

static bool take_one(void *context, const struct raw_entry *entry)
{
	(void)entry;
	*(bool *)context = true;
	return false;
}

// False: the base is not there.
static bool look_for_entries(const struct trial *trial, struct ldap_link *link)
{
	static const char *const nothing[] = {"1.1", NULL}; // RFC 4511 section 4.5.1.8
	const struct settings *s = trial->settings;
	struct err err;
	bool found = false;
	const struct ldap_link_search base = {.base = s->ldap_base.p, .filter = "(objectClass=*)", .base_only = true, .attributes = nothing};
	const struct ldap_link_search ours = {.base = s->ldap_base.p, .filter = trial->search.filter, .attributes = nothing};
	if (ldap_link_search(link, &base, take_one, &found, &err) || !found) {
		complain(trial, "ldap_base", found ? err.text : "is not there, or is not shown to this identity; correct it, or what the server lets it read");
		return false;
	}
	found = false;
	enum err_code code = ldap_link_search(link, &ours, take_one, &found, &err);
	if (!found)
		complain(trial, s->ldap_filter.n ? "ldap_filter" : "ldap_base", code ? err.text :
			"has no domain, host or person of ours below it, or none that is shown to this identity; add them, or correct what "
			"the server lets it read");
	return true;
}

static void look_for_csns(const struct trial *trial, struct ldap_link *link)
{
	struct csns csns;
	struct err err;
	if (ldap_link_csns(link, trial->settings->ldap_base, &csns, &err))
		complain(trial, "ldap_base", err.text);
	else if (csns.n == 0 && trial->settings->ldap_driver != SETTINGS_LDAP_DRIVER_POLL)
		trial->complain(trial->context, trial->server, "ldap_driver",
			"the server shows neither contextCSN nor nsds50ruv, so that it cannot be told whether it lags: a slapd needs the overlay "
			"syncprov, a 389-ds replication, and both have to show it to this identity",
			true);
}

static void try_server(const struct trial *trial)
{
	struct ldap_link *link = NULL;
	struct err err;
	if (ldap_link_open(trial->settings, trial->server.p, trial->watchdog, &link, &err)) {
		complain(trial, "ldap_uri", err.text);
		return;
	}
	if (look_for_entries(trial, link))
		look_for_csns(trial, link);
	ldap_link_close(&link);
}

void check_ldap(const struct settings *settings, check_ldap_complain_fn *complain_fn, void *context)
{
	struct trial trial = {.settings = settings, .complain = complain_fn, .context = context};
	struct arena *arena = arena_new(PROFILE_SEARCH_BYTES);
	struct profile *profile = profile_new(settings->ldap_profile, &settings->ldap_map);
	struct err err;
	ldap_link_prepare(settings);
	profile_search_all(profile, false, arena, &trial.search);
	if (settings->ldap_filter.n)
		trial.search.filter = settings->ldap_filter.p;
	if (watchdog_start(&trial.watchdog, &err))
		complain(&trial, "ldap_uri", err.text);
	for (size_t i = 0; trial.watchdog && i < settings->ldap_uri.n; i++) {
		trial.server = settings->ldap_uri.v[i];
		try_server(&trial);
	}
	watchdog_stop(&trial.watchdog);
	profile_free(&profile);
	arena_free(&arena);
}
