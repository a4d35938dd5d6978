// SPDX-License-Identifier: Apache-2.0
// The home of a mailbox: from mailHost, against what this node serves and which hosts are ours.
#include "router/home.h"

#include "base/clock.h"
#include "base/must.h"
#include "our_domain.h"

enum purpose { TO_LOG_IN, TO_DELIVER };

static void answer(struct home *home, enum home_answer what, const char *text)
{
	home->answer = what;
	home->text = text;
}

// Permanent only from a complete and fresh shadow.
static void answer_for_good(struct directory *directory, struct home *home, enum home_answer what, const char *text)
{
	struct directory_status status = directory_status(directory);
	if (status.complete && status.fresh)
		answer(home, what, text);
	else
		answer(home, HOME_UNAVAILABLE, "directory may not be up to date");
}

enum directory_answer home_domain(struct directory *directory, const struct entry *user, struct arena *arena,
	const struct entry **domain_out)
{
	struct addr addr;
	struct directory_match match;
	if (addr_parse(arena, entry_first(user, ATTR_MAIL), ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) != ADDR_OK)
		return DIRECTORY_NONE;
	enum directory_answer answer = our_domain_find(directory, addr.domain.key, arena, &match);
	if (answer == DIRECTORY_FOUND)
		*domain_out = match.entry;
	return answer;
}

static bool status_allows(struct directory *directory, const struct entry *entry, enum purpose purpose, struct home *home)
{
	const struct entry_status_row *row = entry_status_row(entry_status(entry));
	switch (purpose == TO_LOG_IN ? row->log_in : row->mail) {
	case ENTRY_STATUS_NO:
		answer_for_good(directory, home, HOME_REFUSED, row->text);
		return false;
	case ENTRY_STATUS_LATER:
		answer(home, HOME_HELD, row->text);
		return false;
	case ENTRY_STATUS_YES:
		break;
	}
	if (entry_is_expired(entry, clock_wall_ms())) {
		answer_for_good(directory, home, HOME_REFUSED, "account has expired");
		return false;
	}
	return true;
}

static bool domain_allows(struct directory *directory, const struct entry *user, enum purpose purpose, struct arena *arena,
	struct home *home)
{
	const struct entry *domain;
	switch (home_domain(directory, user, arena, &domain)) {
	case DIRECTORY_FOUND:
		return status_allows(directory, domain, purpose, home);
	case DIRECTORY_NONE:
		return true;
	case DIRECTORY_AMBIGUOUS:
		answer(home, HOME_UNAVAILABLE, "several entries claim the domain"); // one of them may forbid it
		return false;
	case DIRECTORY_UNAVAILABLE:
		answer(home, HOME_UNAVAILABLE, "directory is not available now");
		return false;
	}
	unreachable("directory_answer");
}

// While the last delta is copied nobody writes: a delivery waits in the queue, a log-in comes again. Before, the old host has it,
// after, mailHost names the new one.
static bool is_being_moved(const struct entry *entry, enum purpose purpose, struct home *home)
{
	if (!str_eq_nocase(entry_first(entry, ATTR_PH_MOVE_STATE), STR("cutover")))
		return false;
	answer(home, purpose == TO_LOG_IN ? HOME_UNAVAILABLE : HOME_HELD, "mailbox is being moved");
	return true;
}

bool home_serves(const struct home_rules *rules, struct str host)
{
	for (size_t i = 0; i < rules->n_serves; i++)
		if (str_eq_nocase(rules->serves[i], host))
			return true;
	return rules->n_serves == 0 && str_eq_nocase(rules->hostname, host);
}

static void find_host(struct directory *directory, const struct home_rules *rules, const struct entry *entry, struct arena *arena,
	struct home *home)
{
	struct entry_cursor cursor = {0};
	struct str host, second;
	struct directory_match match;
	if (!entry_next(entry, ATTR_MAIL_HOST, &cursor, &host) || entry_next(entry, ATTR_MAIL_HOST, &cursor, &second)) {
		answer(home, HOME_UNAVAILABLE, "mailbox has no host, or several");
		return;
	}
	home->host = host;
	if (home_serves(rules, host))
		answer(home, HOME_HERE, "mailbox is on this host");
	else if (directory_find(directory, DIRECTORY_HOST, host, arena, &match) == DIRECTORY_FOUND)
		answer(home, HOME_ELSEWHERE, "mailbox is on another host");
	else
		answer(home, HOME_UNAVAILABLE, "mailbox is on a host that is not known here");
}

static void decide(struct directory *directory, const struct home_rules *rules, const struct entry *entry, enum purpose purpose,
	struct arena *arena, struct home *home)
{
	struct directory_match match;
	home->entry = entry;
	if (!(entry->classes & ENTRY_USER)) {
		answer_for_good(directory, home, HOME_NONE, "no mailbox of this name");
		return;
	}
	if (!status_allows(directory, entry, purpose, home) || is_being_moved(entry, purpose, home) ||
		!domain_allows(directory, entry, purpose, arena, home))
		return;
	if (!entry_mailbox_id(entry, &home->mailbox_id)) {
		answer(home, HOME_UNAVAILABLE, "mailbox has no identity yet");
		return;
	}
	if (directory_find(directory, DIRECTORY_MAILBOX, guid_bytes(&home->mailbox_id), arena, &match) != DIRECTORY_FOUND) {
		answer(home, HOME_UNAVAILABLE,
			"several entries claim this mailbox"); // nobody reads another's mail by a slip of the pen
		return;
	}
	home->mail = entry_first(entry, ATTR_MAIL);
	find_host(directory, rules, entry, arena, home);
}

// True when found: decided. False: nobody has the key.
static bool try_key(struct directory *directory, const struct home_rules *rules, enum directory_key kind, struct str key,
	enum purpose purpose, struct arena *arena, struct home *home)
{
	struct directory_match match;
	switch (directory_find(directory, kind, key, arena, &match)) {
	case DIRECTORY_NONE:
		return false;
	case DIRECTORY_AMBIGUOUS:
		answer(home, HOME_UNAVAILABLE, "several entries claim this address");
		return true;
	case DIRECTORY_UNAVAILABLE:
		answer(home, HOME_UNAVAILABLE, "directory is not available now");
		return true;
	case DIRECTORY_FOUND:
		decide(directory, rules, match.entry, purpose, arena, home);
		return true;
	}
	unreachable("directory_answer");
}

void home_of_account(struct directory *directory, const struct home_rules *rules, struct str account, struct arena *arena,
	struct home *home_out)
{
	struct home home = {.answer = HOME_UNAVAILABLE};
	struct guid uuid;
	directory_begin(directory);
	if (!guid_parse(account, &uuid) ||
		!try_key(directory, rules, DIRECTORY_UUID, guid_bytes(&uuid), TO_LOG_IN, arena, &home))
		answer_for_good(directory, &home, HOME_NONE, "no such account");
	directory_end(directory);
	*home_out = home;
}

// The characters that begin a detail in the address's domain.
static struct str delimiters_of(struct directory *directory, const struct home_rules *rules, const struct addr *addr,
	struct arena *arena)
{
	struct directory_match match;
	bool known = our_domain_find(directory, addr->domain.key, arena, &match) == DIRECTORY_FOUND;
	return our_domain_delimiters(known ? match.entry : NULL, rules->delimiters);
}

void home_of_recipient(struct directory *directory, const struct home_rules *rules, const struct addr *recipient,
	struct arena *arena, struct home *home_out)
{
	struct home home = {.answer = HOME_UNAVAILABLE};
	struct addr base;
	struct str detail;
	directory_begin(directory);
	bool found = try_key(directory, rules, DIRECTORY_ADDRESS, recipient->key, TO_DELIVER, arena, &home);
	if (!found && addr_detail(arena, recipient, delimiters_of(directory, rules, recipient, arena), &base, &detail)) {
		found = try_key(directory, rules, DIRECTORY_ADDRESS, base.key, TO_DELIVER, arena, &home);
		home.detail = found ? detail : STR_NONE;
	}
	if (!found)
		answer_for_good(directory, &home, HOME_NONE, "no such user here");
	directory_end(directory);
	*home_out = home;
}

enum directory_answer home_of_mailbox(struct directory *directory, const struct guid *mailbox_id, struct arena *arena,
	struct str *host_out, struct str *mail_out)
{
	struct directory_match match;
	struct entry_cursor cursor = {0};
	struct str host, second;
	enum directory_answer answer = directory_find(directory, DIRECTORY_MAILBOX, guid_bytes(mailbox_id), arena, &match);
	if (answer != DIRECTORY_FOUND)
		return answer;
	if (!entry_next(match.entry, ATTR_MAIL_HOST, &cursor, &host) || entry_next(match.entry, ATTR_MAIL_HOST, &cursor, &second))
		return DIRECTORY_AMBIGUOUS;
	*host_out = host;
	*mail_out = entry_first(match.entry, ATTR_MAIL);
	return DIRECTORY_FOUND;
}
