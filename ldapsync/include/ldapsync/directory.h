// SPDX-License-Identifier: Apache-2.0
// The directory as every other room sees it: look-ups in the shadow, in microseconds, whether an LDAP server or ldapsync lives or
// not.
//
//     struct directory *directory = directory_open(path, fresh_s);       // one per scheduler thread, at its start
//
//     directory_begin(directory);                                          // one snapshot for all that one decision looks up
//     switch (directory_find(directory, DIRECTORY_ADDRESS, addr.key, arena, &match)) {
//     case DIRECTORY_FOUND:       ... match.entry ...
//     case DIRECTORY_NONE:        ... nobody has it; 5xx only if directory_status().fresh ...
//     case DIRECTORY_AMBIGUOUS:   ... match.entry and match.other both claim it: 4xx ...
//     case DIRECTORY_UNAVAILABLE: ... never complete, missing, damaged: 4xx ...
//     }
//     directory_end(directory);
//
// Threads: one struct directory is used by one thread at a time. The pages are mapped and a look-up takes 2-3 µs, so it may be
// called on a scheduler thread. Between begin and end nothing may yield: an open snapshot stops ldapsync's checkpoint. Without
// begin, each call has a snapshot of its own, unless the view keeps one (directory_keep): views of schedulers do.
//
// A file that is missing or not complete is no failure: look-ups say DIRECTORY_UNAVAILABLE, and the file is tried again once a
// second. Readers need the group `posthouse` and write access to shadow.db-shm: a sandbox gives SANDBOX_READ_WRITE on the folder
// shadow/, whose modes keep everything else from being written (FORMATS section 3).
//
// What comes out lives in the caller's arena and is never changed by a later commit.
#ifndef LDAPSYNC_DIRECTORY_H
#define LDAPSYNC_DIRECTORY_H

#include "base/arena.h"
#include "schema/entry.h"

struct directory;

// What an entry can be found by. The numbers are on disk.
enum directory_key {
	DIRECTORY_ADDRESS = 1, // addr.key (mail/addr.h), or "@" + domain.key: mail, mailLocalAddress, phIntlAddress of ours
	DIRECTORY_DOMAIN = 2,  // domain.key: associatedDomain of a phMailDomain
	DIRECTORY_LOGIN = 3,   // directory_login_key(): uid, phLoginAlias
	DIRECTORY_HOST = 4,    // domain.key: cn of a phMailHost
	DIRECTORY_MAILBOX = 5, // 16 bytes (guid_bytes): phMailboxId, else entryUUID, of a phMailUser
	DIRECTORY_DN = 6,      // a DN in any spelling: spaces, case and escapes do not matter
	DIRECTORY_UUID = 7,    // 16 bytes
	// "sha256:<64 hex digits>": phHostTlsPin; AMBIGUOUS is a known pin too: a node may be several hosts
	DIRECTORY_PIN = 8,
	DIRECTORY_ROUTE = 9,   // route_rule_key() (mail/route_rule.h): phRouteKey
	DIRECTORY_ACCESS = 10, // access_rule_keys() (mail/access_rule.h): phAccessKey
	DIRECTORY_CLASS_OF_SERVICE = 11, // addr_local_key() of cn of a phClassOfServiceEntry
};

enum directory_answer {
	DIRECTORY_FOUND,
	DIRECTORY_NONE,        // said by a complete shadow only
	DIRECTORY_AMBIGUOUS,   // two entries or more claim the key (I11)
	DIRECTORY_UNAVAILABLE, // cannot know now
};

struct directory_match {
	const struct entry *entry; // FOUND and AMBIGUOUS
	const struct entry *other; // AMBIGUOUS: another claimant
};

struct directory_status {
	uint64_t version;  // grows with each commit that changed something; 0: no shadow
	bool complete;     // a whole load was committed once
	bool fresh;        // NONE may become a 5xx (I8)
	int64_t age_s;     // since the source was last confirmed; -1: never
	uint64_t entries;
	bool is_ldif;      // the source is a file: an entry has an entryUUID only when the file says so
};

// Opens the shadow at path ("…/shadow/shadow.db", copied). fresh_s: the setting. Never fails, see above. May read from the disk:
// at start, or on a worker.
struct directory *directory_open(const char *path, int64_t fresh_s);
void directory_close(struct directory **directory);

// A snapshot for several look-ups; pairs nest. Does not block on the writer.
void directory_begin(struct directory *directory);
void directory_end(struct directory *directory);

// A view that keeps its snapshot: end leaves it open, also over a yield, and the next begin takes it again until it is
// DIRECTORY_KEEP_MS old: opening one costs as much as a look-up. Who says true calls directory_let_go() when idle, so that no log
// grows behind it for long.
enum { DIRECTORY_KEEP_MS = 5 };
void directory_keep(struct directory *directory, bool keep);
bool directory_is_kept(const struct directory *directory); // a snapshot is open though nobody uses it
void directory_let_go(struct directory *directory);        // ends it; nothing when there is none, or when it is in use

// Looks key up. match is set for FOUND and AMBIGUOUS, untouched otherwise; its memory is the arena's (an entry has some hundred
// bytes, a large group megabytes). An arena at its cap, and any error of the database, is DIRECTORY_UNAVAILABLE.
enum directory_answer directory_find(struct directory *directory, enum directory_key kind, struct str key, struct arena *arena,
	struct directory_match *match_out);

// The same without the first `skip` of those that claim the key: for whoever needs all claimants. Their order is the same within
// one snapshot.
enum directory_answer directory_find_more(struct directory *directory, enum directory_key kind, struct str key, size_t skip,
	struct arena *arena, struct directory_match *match_out);

// The first key of a kind that is not below `from` in the order of str_cmp: whether any begins with a prefix costs one look-up
// for each version of the shadow, so that tables that nobody uses cost nothing. {NULL, 0}: there is none, or the directory cannot
// say. In the arena.
struct str directory_next_key(struct directory *directory, enum directory_key kind, struct str from, struct arena *arena);

// Calls each for every entry, in no order, until it returns false. FOUND: each has seen them all, or has stopped; else as
// directory_find(). The entry lasts for the call. Half a second for 200,000 entries: on a worker, never on a scheduler thread.
enum directory_answer directory_each(struct directory *directory, bool (*each)(void *arg, const struct entry *entry), void *arg);

struct directory_status directory_status(struct directory *directory);

// Why the last look-up was DIRECTORY_UNAVAILABLE, for the log; borrowed until the next call; "" when it was not.
const char *directory_trouble(const struct directory *directory);

// The key of a login: "user@realm" as written, "user" in default_realm; the user part folded (addr_local_key), the realm as
// domain.key. {NULL, 0} when login cannot be one (empty, not UTF-8, control characters).
struct str directory_login_key(struct arena *arena, struct str login, struct str default_realm);

// One key for a DN in any spelling: equal DNs have equal keys.
struct guid directory_dn_key(struct str dn);

// Is it a DN at all (RFC 4514)? The empty one is none.
bool directory_is_dn(struct str dn);

// Another source of entries behind the same calls: directory_memory.h for tests, directory_overlay.h for what-ifs.
struct directory_ops {
	void (*begin)(void *source);
	void (*end)(void *source);
	enum directory_answer (*find)(void *source, enum directory_key kind, struct str key, size_t skip, struct arena *arena,
		struct directory_match *match_out);
	struct str (*next_key)(void *source, enum directory_key kind, struct str from, struct arena *arena);
	enum directory_answer (*each)(void *source, bool (*each)(void *arg, const struct entry *entry), void *arg);
	struct directory_status (*status)(void *source);
	const char *(*trouble)(const void *source);
	void (*close)(void *source);
};
struct directory *directory_new(const struct directory_ops *ops, void *source); // takes source; ops borrowed for ever

#endif
