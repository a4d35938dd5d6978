// SPDX-License-Identifier: Apache-2.0
// The selected folder as one session knows it: the map from sequence numbers to UIDs, what is \Recent to it, which keywords it
// has heard of, and which expunges it has not been told yet. Private to popimap/imap_*.c.
//
// The map is the session's own (PROTOCOLS 1): a number means what the session was last told, never what is in the database now.
// Messages come to its end with EXISTS and go only with EXPUNGE. An expunge that may not be told yet (RFC 3501 section 7.4.1) is
// held; the message keeps its number and stays readable. No disk is touched here but through imap_folder_sync.
#ifndef POPIMAP_IMAP_FOLDER_H
#define POPIMAP_IMAP_FOLDER_H

#include "base/conn.h"
#include "mail/imap_seqset.h"
#include "mailbox.h"

struct imap_folder {
	struct mailbox *mailbox; // borrowed
	struct watch *watch;     // owned
	uint32_t id, uidvalidity, uidnext;
	uint64_t modseq;
	bool read_only;
	bool stale; // ask for changes though no news came: asking failed, or the session itself changed something
	uint32_t *uids; // owned, ascending; number i + 1 is uids[i]
	size_t n;
	struct imap_range *recent; // owned; UIDs that are \Recent to this session, ascending
	size_t recent_n;
	uint32_t *held; // owned, ascending; expunged, in the map, not told yet
	size_t held_n;
	struct str *keywords; // owned, with their text in the same block; NULL: none
	size_t keywords_n;
};

// From a view, which is copied.
struct imap_folder *imap_folder_new(struct mailbox *mailbox, const struct folder_view *view, bool read_only);
void imap_folder_free(struct imap_folder **folder);

size_t imap_folder_recent_count(const struct imap_folder *folder);
bool imap_folder_is_recent(const struct imap_folder *folder, uint32_t uid);

// The sequence number of a UID, 0 when it is not in the map.
uint32_t imap_folder_number(const struct imap_folder *folder, uint32_t uid);

// The messages that a set names.
struct imap_picked {
	uint32_t *uids; // ascending, in the arena
	uint32_t *numbers;
	size_t n;
};

// Resolves the set and picks. Numbers that do not exist are false (PROTOCOLS 11 and 12); UIDs that do not are left out. False
// also when the arena is full.
bool imap_folder_pick(const struct imap_folder *folder, struct imap_seqset *set, bool uid, struct arena *arena,
	struct imap_picked *picked_out);

// Adds "(\Seen $Forwarded)".
void imap_folder_flags_add(const struct imap_folder *folder, uint64_t flags, bool recent, struct buf *b);

// Writes "* 7 FETCH (FLAGS (\Seen))", with_uid also "UID 9", of a message that the map has. The line keeps what the one before
// had, so that neighbours with the same flags cost little.
struct imap_flags_line {
	struct buf whole, flags;
	uint64_t of;
	bool recent;
};
void imap_flags_line_init(struct imap_flags_line *line);
void imap_flags_line_fini(struct imap_flags_line *line);
void imap_folder_write_flags(const struct imap_folder *folder, struct conn *conn, const struct folder_change *message,
	bool with_uid, struct imap_flags_line *line);

// Writes "* FLAGS (…)" and "* OK [PERMANENTFLAGS (…)]".
void imap_folder_announce_flags(const struct imap_folder *folder, struct conn *conn);

// Takes keywords that are new; true when there were some.
bool imap_folder_learn_keywords(struct imap_folder *folder, const struct folder_keywords *keywords);

// The modseqs of the session's own changes that it has told of already, ascending, in the command's arena.
struct imap_own {
	uint64_t *modseqs;
	size_t n, size;
};

// After flags that the session changed and tells of itself: if nobody else changed anything, there is nothing more to ask for.
void imap_folder_changed_by_us(struct imap_folder *folder, const struct flag_result *result, struct imap_own *own,
	struct arena *arena);

// Asks the store what is new and writes it: EXPUNGE (when gone; otherwise they are held), EXISTS and RECENT, flags that changed,
// in this order. with_uid: flags come with UIDs. *deleted_out: the folder is no more. May wait.
enum err_code imap_folder_sync(struct imap_folder *folder, struct conn *conn, struct arena *arena, const struct imap_own *own,
	bool gone, bool with_uid, bool *deleted_out, struct err *err) ERR_CHECKED;

// Is there anything to tell? Does not wait. Once true, imap_folder_sync must be called. A deleted folder is found out by it too.
bool imap_folder_has_news(struct imap_folder *folder, bool gone);

#endif
