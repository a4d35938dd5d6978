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

// Neither entry nor class, and what cannot be known now: the setting, where 0 is no limit.
static int64_t granted(struct directory *directory, const struct home *home, enum attr attr, int64_t setting, struct arena *arena)
{
	struct service_grant grant;
	if (service_number(directory, home->entry, attr, arena, &grant) == SERVICE_SET)
		return grant.value;
	return setting ? setting : SERVICE_UNLIMITED;
}

static uint64_t limit_of(int64_t granted)
{
	return granted == SERVICE_UNLIMITED ? 0 : (uint64_t)granted;
}

struct store_quota popimap_quota(struct directory *directory, const struct home *home, const struct settings *settings,
	struct arena *arena)
{
	int64_t bytes = granted(directory, home, ATTR_PH_QUOTA_BYTES, settings->quota_bytes, arena);
	int64_t messages = granted(directory, home, ATTR_PH_QUOTA_MESSAGES, settings->quota_messages, arena);
	if (bytes == 0 || messages == 0) // nothing: no message is of one byte
		return (struct store_quota){.bytes = 1};
	return (struct store_quota){.bytes = limit_of(bytes), .messages = limit_of(messages)};
}

bool popimap_may_plaintext(const struct settings *settings, const struct conn *conn)
{
	return conn_tls(conn) != NULL || (settings->auth_plaintext == SETTINGS_AUTH_PLAINTEXT_TRUSTED &&
						 settings_networks_have(&settings->trusted_networks, conn_peer(conn)));
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
