// SPDX-License-Identifier: Apache-2.0
// What all SMTP sessions of a front-end share.
#include "smtp_server.h"

#include "base/log.h"
#include "base/worker.h"

enum {
	VERDICT_BYTES = 8 << 10,       // a mailbox with its reasons
	EXPANSION_BYTES = 32 << 20,    // all lists of a transaction together
};

size_t smtp_transaction_bytes_max(const struct settings *settings)
{
	return (size_t)settings->recipients_max * VERDICT_BYTES + EXPANSION_BYTES;
}

struct large_group {
	const struct settings *settings;
	const struct recipient_query *query;
	struct arena *arena;
	struct recipient_verdict *verdict;
};

// On a worker: with a view of its own, because those of the schedulers belong to their threads.
static void decide_large(void *arg)
{
	struct large_group *job = arg;
	struct arena *scratch = arena_new(4096);
	struct str path = settings_data_path(job->settings, scratch, "shadow/shadow.db");
	struct directory *directory = directory_open(path.p, job->settings->fresh_s);
	recipient_decide(directory, job->query, job->arena, job->verdict);
	directory_close(&directory);
	arena_free(&scratch);
}

void smtp_server_decide(struct smtp_server *server, const struct settings *settings, const struct recipient_query *asked,
	struct arena *arena, struct recipient_verdict *verdict_out)
{
	struct recipient_query query = *asked;
	struct err err;
	query.delimiters = settings->delimiter;
	query.relayhost = settings_relayhost(settings, arena);
	query.default_domain = settings_default_domain(settings);
	const struct home_rules here = {
		.serves = settings->serves.v, .n_serves = settings->serves.n, .hostname = settings->hostname};
	query.here = &here;
	query.keep_detail = settings->routing_detail == SETTINGS_ROUTING_DETAIL_PRESERVE;
	query.entries_max = RECIPIENT_ENTRIES_FIBER;
	// a session has its own; verdicts keep nothing of them
	struct rules *rules = query.rules ? NULL : server->rules_get(server->arg);
	if (rules)
		query.rules = rules;
	recipient_decide(server->directory(server->arg), &query, arena, verdict_out);
	if (verdict_out->too_big) {
		query.entries_max = RECIPIENT_ENTRIES_MAX;
		struct large_group job = {.settings = settings, .query = &query, .arena = arena, .verdict = verdict_out};
		if (worker_run(server->workers, decide_large, &job, &err) != ERR_OK)
			log_warning(NULL, "no worker for a large group", log_err(&err)); // the verdict stays DEFER
	}
	rules_drop(&rules);
}
