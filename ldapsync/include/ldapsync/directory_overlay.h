// SPDX-License-Identifier: Apache-2.0
// The directory as it would be after a change: a view over another one, for `posthouse why --ldif` and `posthouse directory
// diff`.
//
//     const struct directory_overlay_change change = {.name = "change.ldif", .profile = profile, .source = &source, .complain =
//     complain}; struct directory_overlay *overlay;
//     struct directory *after = directory_overlay_open(before, &change, fd, &overlay, &err);
//     if (after == NULL) ...                         // err.text is "change.ldif:17: what"
//     directory_overlay_asked(overlay);
//     decide(after, ...);
//     if (directory_overlay_asked(overlay)) ...      // the decision met something that changes; else it is what `before` gives
//     directory_close(&after);
//
// The change is LDIF (RFC 2849): change records as ldapmodify takes them (add, modify with add, delete and replace, delete,
// modrdn, moddn), or entries as they would be, which stand in the place of those of their name. Records are applied in order, by
// the rules of the intake that fills the shadow; every kind of look-up is answered from both, two claimants are counted over
// both.
//
// A modify or rename is applied to the entry as the shadow holds it where that is enough. Where it may not be, the directory
// itself is asked for the entry (source): where a profile reads it, where the shadow knows nothing of it (it becomes ours), and
// where classes or phMailboxId change. The entry is then that of the directory of this moment, all of it, in its own words: it
// goes through the profile and the intake as a whole.
//
// What is not known is never guessed. ERR_NOTFOUND, with the line, is said for:
//   - any of these where there is no source, or it cannot be asked: with the reason;
//   - an attribute of ours with an option (mail;lang-de);
//   - a delete or rename of an entry that has others of ours beneath it.
// Attributes that are not ours, and hashes (userPassword, phScram, phAppPassword), change nothing here and are passed over. A
// modify that the server would refuse (a value that is there already, or is not there; an entry that the source has not) is
// ERR_INVALID.
//
// What is taken to be: an entry that is added gets an entryUUID when the shadow's source is a server, none when it is a file that
// gives none. DNs of members are not rewritten by a rename: a server with slapo-refint would. A change of phAuthRealm changes
// log-ins of entries that are not touched: complained about, and not answered.
//
// One thread. Holds a snapshot of `before`, which must outlive it, until it is closed: for seconds, not for a daemon. Blocks on
// the file.
#ifndef LDAPSYNC_DIRECTORY_OVERLAY_H
#define LDAPSYNC_DIRECTORY_OVERLAY_H

#include "base/err.h"
#include "ldapsync/directory.h"
#include "ldapsync/entry_source.h"
#include "schema/profile.h"

struct directory_overlay;

enum {
	DIRECTORY_OVERLAY_ENTRIES_MAX = 20000,         // touched by one change
	DIRECTORY_OVERLAY_FILE_BYTES_MAX = 256 << 20,  // of the file
};

// What the intake would say of values (they are left out, as in a load), and what is not answered. attribute may be empty.
typedef void directory_overlay_complain_fn(void *context, size_t line, struct str dn, struct str attribute, const char *what);

struct directory_overlay_change {
	const char *name;                  // of the file, for messages
	const struct profile *profile;     // what attributes of the change mean; NULL: native
	const struct entry_source *source; // NULL: there is nobody to ask
	directory_overlay_complain_fn *complain;
	void *context;                     // of complain
};

// NULL with err: ERR_NOTFOUND as above, ERR_BUSY when the shadow cannot be read, ERR_INVALID, ERR_UNSUPPORTED, ERR_EXISTS,
// ERR_LIMIT for a change that is none. fd stays the caller's, text and change are borrowed for the call.
struct directory *directory_overlay_open(struct directory *before, const struct directory_overlay_change *change, int fd,
	struct directory_overlay **overlay_out, struct err *err);
struct directory *directory_overlay_of_text(struct directory *before, const struct directory_overlay_change *change,
	struct str text, struct directory_overlay **overlay_out, struct err *err);

// Since it was asked last: did a look-up meet an entry or a key that the change touches?
bool directory_overlay_asked(struct directory_overlay *overlay);

#endif
