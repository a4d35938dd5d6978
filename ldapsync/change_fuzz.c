// SPDX-License-Identifier: Apache-2.0
// Any text as a change of a small directory: it is refused with its line, or the view is whole: each key that can be asked for
// leads to entries that decode, an entry is found by its uuid, and what no change touches is answered as before. The directory
// answers for some names, in laser's words too.
// Covers: ldapsync/change.c ldapsync/change_modify.c ldapsync/change_ask.c ldapsync/directory_overlay.c ldapsync/dn.c
#include <stdint.h>

#include "base/must.h"
#include "ldapsync/directory_memory.h"
#include "ldapsync/directory_overlay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 64 << 20, STEPS_MAX = 2000 };

static const char people[] =
	"dn: dc=u\nobjectClass: phMailDomain\nassociatedDomain: u.example\nphDomainType: local\nphAuthRealm: r.example\n\n"
	"dn: uid=a,dc=u\nobjectClass: phMailUser\nuid: a\nmail: a@u.example\nmailHost: h.u.example\n"
	"phMailboxId: 11111111222233334444555555555555\n\n"
	"dn: uid=b,dc=v\nobjectClass: phMailUser\nuid: b\nmail: b@u.example\nmail: c@u.example\n"
	"entryUUID: 11111111-2222-3333-4444-666666666666\n\n"
	"dn: uid=d,dc=v\nobjectClass: phMailAlias\nmail: c@u.example\nrfc822MailMember: a@u.example\n\n"
	"dn: cn=g,dc=v\nobjectClass: phMailGroup\ncn: g\nmail: g@u.example\nmember: uid=a,dc=u\nmember: uid=b,dc=v\n\n"
	"dn: cn=h,dc=v\nobjectClass: phMailHost\ncn: h.u.example\nphHostEndpoint: lmtp=inet:127.0.0.1:24\n\n";

static void complain(void *context, size_t line, struct str dn, struct str attribute, const char *what)
{
	(void)context;
	(void)dn;
	(void)attribute;
	must(line > 0 && what != NULL);
}

// A source that has whoever is beneath dc=v, with more than the shadow.
static enum err_code fetch(void *context, const struct str *dns, size_t n, entry_source_value_fn *each, void *taker,
	struct err *err)
{
	(void)context;
	(void)err;
	for (size_t i = 0; i < n; i++) {
		if (!str_ends(dns[i], STR("dc=v")))
			continue;
		each(taker, i, STR("objectClass"), STR("inetLocalMailRecipient"));
		each(taker, i, STR("mailLocalAddress"), STR("q@u.example"));
		each(taker, i, STR("mailRoutingAddress"), STR("a@u.example"));
		each(taker, i, STR("entryUUID"), dns[i]);
		if (dns[i].n > 20)
			each(taker, i, STR(""), STR(""));
	}
	return ERR_OK;
}

// One kind's keys in order; each leads somewhere, and where the overlay saw nothing of the change, to what was there before.
static void check_kind(struct directory *before, struct directory *after, struct directory_overlay *overlay,
	enum directory_key kind, struct arena *arena)
{
	struct directory_match match, old;
	struct str from = STR("");
	for (size_t i = 0; i < STEPS_MAX; i++) {
		struct str key = directory_next_key(after, kind, from, arena);
		if (key.n == 0)
			return;
		must(str_cmp(key, from) >= 0);
		(void)directory_overlay_asked(overlay);
		enum directory_answer answer = directory_find(after, kind, key, arena, &match);
		must(answer == DIRECTORY_FOUND || answer == DIRECTORY_AMBIGUOUS);
		if (!directory_overlay_asked(overlay)) {
			must(directory_find(before, kind, key, arena, &old) == answer);
			must(guid_eq(&old.entry->uuid, &match.entry->uuid) && str_eq(old.entry->values, match.entry->values));
		}
		char *next = arena_must(arena, key.n + 1);
		memcpy(next, key.p, key.n);
		next[key.n] = '\0';
		from = str_of(next, key.n + 1);
	}
}

struct seen {
	struct directory *after;
	struct arena *arena;
};

static bool check_entry(void *arg, const struct entry *entry)
{
	struct seen *seen = arg;
	struct directory_match match;
	enum directory_answer answer = directory_find(seen->after, DIRECTORY_UUID, guid_bytes(&entry->uuid), seen->arena, &match);
	must(answer == DIRECTORY_FOUND || answer == DIRECTORY_AMBIGUOUS);
	answer = directory_find(seen->after, DIRECTORY_DN, entry->dn, seen->arena, &match);
	must(answer == DIRECTORY_FOUND || answer == DIRECTORY_AMBIGUOUS);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum directory_key kinds[] = {DIRECTORY_ADDRESS, DIRECTORY_DOMAIN, DIRECTORY_LOGIN, DIRECTORY_HOST,
		DIRECTORY_MAILBOX, DIRECTORY_ROUTE, DIRECTORY_ACCESS};
	const struct entry_source source = {fetch, NULL};
	struct profile *profile = profile_new(size % 2 ? SETTINGS_LDAP_PROFILE_LASER : SETTINGS_LDAP_PROFILE_NATIVE, NULL);
	const struct directory_overlay_change change = {
		.name = "fuzz", .profile = profile, .source = &source, .complain = complain};
	struct err err = {0};
	struct directory_overlay *overlay;
	struct arena *arena = arena_new(ARENA_BYTES);
	struct directory *before = directory_memory_new(str_of_c(people), NULL, &err);
	must(before != NULL);
	struct directory *after =
		directory_overlay_of_text(before, &change, str_of((const char *)data, size), &overlay, &err);
	must((after == NULL) == (err.code != ERR_OK));
	for (size_t i = 0; after && i < sizeof kinds / sizeof *kinds; i++)
		check_kind(before, after, overlay, kinds[i], arena);
	if (after)
		must(directory_each(after, check_entry, &(struct seen){after, arena}) == DIRECTORY_FOUND);
	directory_close(&after);
	directory_close(&before);
	profile_free(&profile);
	arena_free(&arena);
	return 0;
}
