// SPDX-License-Identifier: Apache-2.0
// Entries that a server gives in parts, as Active Directory does with groups of more than 1,500 members: read by their names once
// the search that found them has ended, part after part, and stored when they are whole.
//
// Each part brings id and mark of the entry along: when they are not those of the first part, or a part does not go on where the
// one before it ended, the group has changed, and all of it is read again. What does not hold still, does not end or makes no
// sense stays in the shadow as an entry of which only a part is known: mail for it waits (451), and the next compare tries again.
#include "base/clock.h"
#include "base/log.h"
#include "poll_parts.h"

enum {
	TRIES_MAX = 3,
	ENTRY_MS_MAX = 60000, // for one of them
};

struct large {
	struct question *question;
	struct poll_ranges *ranges; // owned
	const struct guid *uuid;
	uint64_t digest;            // of the first part
	bool first;                 // the search at hand is for it
	bool found;                 // by the search at hand
	bool begun;                 // a first part came
	bool of_dn;
	enum poll_ranges_result result;
};

static bool take_part(void *context, const struct raw_entry *part)
{
	struct large *large = context;
	struct question *question = large->question;
	struct guid uuid;
	poll_identify(question, part, &uuid, &large->of_dn);
	uint64_t digest = poll_server_digest(&question->poll->server, part);
	if (!guid_eq(&uuid, large->uuid))
		return true; // another has its name now
	large->found = true;
	if (large->first) {
		large->begun = true;
		large->digest = digest;
		large->result = poll_ranges_begin(large->ranges, part);
	} else {
		large->result = digest == large->digest ? poll_ranges_add(large->ranges, part) : POLL_RANGES_TORN;
	}
	return true;
}

// False: the question has failed.
static bool read_part(struct large *large, const char *dn)
{
	struct question *question = large->question;
	const char *const *id_and_mark = question->poll->id_and_mark;
	const char *names[4] = {poll_ranges_ask(large->ranges), id_and_mark[0], id_and_mark[0] ? id_and_mark[1] : NULL, NULL};
	struct err ignored, *err = question->err;
	large->found = false;
	large->result = POLL_RANGES_TORN;
	question->err = &ignored;
	bool good = poll_read_one(question, dn, names, take_part, large);
	question->err = err;
	// There is no such part any more, says Active Directory with an error. Where the connection has ended, the next search
	// says so.
	return good || !question->stopped;
}

// Once. False: the question has failed.
static bool read_parts(struct large *large, const char *dn, int64_t until_ms)
{
	struct question *question = large->question;
	large->first = true;
	large->found = false;
	large->result = POLL_RANGES_TORN;
	if (!poll_read_one(question, dn, question->poll->attributes, take_part, large))
		return false;
	large->first = false;
	while (large->found && large->result == POLL_RANGES_MORE) {
		if (!poll_is_in_time(question) || !read_part(large, dn))
			return false;
		if (large->result == POLL_RANGES_MORE && clock_mono_exact_ms() > until_ms)
			large->result = POLL_RANGES_BAD;
	}
	return true;
}

static bool store(struct large *large)
{
	struct question *question = large->question;
	struct raw_entry entry = *poll_ranges_entry(large->ranges);
	entry.uuid = large->uuid;
	entry.uuid_of_dn = large->of_dn;
	if (entry.partial)
		log_warning(NULL, "an entry that the server gives in parts could not be put together: mail for it waits",
			log_c("server", question->replica->uri), log_str("dn", entry.dn),
			log_c("why", large->result == POLL_RANGES_TORN ? "it changes all the time"
								       : "too large, too slow or without sense"));
	return poll_store(question, &entry, entry.partial ? POLL_DOUBT : large->digest);
}

static bool read_entry(struct large *large, const char *dn)
{
	int64_t until_ms = clock_mono_exact_ms() + ENTRY_MS_MAX;
	bool good = true;
	large->begun = false;
	large->result = POLL_RANGES_TORN;
	for (unsigned i = 0; good && i < TRIES_MAX && large->result == POLL_RANGES_TORN; i++) {
		good = read_parts(large, dn, until_ms);
		if (!large->found && large->first)
			break;
	}
	if (!good)
		return false;
	// there a moment ago, and gone or of another name now
	return large->begun ? store(large) : poll_leave(large->question, large->uuid);
}

bool poll_read_large(struct question *question)
{
	struct str rest = buf_str(&question->large.list);
	struct guid uuid;
	const char *dn;
	bool good = true;
	if (rest.n == 0)
		return true;
	struct large large = {.question = question, .ranges = poll_ranges_new(), .uuid = &uuid};
	while (good && poll_next_suspect(&rest, &uuid, &dn))
		good = read_entry(&large, dn);
	poll_ranges_free(&large.ranges);
	buf_clear(&question->large.list);
	question->large.n = 0;
	return good;
}
