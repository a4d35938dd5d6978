// SPDX-License-Identifier: Apache-2.0
// One question to a server that is polled: everything, what has changed, or who is still there.
//
// What an answer says is put into one transaction; the table of what is known follows when that is committed. An entry that a
// compare does not mention is asked for by its DN before it goes, because pages (RFC 2696) are not promised to be of one moment.
//
// Somebody new may have the address of somebody who was deleted, which no question for changes tells. So when changes bring a
// second owner of anything, all is compared in the same transaction: nobody is deferred meanwhile, and where the brake holds what
// is gone it holds the new ones too.
#include "poll_parts.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "ldapsync_metrics.h"
#include "schema/entry.h"

enum {
	SUSPECTS_MAX = 1000,   // entries that are looked at one by one; more: everything is read
	SUSPECTS_BYTES_MAX = 8 << 20,
};

// An entry to look at: its id, then its DN and a NUL.
struct suspects {
	struct buf list;
	size_t n;
};

struct question {
	struct replica *replica;
	struct poll *poll;
	enum poll_what what;
	struct suspects differing; // POLL_COMPARE: not as they were
	size_t found;              // entries of the search at hand
	const struct guid *sought; // of the search at hand: is it still that one?
	bool is_sought;
	bool stopped;              // we want no more of this answer, as err says
	bool database_failed;
	bool has_too_many;         // for a compare: everything is to be read
	struct err *err;
};

static bool suspect(struct suspects *suspects, const struct guid *uuid, struct str dn)
{
	if (suspects->n == SUSPECTS_MAX || (dn.n && memchr(dn.p, '\0', dn.n)))
		return false;
	buf_add(&suspects->list, guid_bytes(uuid));
	buf_add(&suspects->list, dn);
	buf_add_byte(&suspects->list, '\0');
	suspects->n++;
	return !suspects->list.overflow;
}

static bool next_suspect(struct str *rest, struct guid *uuid_out, const char **dn_out)
{
	if (rest->n < sizeof uuid_out->b)
		return false;
	memcpy(uuid_out->b, rest->p, sizeof uuid_out->b);
	*dn_out = rest->p + sizeof uuid_out->b;
	*rest = str_from(*rest, sizeof uuid_out->b + strlen(*dn_out) + 1);
	return true;
}

// --- Entries of an answer ---

// For the functions that take entries: false.
static bool stop(struct question *question)
{
	question->stopped = true;
	return false;
}

static bool stop_for_database(struct question *question)
{
	question->database_failed = true;
	return stop(question);
}

static bool keep(struct question *question, struct poll_table *table, const struct guid *uuid, uint64_t digest)
{
	int64_t most_s = question->replica->settings->ldap_refresh_s;
	if (clock_mono_exact_ms() - question->poll->step.asked_mono_ms > most_s * 1000) {
		err_set(question->err, ERR_TIMEOUT, "it has not answered as a whole within ldap_refresh_s (%lld s)", (long long)most_s);
		return stop(question);
	}
	if (poll_table_add(table, uuid, digest))
		return true;
	err_set(question->err, ERR_LIMIT, "more than %d entries", POLL_TABLE_MAX);
	return stop(question);
}

static void identify(struct question *question, const struct raw_entry *entry, struct guid *uuid_out, bool *of_dn_out)
{
	struct poll *poll = question->poll;
	*of_dn_out = !poll_server_id(&poll->server, entry, uuid_out);
	if (!*of_dn_out || poll->told_of_dns)
		return;
	poll->told_of_dns = true;
	log_warning(NULL, "an entry has no id of its own: it is told by its DN, and without phMailboxId it has no mailbox",
		log_c("server", question->replica->uri), log_str("dn", entry->dn), log_c("id", poll->server.id_name));
}

// As it was, and what the changes have said of it since.
static uint64_t known_digest(const struct poll *poll, const struct guid *uuid)
{
	uint64_t digest = poll_table_find(&poll->changes, uuid);
	return digest != POLL_GONE ? digest : poll_table_find(&poll->known, uuid);
}

static void note_mark(struct question *question, const struct raw_entry *entry, const struct guid *uuid, uint64_t digest)
{
	int64_t mark;
	struct poll *poll = question->poll;
	bool is_news = question->what == POLL_LOAD || known_digest(poll, uuid) != digest;
	if (poll_server_mark(&poll->server, entry, &mark))
		poll_step_saw(&poll->step, mark, is_news);
}

// The overlap brings what is known. A CSN and a number are given once; a time may stand for several changes of its second.
static bool is_seen_again(const struct question *question, const struct guid *uuid, uint64_t digest)
{
	const struct poll *poll = question->poll;
	return question->what == POLL_CHANGES && poll->server.marks != POLL_MARKS_TIME && poll_table_find(&poll->known, uuid) == digest;
}

static bool put_entry(void *context, const struct raw_entry *given)
{
	struct question *question = context;
	struct poll *poll = question->poll;
	struct raw_entry entry = *given;
	struct guid uuid;
	identify(question, given, &uuid, &entry.uuid_of_dn);
	entry.uuid = &uuid;
	question->found++;
	uint64_t digest = poll_server_digest(&poll->server, given);
	if (is_seen_again(question, &uuid, digest))
		return true;
	if (apply_put(question->replica->apply, &entry, question->err))
		return stop_for_database(question);
	note_mark(question, given, &uuid, digest);
	return keep(question, question->what == POLL_LOAD ? &poll->now : &poll->changes, &uuid, digest);
}

// One that has changed and is no longer for us.
static bool drop_entry(void *context, const struct raw_entry *entry)
{
	struct question *question = context;
	struct poll *poll = question->poll;
	struct guid uuid;
	bool of_dn;
	identify(question, entry, &uuid, &of_dn);
	if (known_digest(poll, &uuid) == POLL_GONE)
		return true; // it never was
	if (apply_drop(question->replica->apply, &uuid, question->err))
		return stop_for_database(question);
	return keep(question, &poll->now, &uuid, POLL_GONE);
}

static bool compare_entry(void *context, const struct raw_entry *entry)
{
	struct question *question = context;
	struct poll *poll = question->poll;
	struct guid uuid;
	bool of_dn;
	identify(question, entry, &uuid, &of_dn);
	uint64_t digest = poll_server_digest(&poll->server, entry);
	note_mark(question, entry, &uuid, digest);
	if (known_digest(poll, &uuid) != digest && !suspect(&question->differing, &uuid, entry->dn)) {
		question->has_too_many = true;
		return stop(question);
	}
	return keep(question, &poll->now, &uuid, digest);
}

static bool seek_entry(void *context, const struct raw_entry *entry)
{
	struct question *question = context;
	struct guid uuid;
	bool of_dn;
	identify(question, entry, &uuid, &of_dn);
	question->is_sought |= guid_eq(&uuid, question->sought);
	return true;
}

// --- Searches ---

// False: not the whole answer, or it could not be stored.
static bool search(struct question *question, const char *filter, const char *const *attributes, ldap_link_each_fn *each)
{
	struct replica *replica = question->replica;
	struct ldap_link_search all = {.base = replica->settings->ldap_base.p, .filter = filter, .attributes = attributes};
	replica_poll_fit(replica, &all);
	return ldap_link_search(replica->link, &all, each, question, question->err) == ERR_OK && !question->stopped;
}

// One entry, if it is there and the filter finds it.
static bool read_one(struct question *question, const char *dn, const char *const *attributes, ldap_link_each_fn *each)
{
	struct replica *replica = question->replica;
	const struct ldap_link_search one = {.base = dn, .filter = replica->search.filter, .base_only = true, .attributes = attributes};
	question->found = 0;
	question->is_sought = false;
	enum err_code code = ldap_link_search(replica->link, &one, each, question, question->err);
	return code == ERR_NOTFOUND || (code == ERR_OK && !question->stopped);
}

static bool load(struct question *question)
{
	return search(question, question->replica->search.filter, question->poll->attributes, put_entry);
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
	bool whole = search(question, buf_c(&text), poll->attributes, put_entry);
	if (whole) {
		buf_clear(&text);
		buf_printf(&text, "(&(!%s)", filter);
		poll_server_since(&poll->server, since, &text);
		buf_add_byte(&text, ')');
		poll_table_sort(&poll->changes);
		whole = search(question, buf_c(&text), poll->id_and_mark, drop_entry);
	}
	buf_fini(&text);
	return whole;
}

// --- A compare ---

static bool read_differing(struct question *question)
{
	struct str rest = buf_str(&question->differing.list);
	struct guid uuid;
	const char *dn;
	while (next_suspect(&rest, &uuid, &dn)) {
		if (!read_one(question, dn, question->poll->attributes, put_entry))
			return false;
		if (question->found == 0) // it has gone since, or has another name: the next compare says
			keep(question, &question->poll->changes, &uuid, POLL_DOUBT);
	}
	return true;
}

struct gone {
	struct guid *v; // owned
	size_t n;
};

static void add_gone(void *context, const struct guid *uuid)
{
	struct gone *gone = context;
	gone->v[gone->n++] = *uuid;
}

// Is it really not there? Told by the DN that we have of it.
static bool is_gone(struct question *question, const struct guid *uuid, struct buf *data, bool *gone_out)
{
	struct replica *replica = question->replica;
	struct entry entry;
	char *dn;
	buf_clear(data);
	if (image_get(replica->images.shadow, uuid, data, question->err))
		return stop_for_database(question);
	*gone_out = true;
	if (data->n == 0 || !entry_decode(buf_str(data), &entry))
		return true; // nothing of ours
	dn = strndup(entry.dn.p, entry.dn.n);
	must(dn != NULL);
	question->sought = uuid;
	bool whole = read_one(question, dn, question->poll->id_and_mark, seek_entry);
	free(dn);
	*gone_out = !question->is_sought;
	return whole;
}

static bool drop_gone(struct question *question)
{
	struct poll *poll = question->poll;
	struct gone gone = {.v = calloc(poll->known.n + 1, sizeof *gone.v)};
	struct buf data;
	bool whole = true;
	must(gone.v != NULL);
	buf_init(&data, ENTRY_BYTES_MAX);
	poll_table_each_gone(&poll->known, &poll->now, add_gone, &gone);
	for (size_t i = 0; whole && i < gone.n; i++) {
		bool is_so = true;
		if (gone.n <= SUSPECTS_MAX) // more is a matter of the brake
			whole = is_gone(question, &gone.v[i], &data, &is_so);
		if (whole && !is_so) {
			log_warning(NULL, "the server left an entry out of a search and has it all the same", log_c("server", question->replica->uri));
			whole = keep(question, &poll->now, &gone.v[i], POLL_DOUBT);
		} else if (whole && apply_drop(question->replica->apply, &gone.v[i], question->err)) {
			whole = stop_for_database(question);
		}
	}
	poll_table_sort(&poll->now);
	buf_fini(&data);
	free(gone.v);
	return whole;
}

static bool compare(struct question *question)
{
	buf_init(&question->differing.list, SUSPECTS_BYTES_MAX);
	bool whole = search(question, question->replica->search.filter, question->poll->id_and_mark, compare_entry);
	poll_table_sort(&question->poll->now);
	whole = whole && read_differing(question) && drop_gone(question);
	buf_fini(&question->differing.list);
	return whole;
}

// --- The end of a question ---

// A server that shows its contextCSN must not go back (I4). Read before the question, so what is stored never says more than is there.
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

static void learn(struct question *question)
{
	struct poll *poll = question->poll;
	poll_table_sort(&poll->changes);
	poll_table_sort(&poll->now);
	if (question->what == POLL_CHANGES) {
		poll_table_merge(&poll->known, &poll->changes);
		poll_table_merge(&poll->known, &poll->now);
	} else {
		struct poll_table before = poll->known;
		poll->known = poll->now;
		poll->now = before;
		poll_table_merge(&poll->known, &poll->changes);
	}
	poll_table_clear(&poll->now);
	poll_table_clear(&poll->changes);
	poll_step_done(&poll->step, clock_mono_exact_ms(), clock_wall_ms());
}

// The answer was whole. False: it was not committed.
static bool conclude(struct question *question, int64_t asked_ms, enum outcome *outcome_out)
{
	struct replica *replica = question->replica;
	bool first = replica->step.refreshing, whole_view = first || question->what != POLL_CHANGES;
	if (first || apply_has_begun(replica->apply)) {
		replica->step.purge = question->what == POLL_LOAD;
		replica->confirmed_ms = clock_wall_ms() - (clock_mono_exact_ms() - asked_ms);
		(void)csns_merge(&replica->step.cookie.csns, &question->poll->csns);
		enum apply_result result = replica_commit(replica, whole_view, question->err);
		if (result != APPLY_DONE) {
			poll_step_forget(&question->poll->step);
			*outcome_out = replica_not_committed(replica, result, question->err);
			return false;
		}
		const struct image_counters *c = apply_counters(replica->apply);
		metric_add(&metric_ldapsync_changes, first ? 0 : c->added + c->changed + c->deleted);
		replica->step.refreshing = false;
		if (first)
			replica_refreshed(replica, false);
	}
	learn(question);
	replica_confirm(replica, asked_ms);
	return true;
}

// A server that is there again has to give a whole view before anything is confirmed by it.
static bool is_to_compare(struct question *question)
{
	bool rivals = false;
	if (question->replica->step.refreshing)
		return true;
	if (apply_has_rivals(question->replica->apply, &rivals, question->err))
		return stop_for_database(question);
	return rivals;
}

static bool compare_too(struct question *question)
{
	poll_step_compares_too(&question->poll->step);
	question->what = POLL_COMPARE;
	poll_table_clear(&question->poll->now);
	return compare(question);
}

static bool get_answer(struct question *question, const struct poll_ask *ask)
{
	switch (ask->what) {
	case POLL_LOAD:
		return load(question);
	case POLL_CHANGES:
		return ask_for_changes(question, ask->since) && (!is_to_compare(question) || compare_too(question));
	case POLL_COMPARE:
		return compare(question);
	case POLL_WAIT:
		break;
	}
	unreachable("poll_what");
}

bool poll_question(struct replica *replica, const struct poll_ask *ask, enum outcome *outcome_out, struct err *err)
{
	struct poll *poll = replica->poll;
	struct question question = {.replica = replica, .poll = poll, .what = ask->what, .err = err};
	int64_t asked_ms = clock_mono_exact_ms();
	*outcome_out = ENDED_FAILED;
	poll_table_clear(&poll->now);
	poll_table_clear(&poll->changes);
	poll_step_asks(&poll->step, ask->what, asked_ms);
	if (is_not_older(&question) && get_answer(&question, ask) && !question.stopped)
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
