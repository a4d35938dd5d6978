// SPDX-License-Identifier: Apache-2.0
// The directory as it would be after a change: a view over another one, for `posthouse why --ldif` and `posthouse directory diff`.
//
//     struct directory_overlay *overlay;
//     struct directory *after = directory_overlay_open(before, profile, fd, "change.ldif", complain, NULL, &overlay, &err);
//     if (after == NULL) ...                         // err.text is "change.ldif:17: what"
//     directory_overlay_asked(overlay);
//     decide(after, ...);
//     if (directory_overlay_asked(overlay)) ...      // the decision met something that changes; else it is what `before` gives
//     directory_close(&after);
//
// The change is LDIF (RFC 2849): change records as ldapmodify takes them (add, modify with add, delete and replace, delete, modrdn, moddn), or
// entries as they would be, which stand in the place of those of their name. Records are applied in order, by the rules of the intake that fills
// the shadow; every kind of look-up is answered from both, two claimants are counted over both.
//
// What the shadow does not hold is never guessed. ERR_NOTFOUND, with the line, is said for:
//   - a modify that makes an entry ours of which the shadow holds nothing; a rename of an entry unknown to it;
//   - a delete of phMailUser or phMailList by name, where phMailRecipient may stay behind: say that too, or replace objectClass;
//   - an attribute of ours with an option (mail;lang-de); a phMailboxId beside others that were refused;
//   - a modify of what a profile reads or makes: the shadow holds the entry in native words only;
//   - a delete or rename of an entry that has others of ours beneath it.
// Attributes that are not ours, and hashes (userPassword, phScram, phAppPassword), change nothing here and are passed over. A modify that the server
// would refuse (a value that is there already, or is not there) is ERR_INVALID.
//
// What is taken to be: an entry that is added gets an entryUUID when the shadow's source is a server, none when it is a file that gives
// none. DNs of members are not rewritten by a rename: a server with slapo-refint would.
// A change of phAuthRealm changes log-ins of entries that are not touched: complained about, and not answered.
//
// One thread. Holds a snapshot of `before`, which must outlive it, until it is closed: for seconds, not for a daemon. Blocks on the file.
#ifndef LDAPSYNC_DIRECTORY_OVERLAY_H
#define LDAPSYNC_DIRECTORY_OVERLAY_H

#include "base/err.h"
#include "ldapsync/directory.h"
#include "schema/profile.h"

struct directory_overlay;

enum { DIRECTORY_OVERLAY_ENTRIES_MAX = 20000 }; // touched by one change

// What the intake would say of values (they are left out, as in a load), and what is not answered. attribute may be empty.
typedef void directory_overlay_complain_fn(void *context, size_t line, struct str dn, struct str attribute, const char *what);

// NULL with err: ERR_NOTFOUND as above, ERR_BUSY when the shadow cannot be read, ERR_INVALID, ERR_UNSUPPORTED, ERR_EXISTS, ERR_LIMIT for a change
// that is none. fd stays the caller's; name is borrowed for the call.
// profile: what attributes of the change mean, borrowed for the call; NULL: native.
struct directory *directory_overlay_open(struct directory *before, const struct profile *profile, int fd, const char *name, directory_overlay_complain_fn *complain,
	void *context, struct directory_overlay **overlay_out, struct err *err);
struct directory *directory_overlay_of_text(struct directory *before, const struct profile *profile, struct str text, const char *name, directory_overlay_complain_fn *complain,
	void *context, struct directory_overlay **overlay_out, struct err *err);

// Since it was asked last: did a look-up meet an entry or a key that the change touches?
bool directory_overlay_asked(struct directory_overlay *overlay);

#endif
