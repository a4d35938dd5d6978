// SPDX-License-Identifier: Apache-2.0
// From a login to an open mailbox. The account that the credentials name is looked up in the shadow: its mailHost must be this
// node and no move may be under way, else nothing is opened and above all nothing is made.
#include "signin.h"

#include "base/listen.h"
#include "base/must.h"
#include "popimap_metrics.h"
#include "router/home.h"

enum { ARENA_BYTES_MAX = 1 << 20 };

void signin_begin(struct popimap *popimap, const struct settings *settings, struct str service, struct conn *conn,
	const struct log_context *log, unsigned failures, struct err *err, struct signin *in_out)
{
	*in_out = (struct signin){
		.popimap = popimap, .settings = settings, .log = log, .service = service, .peer = conn_peer(conn),
		.failures = failures,
		.err = err, .arena = arena_new(ARENA_BYTES_MAX)};
	login_begin(popimap->login, service, conn, popimap_may_plaintext(settings, conn), &in_out->attempt);
}

void signin_end(struct signin *in)
{
	login_end(&in->attempt);
	arena_free(&in->arena);
}

static enum signin_outcome refuse(struct signin *in, const char *text)
{
	metric_add(&metric_popimap_login_unavailable, 1);
	log_info(in->log, "logged in, but not served", log_str("login", in->login), log_c("reason", text));
	in->text = text;
	return SIGNIN_UNAVAILABLE;
}

// Trusted networks hold webmail servers, which come for everybody.
static bool is_counted(const struct signin *in)
{
	return in->popimap->crowd && !settings_networks_have(&in->settings->trusted_networks, in->peer);
}

static enum signin_outcome take_seat(struct signin *in)
{
	if (!is_counted(in))
		return SIGNIN_OK;
	size_t max = (size_t)in->settings->imap_connections_per_user_max;
	in->seat = crowd_enter(in->popimap->crowd, in->service, in->attempt.account, in->peer, max);
	if (in->seat)
		return SIGNIN_OK;
	metric_add(&metric_popimap_login_crowded, 1);
	log_warning(in->log, "too many connections of one user from one address", log_str("login", in->login),
		log_str("protocol", in->service), log_u64("max", max));
	in->text = "too many connections of this user from this address";
	return SIGNIN_CROWDED;
}

static enum signin_outcome open_home(struct signin *in, const struct home *home)
{
	if (take_seat(in) == SIGNIN_CROWDED)
		return SIGNIN_CROWDED;
	struct store_home here;
	const struct mailbox_access access = {.account = home->mailbox_id,
		.actor = home->mailbox_id,
		.home = popimap_may_make(home, &here),
		.quota = popimap_quota(in->popimap->directory(in->popimap->arg), home, in->settings, in->arena)};
	if (mailbox_open(in->popimap->store, &access, &in->mailbox, in->err)) {
		log_warning(in->log, "mailbox cannot be opened", log_str("login", in->login), log_err(in->err));
		crowd_leave(&in->seat);
		return refuse(in, "mailbox not available now, try again later");
	}
	metric_add(&metric_popimap_logins, 1);
	return SIGNIN_OK;
}

static enum signin_outcome go_home(struct signin *in)
{
	const struct settings *s = in->settings;
	const struct home_rules rules = {
		.serves = s->serves.v, .n_serves = s->serves.n, .hostname = s->hostname, .delimiters = s->delimiter};
	struct home home;
	home_of_account(in->popimap->directory(in->popimap->arg), &rules, in->attempt.account, in->arena, &home);
	switch (home.answer) {
	case HOME_HERE:
		return open_home(in, &home);
	case HOME_ELSEWHERE:
		return refuse(in, "mailbox is on another node");
	case HOME_NONE:
	case HOME_REFUSED:
	case HOME_HELD:
	case HOME_UNAVAILABLE:
		return refuse(in, "mailbox not available now, try again later");
	}
	unreachable("answer of the router");
}

static enum signin_outcome finish(struct signin *in, enum sasl_outcome outcome)
{
	in->login = in->attempt.login;
	if (outcome == SASL_DONE) {
		enum signin_outcome signed_in = go_home(in);
		if (signed_in == SIGNIN_OK)
			listen_known();
		return signed_in;
	}
	log_info(in->log, "log-in failed", log_str("login", in->login), log_c("reason", in->attempt.reason));
	switch (outcome) {
	case SASL_FAILED:
		metric_add(&metric_popimap_login_failed, 1);
		login_penalty(in->failures);
		return SIGNIN_FAILED;
	case SASL_TEMPFAIL:
		metric_add(&metric_popimap_login_unavailable, 1);
		in->text = "temporary authentication failure, try again later";
		return SIGNIN_UNAVAILABLE;
	case SASL_ABORTED:
		return SIGNIN_ABORTED;
	case SASL_BAD_MECH:
		return SIGNIN_BAD_MECH;
	case SASL_BAD_DATA:
		return SIGNIN_BAD_DATA;
	case SASL_DONE:
	case SASL_CHALLENGE:
		break;
	}
	unreachable("outcome of a log-in");
}

enum signin_outcome signin_plain(struct signin *in, struct str login, struct str password)
{
	return finish(in, login_plain(&in->attempt, login, password));
}

enum signin_outcome signin_sasl(struct signin *in, struct str mechanism, const struct str *initial)
{
	enum sasl_outcome outcome;
	in->code = login_converse(&in->attempt, STR("+ "), mechanism, initial, &outcome, in->err);
	return in->code ? SIGNIN_CLOSED : finish(in, outcome);
}
