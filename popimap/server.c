// SPDX-License-Identifier: Apache-2.0
// What all IMAP and POP3 sessions of a node share.
#include "server.h"

#include "base/session.h"
#include "popimap_metrics.h"
#include "router/home.h"
#include "router/service.h"
#include "store.h"

const struct store_home *popimap_may_make(const struct home *home, struct store_home *out)
{
	struct str state = entry_first(home->entry, ATTR_PH_MOVE_STATE);
	uint64_t epoch = 0;
	if (state.n && !str_eq_nocase(state, STR("none")))
		return NULL;
	str_to_u64(entry_first(home->entry, ATTR_PH_MOVE_EPOCH), INT64_MAX, &epoch);
	*out = (struct store_home){.host = home->host, .epoch = epoch};
	return out;
}

// An explicit 0 lets nothing in: it is what an administrator writes who wants that.
static uint64_t granted(struct directory *directory, const struct home *home, enum attr attr, struct arena *arena)
{
	struct service_grant grant;
	if (service_number(directory, home->entry, attr, arena, &grant) != SERVICE_SET || grant.value == SERVICE_UNLIMITED)
		return 0;
	return grant.value ? (uint64_t)grant.value : 1;
}

struct store_quota popimap_quota(struct directory *directory, const struct home *home, struct arena *arena)
{
	return (struct store_quota){.bytes = granted(directory, home, ATTR_PH_QUOTA_BYTES, arena),
		.messages = granted(directory, home, ATTR_PH_QUOTA_MESSAGES, arena)};
}

bool popimap_may_plaintext(const struct settings *settings, const struct conn *conn)
{
	return conn_tls(conn) != NULL ||
	       (settings->auth_plaintext == SETTINGS_AUTH_PLAINTEXT_TRUSTED && settings_networks_have(&settings->trusted_networks, conn_peer(conn)));
}

enum err_code popimap_start_tls(struct popimap *popimap, struct conn *conn, const struct log_context *log, struct err *err)
{
	size_t discarded = 0;
	enum err_code code = session_start_tls(conn, &popimap->tls, log, &discarded, err);
	if (code)
		metric_add(&metric_popimap_tls_failed, 1);
	if (discarded)
		metric_add(&metric_popimap_injected, 1);
	return code;
}
