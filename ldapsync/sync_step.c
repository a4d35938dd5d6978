// SPDX-License-Identifier: Apache-2.0
// The phases of a persistent search.
#include "sync_step.h"

enum {
	SET_UUID_BYTES = 18,     // with its head
	MENTIONS_MIN = 10000000, // a first load; and what a broad filter finds that is none of ours
	MENTIONS_PER_ENTRY = 4,  // twice is normal: as present, and changed
};

void sync_step_begin(struct sync_step *step, const struct sync_cookie *stored, const struct guid *scope, struct str uri,
	bool sent_cookie)
{
	*step = (struct sync_step){.refreshing = true, .purge = !sent_cookie, .cookie = *stored};
	step->cookie.scope = *scope;
	step->cookie.usable = false; // until a cookie comes with the data
	step->cookie.polled[0] = '\0';
	if (!str_to_c(uri, step->cookie.uri, sizeof step->cookie.uri))
		step->cookie.uri[0] = '\0'; // then no opaque cookie is ever sent back
}

static enum sync_do fail(struct sync_step *step, const char *trouble)
{
	step->trouble = trouble;
	return SYNC_FAIL;
}

// False when it cannot be kept: too many SIDs, too long.
static bool take_cookie(struct sync_step *step, struct str text)
{
	struct csns csns;
	if (text.n == 0) // none, or "nothing of mine has ever changed"
		return true;
	if (csns_parse_cookie(text, &csns)) {
		if (!csns_merge(&step->cookie.csns, &csns))
			return false;
		step->cookie.opaque_n = 0;
	} else if (str_starts(text, STR("rid=")) && str_find(text, STR("csn=")) < 0) {
		return true; // OpenLDAP without a contextCSN: nothing to go on from
	} else {
		if (text.n > sizeof step->cookie.opaque)
			return false;
		memcpy(step->cookie.opaque, text.p, text.n);
		step->cookie.opaque_n = text.n;
		if (step->cookie.csns.form == CSN_OPENLDAP)
			step->cookie.csns.n = 0;
	}
	step->got_cookie = true;
	return true;
}

enum sync_do sync_step_state(struct sync_step *step, const struct sync_state *state)
{
	if (!take_cookie(step, state->cookie))
		return fail(step, "a cookie that cannot be kept");
	if (!step->refreshing)
		step->cookie.usable = step->got_cookie;
	step->mentions++;
	switch (state->change) {
	case SYNC_ADD:
	case SYNC_MODIFY:
		return SYNC_PUT;
	case SYNC_DELETE:
		return SYNC_DROP;
	case SYNC_PRESENT:
		return step->refreshing ? SYNC_KEEP : SYNC_NOTHING;
	}
	return fail(step, "an unknown state of an entry");
}

// What was said of the whole directory until now is whole.
static enum sync_do finish(struct sync_step *step)
{
	// A slapd that has nothing to tell gives no cookie: the one that it was sent is as good as before, or two connections
	// without news in a row would cost a whole load.
	bool no_news = !step->purge && step->mentions == 0;
	step->refreshing = false;
	step->cookie.usable = step->got_cookie || no_news;
	return SYNC_FINISH;
}

enum sync_do sync_step_info(struct sync_step *step, const struct sync_info *info)
{
	if (!take_cookie(step, info->cookie))
		return fail(step, "a cookie that cannot be kept");
	switch (info->kind) {
	case SYNC_NEW_COOKIE:
		if (step->refreshing)
			return SYNC_NOTHING;
		step->cookie.usable = step->got_cookie;
		return SYNC_COMMIT;
	case SYNC_REFRESH_PRESENT:
	case SYNC_REFRESH_DELETE:
		if (!step->refreshing)
			return fail(step, "a refresh that ends twice");
		step->purge = step->purge || info->kind == SYNC_REFRESH_PRESENT;
		return info->refresh_done ? finish(step) : SYNC_NOTHING;
	case SYNC_ID_SET:
		step->mentions += info->uuids.n / SET_UUID_BYTES;
		if (info->refresh_deletes)
			return SYNC_DROP_ALL;
		return step->refreshing ? SYNC_KEEP_ALL : SYNC_NOTHING;
	}
	return fail(step, "an unknown message");
}

enum sync_do sync_step_end(struct sync_step *step, int result_code)
{
	step->result = result_code;
	if (result_code == SYNC_REFRESH_REQUIRED)
		return SYNC_RELOAD;
	return fail(step, result_code == 0 ? "it ended the search" : "it refused the search");
}

bool sync_step_is_endless(const struct sync_step *step, uint64_t entries)
{
	return step->refreshing && step->mentions > MENTIONS_MIN + MENTIONS_PER_ENTRY * entries;
}

enum sync_server sync_step_check_server(const struct sync_cookie *stored, const struct csns *server)
{
	if (stored->csns.n == 0)
		return SYNC_SERVER_GOOD;
	if (server->n == 0)
		return SYNC_SERVER_MUTE;
	return csns_dominate(server, &stored->csns) ? SYNC_SERVER_GOOD : SYNC_SERVER_LAGS;
}
