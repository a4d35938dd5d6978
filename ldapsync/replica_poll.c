// SPDX-License-Identifier: Apache-2.0
// One connection to a server that does not tell changes by itself: which driver it needs, what it offers, when to ask what.
//
// The thread of replica.c comes here after CONNECT and VERIFY. REFRESH is the first load of a server, or, when the same server is
// there again, the first question for changes; then PERSIST, also while it is asked. Each question that was answered as a whole
// confirms the shadow as of when it was asked (I8). What a question has brought is committed as one transaction at its end (I1)
// or not at all: a limit of size or time, a referral or a connection that breaks leaves the shadow as it was, and the server is
// left for the next one (I5).
//
// Crash story: what is known of the server is committed with the data (poll_store.c), so a start asks for what has changed since.
#include <ldap.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "poll_parts.h"

enum {
	POLLS_PER_FRESH = 3,
	LAG_SHOWN_MS = 1000,
	PAGE_ENTRIES = 500, // Active Directory gives 1000, slapd 500 to whoever has no limits of their own
};

// --- Which driver, and what the server offers ---

static bool take_root(void *context, const struct raw_entry *entry)
{
	poll_server_root(context, entry);
	return true;
}

static struct poll_config config_of(const struct settings *settings)
{
	struct poll_config config = {.poll_ms = settings->ldap_poll_interval_s * 1000,
		.compare_ms = settings->ldap_compare_interval_s * 1000,
		.overlap_ms = settings->ldap_poll_overlap_s * 1000};
	if (settings->ldap_driver == SETTINGS_LDAP_DRIVER_AUTO) // nobody was told that it has to be under fresh_s
		config.poll_ms = clock_earlier(config.poll_ms, settings->fresh_s * 1000 / POLLS_PER_FRESH);
	return config;
}

static struct poll *poll_of(struct replica *replica)
{
	if (replica->poll)
		return replica->poll;
	struct poll *poll = calloc(1, sizeof *poll);
	must(poll != NULL);
	const struct poll_config config = config_of(replica->settings);
	poll_step_init(&poll->step, &config);
	replica->poll = poll;
	return poll;
}

void replica_poll_forget(struct replica *replica)
{
	if (replica->poll == NULL)
		return;
	poll_step_forget(&replica->poll->step);
	replica->poll->is_stored = false;
}

void replica_poll_free(struct replica *replica)
{
	struct poll *poll = replica->poll;
	if (poll == NULL)
		return;
	poll_table_clear(&poll->known);
	poll_table_clear(&poll->now);
	poll_table_clear(&poll->changes);
	free(poll->attributes);
	free(poll);
	replica->poll = NULL;
}

enum err_code replica_poll_choose(struct replica *replica, struct err *err)
{
	replica->polling = replica->settings->ldap_driver == SETTINGS_LDAP_DRIVER_POLL;
	if (replica->settings->ldap_driver == SETTINGS_LDAP_DRIVER_SYNCREPL)
		return ERR_OK;
	struct poll *poll = poll_of(replica);
	const struct ldap_link_search search = {
		.base = "", .filter = "(objectClass=*)", .base_only = true, .attributes = poll_server_root_attributes};
	poll_server_begin(&poll->server, str_of_c(replica->uri));
	enum err_code code = ldap_link_search(replica->link, &search, take_root, &poll->server, err);
	if (code && code != ERR_NOTFOUND)
		return err_wrap(err, "read the root DSE");
	if (replica->settings->ldap_driver == SETTINGS_LDAP_DRIVER_AUTO) // a server that hides what it offers is tried
		replica->polling = poll->server.has_controls &&
				   (!poll->server.offers_sync || guid_eq(&poll->refuses_sync, &poll->server.identity));
	return ERR_OK;
}

// slapd offers what any of its databases can do, and this one may lack the overlay.
bool replica_poll_instead(struct replica *replica)
{
	struct poll *poll = replica->poll;
	if (replica->settings->ldap_driver != SETTINGS_LDAP_DRIVER_AUTO || !poll->server.has_controls ||
		!replica->step.refreshing || replica->step.result != LDAP_UNAVAILABLE_CRITICAL_EXTENSION)
		return false;
	log_warning(NULL, "the server offers syncrepl (RFC 4533) and refuses it for ldap_base: it is polled",
		log_c("server", replica->uri));
	poll->refuses_sync = poll->server.identity;
	return true;
}

// Active Directory has a referral to each other naming context in every search from its top, unless told not to.
void replica_poll_fit(const struct replica *replica, struct ldap_link_search *search)
{
	if (!replica->polling)
		return;
	search->page = replica->poll->server.offers_pages ? PAGE_ENTRIES : 0;
	search->domain_scope = replica->poll->server.offers_domain_scope;
}

static bool take_service(void *context, const struct raw_entry *entry)
{
	poll_server_service(context, entry);
	return true;
}

// Who may not read it has a server that does not tell when it was set back.
static enum err_code survey_service(struct replica *replica, struct err *err)
{
	struct poll_server *server = &replica->poll->server;
	const struct ldap_link_search search = {.base = server->service,
		.filter = "(objectClass=*)",
		.base_only = true,
		.attributes = poll_server_service_attributes};
	if (server->service[0] == '\0')
		return ERR_OK;
	enum err_code code = ldap_link_search(replica->link, &search, take_service, server, err);
	return code == ERR_PROTOCOL || code == ERR_NOTFOUND ? ERR_OK : code;
}

struct base_context {
	const struct settings *settings;
	struct poll_server *server;
	bool found;
};

static bool take_base(void *context, const struct raw_entry *entry)
{
	struct base_context *base = context;
	poll_server_base(base->server, entry, base->settings->ldap_id_attribute, base->settings->ldap_change_attribute);
	base->found = true;
	return true;
}

// Ids and marks as the base entry has them. Without it there is no directory.
static enum err_code survey_base(struct replica *replica, struct err *err)
{
	const char *names[POLL_BASE_ATTRIBUTES_MAX];
	const struct settings *settings = replica->settings;
	struct base_context context = {settings, &replica->poll->server, false};
	poll_server_base_attributes(settings->ldap_id_attribute.n ? settings->ldap_id_attribute.p : "",
		settings->ldap_change_attribute.n ? settings->ldap_change_attribute.p : "", names);
	const struct ldap_link_search search = {
		.base = settings->ldap_base.p, .filter = "(objectClass=*)", .base_only = true, .attributes = names};
	enum err_code code = ldap_link_search(replica->link, &search, take_base, &context, err);
	if (code == ERR_OK && !context.found)
		code = err_set(err, ERR_DENIED, "we may not read it");
	return code ? err_wrap(err, "read ldap_base") : ERR_OK;
}

static void choose_attributes(struct replica *replica)
{
	struct poll *poll = replica->poll;
	size_t n = 0, extra = 0;
	if (poll->server.ids != POLL_IDS_DN)
		poll->id_and_mark[extra++] = poll->server.id_name;
	if (poll->server.marks != POLL_MARKS_NONE)
		poll->id_and_mark[extra++] = poll->server.mark_name;
	if (extra == 0)
		poll->id_and_mark[extra++] = "1.1"; // no attribute (RFC 4511, 4.5.1.8)
	poll->id_and_mark[extra] = NULL;
	while (replica->search.attributes[n])
		n++;
	free(poll->attributes);
	poll->attributes = calloc(n + extra + 1, sizeof *poll->attributes);
	must(poll->attributes != NULL);
	memcpy(poll->attributes, replica->search.attributes, n * sizeof *poll->attributes);
	memcpy(poll->attributes + n, poll->id_and_mark, extra * sizeof *poll->attributes);
}

static void say_what_it_offers(struct replica *replica)
{
	const struct poll_server *server = &replica->poll->server;
	log_info(NULL, "directory server is followed", log_c("server", replica->uri), log_c("driver", "poll"),
		log_c("id", server->id_name), log_c("change", server->mark_name), log_bool("pages", server->offers_pages),
		log_bool("from_before", !replica->full));
	if (server->ids == POLL_IDS_DN)
		log_warning(NULL,
			"the server shows no id of entries that outlives a new name: they are told by their DNs, and without "
			"phMailboxId users have no mailbox",
			log_c("server", replica->uri), log_str("base", replica->settings->ldap_base));
	if (server->marks == POLL_MARKS_NONE)
		log_warning(NULL, "the server does not show when entries were changed: all of them are read each time",
			log_c("server", replica->uri), log_str("base", replica->settings->ldap_base));
}

// --- The loop ---

// Until something is due, something is asked for, or the connection does something unasked.
static bool rest(struct replica *replica, int64_t wait_ms, struct err *err)
{
	struct pollfd fds[] = {{.fd = ldap_link_fd(replica->link), .events = POLLIN}, {.fd = replica->wake_fd, .events = POLLIN}};
	struct ldap_link_message message;
	uint64_t count;
	replica_set_lag(replica);
	images_checkpoint(&replica->images);
	if (poll(fds, 2, (int)clock_earlier(wait_ms, LAG_SHOWN_MS)) <= 0)
		return true;
	if (fds[1].revents)
		(void)!read(replica->wake_fd, &count, sizeof count);
	return !fds[0].revents || ldap_link_next(replica->link, &message, err) != LDAP_LINK_BROKEN;
}

// Names to log in by follow from the realms of domains, so all entries are taken in again.
static bool has_other_plans(struct replica *replica, enum outcome *outcome_out)
{
	if (replica_is_stopping(replica)) {
		*outcome_out = ENDED_STOPPED;
		return true;
	}
	*outcome_out = ENDED_AGAIN;
	if (replica_heal(replica))
		return true;
	if (replica->step.refreshing)
		return false;
	if (apply_realms_changed(replica->apply) || replica_goes_back(replica))
		return true;
	if (!replica_is_asked_to_reconcile(replica))
		return false;
	replica_plan_reconcile(replica);
	*outcome_out = ENDED_RELOAD;
	return true;
}

enum outcome replica_poll(struct replica *replica, bool reload, struct err *err)
{
	struct poll *poll = poll_of(replica);
	enum outcome outcome = ENDED_FAILED;
	if (survey_service(replica, err) || survey_base(replica, err))
		return ENDED_FAILED;
	choose_attributes(replica);
	poll_restore(replica);
	poll->server.tells_setback |= replica->heartbeat.theirs.n > 0; // it would lack changes (I4)
	if (!poll_check_lag(replica, err))
		return ENDED_FAILED;
	if (poll->server.marks != POLL_MARKS_USN && replica->stored.csns.form == CSN_USN)
		replica->stored.csns.n = 0; // they mean nothing to it
	bool same = poll_step_server(&poll->step, &poll->server, &replica->scope);
	poll->reads_again = same && reload && poll->server.marks != POLL_MARKS_NONE;
	if (reload)
		poll_step_forget(&poll->step);
	replica->full = !same || reload;
	sync_step_begin(&replica->step, &replica->stored, &replica->scope, str_of_c(replica->uri), !replica->full);
	replica->step.cookie.opaque_n = 0; // nobody can go on from that any more
	replica->refresh_began_ms = clock_mono_exact_ms();
	poll->told_of_dns = poll->server.ids == POLL_IDS_DN;
	replica_enter(replica, REPLICA_REFRESH);
	say_what_it_offers(replica);
	while (!has_other_plans(replica, &outcome)) {
		struct poll_ask ask = poll_step_next(&poll->step, clock_mono_exact_ms());
		outcome = ENDED_FAILED;
		if (ask.what == POLL_WAIT ? !rest(replica, ask.wait_ms, err) : !poll_question(replica, &ask, &outcome, err))
			break;
	}
	return outcome;
}
