// SPDX-License-Identifier: Apache-2.0
// One question to a server that is polled: everything, what has changed, or who is still there.
//
// What an answer says is put into one transaction; the table of what is known follows when that is committed. An entry that a
// compare or a load does not mention is asked for by its id before it goes, many in one search (poll_compare.c), because pages
// (RFC 2696) are not promised to be of one moment.
//
// Somebody new may have the address of somebody who was deleted, which no question for changes tells. So when changes bring a
// second owner of anything, all is compared in the same transaction: nobody is deferred meanwhile, and where the brake holds what
// is gone it holds the new ones too.
#include "poll_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "ldapsync_metrics.h"

enum { LARGE_MAX = 100000, LARGE_BYTES_MAX = 32 << 20 }; // groups in parts that one answer may have; of more than that mail waits

// --- Entries to look at ---

bool poll_suspect(struct poll_suspects *suspects, const struct guid *uuid, struct str dn)
{
	if (suspects->n == suspects->n_max || (dn.n && memchr(dn.p, '\0', dn.n)))
		return false;
	if (sizeof uuid->b + dn.n + 1 >
		suspects->list.max - suspects->list.n) // whole or not at all: a shorter name may still fit
		return false;
	buf_add(&suspects->list, guid_bytes(uuid));
	buf_add(&suspects->list, dn);
	buf_add_byte(&suspects->list, '\0');
	suspects->n++;
	return true;
}

bool poll_next_suspect(struct str *rest, struct guid *uuid_out, const char **dn_out)
{
	if (rest->n < sizeof uuid_out->b)
		return false;
	memcpy(uuid_out->b, rest->p, sizeof uuid_out->b);
	*dn_out = rest->p + sizeof uuid_out->b;
	*rest = str_from(*rest, sizeof uuid_out->b + strlen(*dn_out) + 1);
	return true;
}

// --- Entries of an answer ---

bool poll_stop(struct question *question)
{
	question->stopped = true;
	return false;
}

bool poll_stop_for_database(struct question *question)
{
	question->database_failed = true;
	return poll_stop(question);
}

bool poll_is_in_time(struct question *question)
{
	int64_t most_s = question->replica->settings->ldap_refresh_s;
	if (clock_mono_exact_ms() - question->poll->step.asked_mono_ms <= most_s * 1000)
		return true;
	err_set(question->err, ERR_TIMEOUT, "it has not answered as a whole within ldap_refresh_s (%lld s)", (long long)most_s);
	return poll_stop(question);
}

bool poll_leave(struct question *question, const struct guid *uuid)
{
	struct poll *poll = question->poll;
	if (apply_keep(question->replica->apply, uuid, question->err))
		return poll_stop_for_database(question);
	return poll_keep(question, question->what == POLL_CHANGES ? &poll->changes : &poll->now, uuid, POLL_DOUBT);
}

bool poll_keep(struct question *question, struct poll_table *table, const struct guid *uuid, uint64_t digest)
{
	if (!poll_is_in_time(question))
		return false;
	if (poll_table_add(table, uuid, digest))
		return true;
	err_set(question->err, ERR_LIMIT, "more than %d entries", POLL_TABLE_MAX);
	return poll_stop(question);
}

void poll_identify(struct question *question, const struct raw_entry *entry, struct guid *uuid_out, bool *of_dn_out)
{
	struct poll *poll = question->poll;
	*of_dn_out = !poll_server_id(&poll->server, entry, uuid_out);
	if (!*of_dn_out || poll->told_of_dns)
		return;
	poll->told_of_dns = true;
	log_warning(NULL, "an entry has no id of its own: it is told by its DN, and without phMailboxId it has no mailbox",
		log_c("server", question->replica->uri), log_str("dn", entry->dn), log_c("id", poll->server.id_name));
}

uint64_t poll_known_digest(const struct poll *poll, const struct guid *uuid)
{
	uint64_t digest = poll_table_find(&poll->changes, uuid);
	return digest != POLL_GONE ? digest : poll_table_find(&poll->known, uuid);
}

void poll_note_mark(struct question *question, const struct raw_entry *entry, const struct guid *uuid, uint64_t digest)
{
	int64_t mark;
	struct poll *poll = question->poll;
	bool is_news = question->what == POLL_LOAD || poll_known_digest(poll, uuid) != digest;
	if (poll_server_mark(&poll->server, entry, &mark))
		poll_step_saw(&poll->step, uuid, mark, is_news);
}

// The overlap brings what is known. A CSN and a number are given once; a time may stand for several changes of its second.
static bool is_seen_again(const struct question *question, const struct guid *uuid, uint64_t digest)
{
	const struct poll *poll = question->poll;
	return question->what == POLL_CHANGES && poll->server.marks != POLL_MARKS_TIME &&
	       poll_table_find(&poll->known, uuid) == digest;
}

bool poll_store(struct question *question, const struct raw_entry *entry, uint64_t digest)
{
	struct poll *poll = question->poll;
	if (apply_put(question->replica->apply, entry, question->err))
		return poll_stop_for_database(question);
	poll_note_mark(question, entry, entry->uuid, digest);
	return poll_keep(question, question->what == POLL_LOAD ? &poll->now : &poll->changes, entry->uuid, digest);
}

bool poll_put_entry(void *context, const struct raw_entry *given)
{
	struct question *question = context;
	struct poll *poll = question->poll;
	struct raw_entry entry = *given;
	struct guid uuid;
	poll_identify(question, given, &uuid, &entry.uuid_of_dn);
	entry.uuid = &uuid;
	question->found++;
	uint64_t digest = poll_server_digest(&poll->server, given);
	bool in_parts = entry.n_ranges && entry.partial;
	if (is_seen_again(question, &uuid, digest) || (in_parts && poll_suspect(&question->large, &uuid, entry.dn)))
		return true;
	return poll_store(question, &entry, in_parts ? POLL_DOUBT : digest); // no room to read it now: the next compare does
}

// One that has changed and is no longer for us.
static bool drop_entry(void *context, const struct raw_entry *entry)
{
	struct question *question = context;
	struct poll *poll = question->poll;
	struct guid uuid;
	bool of_dn;
	poll_identify(question, entry, &uuid, &of_dn);
	if (poll_known_digest(poll, &uuid) == POLL_GONE)
		return true; // it never was
	if (apply_drop(question->replica->apply, &uuid, question->err))
		return poll_stop_for_database(question);
	return poll_keep(question, &poll->now, &uuid, POLL_GONE);
}

// --- Searches ---

bool poll_search(struct question *question, const char *filter, const char *const *attributes, ldap_link_each_fn *each)
{
	struct replica *replica = question->replica;
	struct ldap_link_search all = {.base = replica->settings->ldap_base.p, .filter = filter, .attributes = attributes};
	replica_poll_fit(replica, &all);
	return ldap_link_search(replica->link, &all, each, question, question->err) == ERR_OK && !question->stopped;
}

bool poll_read_one(struct question *question, const char *dn, const char *const *attributes, ldap_link_each_fn *each,
	void *context)
{
	struct replica *replica = question->replica;
	const struct ldap_link_search one = {
		.base = dn, .filter = replica->search.filter, .base_only = true, .attributes = attributes};
	question->found = 0;
	question->is_sought = false;
	enum err_code code = ldap_link_search(replica->link, &one, each, context, question->err);
	return code == ERR_NOTFOUND || (code == ERR_OK && !question->stopped);
}

static bool load(struct question *question)
{
	return poll_search(question, question->replica->search.filter, question->poll->attributes, poll_put_entry) &&
	       poll_read_large(question) && poll_confirm_load(question);
}

static bool ask_for_changes(struct question *question, int64_t since)
{
	struct poll *poll = question->poll;
	const char *filter = question->replica->search.filter;
	struct buf text;
	buf_init(&text, POLL_FILTER_BYTES_MAX);
	buf_printf(&text, "(&%s", filter);
	poll_server_since(&poll->server, since, &text);
	buf_add_byte(&text, ')');
	bool whole = poll_search(question, buf_c(&text), poll->attributes, poll_put_entry) && poll_read_large(question);
	if (whole) {
		buf_clear(&text);
		buf_printf(&text, "(&(!%s)", filter);
		poll_server_since(&poll->server, since, &text);
		buf_add_byte(&text, ')');
		poll_table_sort(&poll->changes);
		whole = poll_search(question, buf_c(&text), poll->id_and_mark, drop_entry);
	}
	buf_fini(&text);
	return whole;
}

// --- The end of a question ---

// A server that shows its contextCSN must not go back (I4). Read before the question, so what is stored never says more than is
// there.
static bool is_not_older(struct question *question)
{
	struct replica *replica = question->replica;
	struct poll *poll = question->poll;
	poll->csns = (struct csns){0};
	if (replica->heartbeat.theirs.n == 0)
		return true;
	if (ldap_link_csns(replica->link, replica->settings->ldap_base, &poll->csns, question->err))
		return false;
	if (csns_dominate(&poll->csns, &replica->step.cookie.csns))
		return true;
	err_set(question->err, ERR_PROTOCOL, "it no longer has changes that it gave us");
	return false;
}

// What is known once this is committed; of a question for all *before_out is what was known before it, and the caller's to clear.
static void learn(struct question *question, struct poll_table *before_out)
{
	struct poll *poll = question->poll;
	poll_table_sort(&poll->changes);
	poll_table_sort(&poll->now);
	if (question->what == POLL_CHANGES) {
		poll_table_merge(&poll->known, &poll->changes);
		poll_table_merge(&poll->known, &poll->now);
	} else {
		*before_out = poll->known;
		poll->known = poll->now;
		poll->now = (struct poll_table){0};
		poll_table_merge(&poll->known, &poll->changes);
	}
	poll_step_done(&poll->step, clock_mono_exact_ms(), clock_wall_ms());
	if (poll->server.marks == POLL_MARKS_USN && poll->step.has_mark)
		(void)poll_server_usn(&poll->server, poll->step.mark, &poll->csns);
}

static enum apply_result commit(struct question *question, int64_t asked_ms, const struct poll_table *before)
{
	struct replica *replica = question->replica;
	struct poll *poll = question->poll;
	bool whole_view = replica->step.refreshing || question->what != POLL_CHANGES;
	replica->step.purge = question->what == POLL_LOAD;
	replica->confirmed_ms = clock_wall_ms() - (clock_mono_exact_ms() - asked_ms);
	(void)csns_merge(&replica->step.cookie.csns, &poll->csns);
	enum apply_result result = APPLY_FAILED;
	if (poll_write(question, before))
		result = replica_commit(replica, whole_view, question->err);
	poll->is_stored = result == APPLY_DONE;
	return result;
}

// The answer was whole. False: it was not committed.
static bool conclude(struct question *question, int64_t asked_ms, enum outcome *outcome_out)
{
	struct replica *replica = question->replica;
	struct poll_table before = {0};
	bool first = replica->step.refreshing;
	learn(question, &before);
	if (first || apply_has_begun(replica->apply)) {
		bool had_all = question->poll->reads_again && question->what == POLL_LOAD &&
			       poll_table_eq(&before, &question->poll->known);
		enum apply_result result = commit(question, asked_ms, &before);
		poll_table_clear(&before);
		if (result != APPLY_DONE) {
			poll_step_forget(&question->poll->step);
			*outcome_out = replica_not_committed(replica, result, question->err);
			return false;
		}
		poll_step_committed(&question->poll->step);
		const struct image_counters *c = apply_counters(replica->apply);
		metric_add(&metric_ldapsync_changes, first ? 0 : c->added + c->changed + c->deleted);
		replica->step.refreshing = false;
		if (first)
			replica_refreshed(replica, had_all); // as far as names and marks say, nothing should have changed
	}
	poll_table_clear(&before);
	poll_table_clear(&question->poll->now);
	poll_table_clear(&question->poll->changes);
	question->poll->lags_since_ms = 0;
	if (question->what != POLL_CHANGES)
		replica_set_spared(replica, question->n_elsewhere);
	replica_confirm(replica, asked_ms);
	return true;
}

// A server that is there again may be older than it was. Unless it would tell, it has to give a whole view before anything is
// confirmed by it.
static bool is_to_compare(struct question *question)
{
	bool rivals = false;
	if (question->replica->step.refreshing && !question->poll->server.tells_setback)
		return true;
	if (apply_has_rivals(question->replica->apply, &rivals, question->err))
		return poll_stop_for_database(question);
	return rivals;
}

static bool compare_too(struct question *question)
{
	poll_step_compares_too(&question->poll->step);
	question->what = POLL_COMPARE;
	poll_table_clear(&question->poll->now);
	return poll_compare(question);
}

static bool get_answer(struct question *question, const struct poll_ask *ask)
{
	switch (ask->what) {
	case POLL_LOAD:
		return load(question);
	case POLL_CHANGES:
		return ask_for_changes(question, ask->since) && (!is_to_compare(question) || compare_too(question));
	case POLL_COMPARE:
		return poll_compare(question);
	case POLL_WAIT:
		break;
	}
	unreachable("poll_what");
}

bool poll_question(struct replica *replica, const struct poll_ask *ask, enum outcome *outcome_out, struct err *err)
{
	struct poll *poll = replica->poll;
	struct question question = {
		.replica = replica, .poll = poll, .what = ask->what, .large = {.n_max = LARGE_MAX}, .err = err};
	int64_t asked_ms = clock_mono_exact_ms();
	*outcome_out = ENDED_FAILED;
	poll_table_clear(&poll->now);
	poll_table_clear(&poll->changes);
	poll_step_asks(&poll->step, ask->what, asked_ms);
	buf_init(&question.large.list, LARGE_BYTES_MAX);
	bool whole = is_not_older(&question) && get_answer(&question, ask) && !question.stopped;
	buf_fini(&question.large.list);
	if (whole)
		return conclude(&question, asked_ms, outcome_out);
	if (question.has_too_many) {
		poll_step_forget(&poll->step);
		*outcome_out = ENDED_AGAIN;
	} else if (question.database_failed) {
		poll_step_forget(&poll->step);
		*outcome_out = replica_database_failed(replica, err);
	}
	return false;
}
