// SPDX-License-Identifier: Apache-2.0
// The ids of all entries, compared with those that were known: what is not as it was is read, what is not there goes.
//
// Entries are looked at by their ids, many in one search, where the server has ids that can be asked for, else one by one by
// their names. That an entry was not found says something only where an entry that was there a moment ago was found by the same
// search. One that seems to be gone is looked for by its id alone, whatever it is and wherever: a search that leaves entries out,
// because an index of the server is damaged or its pages are not of one moment, makes nobody unknown, however many it leaves out.
// Who cannot be asked for within ldap_refresh_s stays: the whole answer is given up, and asked for again. The same after a load.
#include "poll_parts.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/must.h"
#include "schema/entry.h"

enum {
	SUSPECTS_MAX = 1000,   // entries that are not as they were; more: everything is read
	LEFT_OUT_MAX = 50000,  // entries that a load did not tell; more: it is asked for again
	SUSPECTS_BYTES_MAX = 8 << 20,
	BATCH_IDS = 50,        // a filter of some kilobytes
};

static bool compare_entry(void *context, const struct raw_entry *entry)
{
	struct question *question = context;
	struct poll *poll = question->poll;
	struct guid uuid;
	bool of_dn;
	poll_identify(question, entry, &uuid, &of_dn);
	uint64_t digest = poll_server_digest(&poll->server, entry);
	poll_note_mark(question, entry, &uuid, digest);
	if (poll_known_digest(poll, &uuid) != digest && !poll_suspect(&question->differing, &uuid, entry->dn)) {
		question->has_too_many = true;
		return poll_stop(question);
	}
	return poll_keep(question, &poll->now, &uuid, digest);
}

// --- Many at once ---

// Which of some ids a search has found.
struct batch {
	struct question *question;
	const char *filter;      // that they have to fit as well; NULL: none
	bool (*each)(struct batch *batch, const struct guid *uuid, const struct raw_entry *entry); // of what is found
	struct poll_suspects *names; // of what is found, for add_name
	struct guid ids[BATCH_IDS];
	bool found[BATCH_IDS];
	size_t n;
	struct guid witness;     // of an entry that is there
	bool has_witness;        // found
};

static bool take_one(void *context, const struct raw_entry *entry)
{
	struct batch *batch = context;
	struct guid uuid;
	bool of_dn, wanted = false;
	poll_identify(batch->question, entry, &uuid, &of_dn);
	batch->has_witness |= guid_eq(&uuid, &batch->witness);
	for (size_t i = 0; i < batch->n; i++)
		if (!batch->found[i] && guid_eq(&uuid, &batch->ids[i]))
			wanted = batch->found[i] = true;
	return !wanted || batch->each(batch, &uuid, entry);
}

static bool write_filter(const struct batch *batch, struct buf *filter)
{
	const struct poll_server *server = &batch->question->poll->server;
	buf_printf(filter, "(&%s(|", batch->filter ? batch->filter : "");
	bool good = poll_server_id_filter(server, &batch->witness, filter);
	for (size_t i = 0; good && i < batch->n; i++)
		good = poll_server_id_filter(server, &batch->ids[i], filter);
	buf_add(filter, STR("))"));
	return good && !filter->overflow;
}

// Says of each id whether it was found; of none where the server cannot be asked so. False: the question has failed.
static bool find_batch(struct batch *batch, const char *const *attributes)
{
	struct question *question = batch->question;
	struct replica *replica = question->replica;
	struct buf filter;
	bool whole = true;
	memset(batch->found, 0, sizeof batch->found);
	if (question->poll->now.n == 0)
		return true;
	batch->witness = question->poll->now.v[0].uuid;
	batch->has_witness = false;
	buf_init(&filter, POLL_FILTER_BYTES_MAX);
	if (write_filter(batch, &filter)) {
		struct ldap_link_search search = {
			.base = replica->settings->ldap_base.p, .filter = buf_c(&filter), .attributes = attributes};
		replica_poll_fit(replica, &search);
		whole = ldap_link_search(replica->link, &search, take_one, batch, question->err) == ERR_OK && !question->stopped;
	}
	buf_fini(&filter);
	return whole;
}

// --- What is not as it was ---

static bool read_by_name(struct question *question, const struct guid *uuid, const char *dn)
{
	if (!poll_read_one(question, dn, question->poll->attributes, poll_put_entry, question))
		return false;
	return question->found > 0 || poll_leave(question, uuid); // it has gone since, or has another name
}

static bool put_found(struct batch *batch, const struct guid *uuid, const struct raw_entry *entry)
{
	(void)uuid;
	return poll_put_entry(batch->question, entry);
}

static bool read_differing(struct question *question)
{
	struct str rest = buf_str(&question->differing.list);
	struct batch batch = {.question = question, .filter = question->replica->search.filter, .each = put_found};
	const char *dns[BATCH_IDS];
	bool good = true;
	while (good && rest.n) {
		batch.n = 0;
		while (batch.n < BATCH_IDS && poll_next_suspect(&rest, &batch.ids[batch.n], &dns[batch.n]))
			batch.n++;
		good = find_batch(&batch, question->poll->attributes);
		for (size_t i = 0; good && i < batch.n; i++)
			good = batch.found[i] || read_by_name(question, &batch.ids[i], dns[i]);
	}
	return good;
}

// --- What is not there ---

struct gone {
	struct guid *v; // owned
	size_t n, n_max;
};

static void add_gone(void *context, const struct guid *uuid)
{
	struct gone *gone = context;
	gone->v[gone->n++] = *uuid;
}

static bool seek_entry(void *context, const struct raw_entry *entry)
{
	struct question *question = context;
	struct guid uuid;
	bool of_dn;
	poll_identify(question, entry, &uuid, &of_dn);
	question->is_sought |= guid_eq(&uuid, question->sought);
	return true;
}

// Is it there, and for us? By its name.
static bool is_there(struct question *question, const struct guid *uuid, const char *dn, bool *there_out)
{
	question->sought = uuid;
	bool whole = poll_is_in_time(question) && poll_read_one(question, dn, question->poll->id_and_mark, seek_entry, question);
	*there_out = question->is_sought;
	return whole;
}

// By the name that we have of it.
static bool is_where_it_was(struct question *question, const struct guid *uuid, struct buf *data, bool *there_out)
{
	struct entry entry;
	char *dn;
	buf_clear(data);
	if (image_get(question->replica->images.shadow, uuid, data, question->err))
		return poll_stop_for_database(question);
	*there_out = false;
	if (data->n == 0 || !entry_decode(buf_str(data), &entry))
		return true; // nothing of ours
	dn = strndup(entry.dn.p, entry.dn.n);
	must(dn != NULL);
	bool whole = is_there(question, uuid, dn, there_out);
	free(dn);
	return whole;
}

static bool drop(struct question *question, const struct guid *uuid)
{
	return apply_drop(question->replica->apply, uuid, question->err) == ERR_OK || poll_stop_for_database(question);
}

static bool spare(struct question *question, const struct guid *uuid)
{
	question->n_spared++;
	return poll_leave(question, uuid);
}

static bool add_name(struct batch *batch, const struct guid *uuid, const struct raw_entry *entry)
{
	// the shadow could not hold such a name
	return poll_suspect(batch->names, uuid, entry->dn) || drop(batch->question, uuid);
}

// What a search for ids has found is there, and may have left the filter.
static bool look_at_names(struct question *question, const struct poll_suspects *names)
{
	struct str rest = buf_str(&names->list);
	struct guid uuid;
	const char *dn;
	bool good = true, there;
	while (good && poll_next_suspect(&rest, &uuid, &dn)) {
		good = is_there(question, &uuid, dn, &there);
		if (good)
			good = there ? spare(question, &uuid) : drop(question, &uuid);
	}
	return good;
}

static bool drop_batch(struct batch *batch, struct buf *data)
{
	struct question *question = batch->question;
	struct poll_suspects names = {.n_max = BATCH_IDS};
	bool there = false;
	buf_init(&names.list, SUSPECTS_BYTES_MAX);
	batch->names = &names;
	bool good = find_batch(batch, question->poll->id_and_mark);
	for (size_t i = 0; good && i < batch->n; i++) {
		if (batch->found[i])
			continue;
		there = false;
		if (!batch->has_witness)
			good = is_where_it_was(question, &batch->ids[i], data, &there);
		if (good)
			good = there ? spare(question, &batch->ids[i]) : drop(question, &batch->ids[i]);
	}
	good = good && look_at_names(question, &names);
	buf_fini(&names.list);
	return good;
}

// Each is asked for before it goes.
static bool drop_gone(struct question *question, const struct gone *gone)
{
	struct batch batch = {.question = question, .each = add_name};
	struct buf data;
	bool whole = true;
	buf_init(&data, ENTRY_BYTES_MAX);
	for (size_t i = 0; whole && i < gone->n; i += batch.n) {
		batch.n = gone->n - i < BATCH_IDS ? gone->n - i : BATCH_IDS;
		memcpy(batch.ids, gone->v + i, batch.n * sizeof *batch.ids);
		whole = poll_is_in_time(question) && drop_batch(&batch, &data);
	}
	if (question->n_spared)
		log_warning(NULL, "the server left entries out of a search and has them all the same",
			log_c("server", question->replica->uri), log_u64("entries", question->n_spared));
	poll_table_sort(&question->poll->now);
	buf_fini(&data);
	return whole;
}

// Those that the server before had, and this one may not have yet, are not asked for.
static bool keep_elsewhere(struct question *question, struct gone *gone)
{
	struct poll *poll = question->poll;
	size_t n = gone->n;
	bool good = true;
	gone->n = 0;
	for (size_t i = 0; good && i < n; i++) {
		const struct guid *uuid = &gone->v[i];
		if (question->what != POLL_LOAD && poll_table_find(&poll->known, uuid) != POLL_ELSEWHERE) {
			gone->v[gone->n++] = *uuid;
			continue;
		}
		question->n_elsewhere++;
		if (apply_keep(question->replica->apply, uuid, question->err))
			return poll_stop_for_database(question);
		good = poll_keep(question, &poll->now, uuid, POLL_ELSEWHERE);
	}
	poll_table_sort(&poll->now);
	return good;
}

static bool settle_gone(struct question *question, struct gone *gone)
{
	return (!poll_is_sparing(question->replica) || keep_elsewhere(question, gone)) && drop_gone(question, gone);
}

static bool drop_unmentioned(struct question *question)
{
	struct poll *poll = question->poll;
	struct gone gone = {.v = calloc(poll->known.n + 1, sizeof *gone.v)};
	must(gone.v != NULL);
	poll_table_each_gone(&poll->known, &poll->now, add_gone, &gone);
	bool whole = settle_gone(question, &gone);
	free(gone.v);
	return whole;
}

bool poll_compare(struct question *question)
{
	question->differing.n_max = SUSPECTS_MAX;
	buf_init(&question->differing.list, SUSPECTS_BYTES_MAX);
	bool whole = poll_search(question, question->replica->search.filter, question->poll->id_and_mark, compare_entry);
	poll_table_sort(&question->poll->now);
	whole = whole && read_differing(question) && poll_read_large(question);
	poll_table_sort(&question->poll->now);
	whole = whole && drop_unmentioned(question);
	buf_fini(&question->differing.list);
	return whole;
}

// --- A whole load ---

// What the load has told otherwise or not at all.
static bool check_entry(void *context, const struct raw_entry *entry)
{
	struct question *question = context;
	struct poll *poll = question->poll;
	struct guid uuid;
	bool of_dn;
	poll_identify(question, entry, &uuid, &of_dn);
	uint64_t digest = poll_server_digest(&poll->server, entry), told = poll_table_find(&poll->now, &uuid);
	if (told == digest || told == POLL_DOUBT)
		return true;
	question->n_spared += told == POLL_GONE;
	if (poll_suspect(&question->differing, &uuid, entry->dn))
		return true;
	err_set(question->err, ERR_PROTOCOL, "its answers do not agree: one has %zu entries that the other has not",
		question->differing.n + 1);
	return poll_stop(question);
}

static bool read_left_out(struct question *question)
{
	question->differing.n_max = LEFT_OUT_MAX;
	buf_init(&question->differing.list, SUSPECTS_BYTES_MAX);
	bool whole = poll_search(question, question->replica->search.filter, question->poll->id_and_mark, check_entry) &&
		     read_differing(question) && poll_read_large(question);
	poll_table_sort(&question->poll->now);
	buf_fini(&question->differing.list);
	return whole;
}

static void add_unseen(void *context, const struct guid *uuid)
{
	struct gone *gone = context;
	if (gone->n == gone->n_max) {
		gone->n_max = gone->n_max ? 2 * gone->n_max : BATCH_IDS;
		gone->v = reallocarray(gone->v, gone->n_max, sizeof *gone->v);
		must(gone->v != NULL);
	}
	add_gone(gone, uuid);
}

// A page that was lost, or an answer that was cut and called whole, makes nobody unknown: what a second search for ids alone has
// besides is read, and who is in the shadow and in neither is asked for. Where each question is a load the next one is the second
// search.
bool poll_confirm_load(struct question *question)
{
	struct gone gone = {0};
	poll_table_sort(&question->poll->now);
	if (question->poll->server.marks != POLL_MARKS_NONE && !read_left_out(question))
		return false;
	bool whole = apply_unseen_each(question->replica->apply, add_unseen, &gone, question->err) == ERR_OK ||
		     poll_stop_for_database(question);
	whole = whole && settle_gone(question, &gone);
	free(gone.v);
	return whole;
}
