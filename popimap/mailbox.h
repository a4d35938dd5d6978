// SPDX-License-Identifier: Apache-2.0
// One mailbox as a session sees it: folders, messages, changes. The session holds a struct mailbox and its own map of sequence
// numbers; nothing here knows sequence numbers.
//
//     struct mailbox *mb;
//     if (mailbox_open(store, &(struct mailbox_access){.account = id, .actor = id, .home = &home}, &mb, err)) ...
//     struct folder_view view;                                     // SELECT
//     code = folder_select(mb, &name, FOLDER_READ_WRITE, arena, &view, err);
//     struct watch *watch = watch_new(mb, view.info.id);           // wakes this fiber with FIBER_MESSAGE
//     ...
//     if (watch_changed(watch))                                    // NOOP, IDLE, the end of any command: no disk without news
//             code = folder_changes(mb, view.info.id, &seen, arena, &changes, err);
//     watch_free(&watch);
//     mailbox_close(&mb);
//
// Rules of the numbers (PROTOCOLS 1): uids ascend in commit order and never come back; UIDVALIDITY of a name that is made again
// is larger than every earlier one in this mailbox; MODSEQ is one counter for the whole mailbox, so a change in one folder leaves
// gaps in the others. Messages do not change. An expunged one stays readable by its uid for STORE_TRASH_S, for sessions that were
// not told yet.
//
// All calls but those marked otherwise may wait, end only with their job, and are for the fiber (or thread) that opened the
// mailbox. The rules for failures are store.h's. Arrays of uids that are given must ascend. What is given back lives in the
// arena, or is owned where it says so; ERR_LIMIT when the arena is full.
#ifndef POPIMAP_MAILBOX_H
#define POPIMAP_MAILBOX_H

#include "mail/mailbox_name.h"
#include "store.h"

struct mailbox;

// The actor is who is logged in, the account whose mailbox it is; rights are the actor's. Until there are shared folders, an
// actor other than the account is ERR_DENIED.
struct mailbox_access {
	struct guid account, actor;
	const struct store_home *home; // NULL: the mailbox must exist (ERR_NOTFOUND)
	struct store_quota quota;      // as the directory said then; for message_append()
};

// Checks that the mailbox is there and serves; makes it with its default folders (store.h, struct store_home). Holds no database
// open.
enum err_code mailbox_open(struct store *store, const struct mailbox_access *access, struct mailbox **mailbox_out,
	struct err *err) ERR_CHECKED;
void mailbox_close(struct mailbox **mailbox); // does not wait

// POP3's lock on the maildrop (RFC 1939 section 4): one holder at a time; false: somebody has it. Ends with mailbox_close. Does
// not wait.
bool mailbox_lock_maildrop(struct mailbox *mailbox);

struct mailbox_usage {
	uint64_t bytes, messages; // over all folders; copies count as often as they are seen
};
enum err_code mailbox_usage(struct mailbox *mailbox, struct mailbox_usage *usage_out, struct err *err) ERR_CHECKED;

// --- Flags ---

// System flags are bits 0-4; keyword k of the folder is bit FLAG_KEYWORD_0 + k. Keywords are the folder's, at most
// FLAG_KEYWORDS_MAX; one keeps its bit for ever and the case in which it was first set. \Recent is no flag here, see struct
// folder_view.
enum {
	FLAG_SEEN = 1 << 0,
	FLAG_ANSWERED = 1 << 1,
	FLAG_FLAGGED = 1 << 2,
	FLAG_DELETED = 1 << 3,
	FLAG_DRAFT = 1 << 4,
	FLAG_SYSTEM = 31,
	FLAG_UNENDED = 1 << 5, // nobody sees or sets it: the message has no final line end, for which POP3 sends one more
	FLAG_KEYWORD_0 = 8,
	FLAG_KEYWORDS_MAX = 55,
	FLAG_KEYWORD_BYTES_MAX = 128,
};

// Flags by name, as a client gave them: system bits, and keywords as IMAP atoms (checked by the parser).
struct flag_names {
	uint64_t system; // of FLAG_SYSTEM
	const struct str *keywords;
	size_t n;
};

struct folder_keywords {
	struct str name[FLAG_KEYWORDS_MAX];
	size_t n;
};

// --- Folders ---

enum folder_use { // RFC 6154
	FOLDER_USE_NONE,
	FOLDER_USE_ARCHIVE,
	FOLDER_USE_DRAFTS,
	FOLDER_USE_JUNK,
	FOLDER_USE_SENT,
	FOLDER_USE_TRASH,
};

struct folder_info {
	uint32_t id;                  // inside this mailbox, never used again. 0: a name without a folder (only subscribed)
	struct mailbox_name name;     // in the arena
	struct guid guid;             // MAILBOXID (RFC 8474)
	uint32_t uidvalidity, uidnext;
	uint64_t modseq;              // HIGHESTMODSEQ
	uint32_t messages, unseen, deleted, recent;
	uint64_t bytes;               // STATUS SIZE
	enum folder_use use;
	bool selectable;              // false: \Noselect, only a parent
	bool has_children;
	bool subscribed;
};

// All folders, parents before children (by name, '/' before all other characters; INBOX first), and subscribed names without a
// folder. Patterns are the session's to match.
enum err_code folder_list(struct mailbox *mailbox, struct arena *arena, struct folder_info **folders_out, size_t *n_out,
	struct err *err) ERR_CHECKED;

// STATUS. ERR_NOTFOUND also for a \Noselect name.
enum err_code folder_status(struct mailbox *mailbox, const struct mailbox_name *name, struct arena *arena,
	struct folder_info *info_out, struct err *err) ERR_CHECKED;

// Is there such a folder, not \Noselect? ERR_NOTFOUND. For who is about to send a message. May wait.
enum err_code folder_takes_messages(struct mailbox *mailbox, const struct mailbox_name *name, struct err *err) ERR_CHECKED;

// Makes a folder and the parents that are missing (rule 43), which can be selected too. ERR_EXISTS (a \Noselect parent becomes a
// folder again instead), ERR_LIMIT over FOLDERS_MAX. A special use that another folder has is ERR_INVALID (rule 45).
enum { FOLDERS_MAX = 20000 };
enum err_code folder_create(struct mailbox *mailbox, const struct mailbox_name *name, enum folder_use use,
	struct err *err) ERR_CHECKED;

// With its messages. With children it stays as \Noselect; a \Noselect one is ERR_EXISTS while it has children, INBOX is
// ERR_DENIED.
enum err_code folder_delete(struct mailbox *mailbox, const struct mailbox_name *name, struct err *err) ERR_CHECKED;

// With its children, in one step; missing parents of the new name are made. ids, guids, uids and UIDVALIDITY stay. INBOX: its
// messages move into the new folder, INBOX stays, children stay (rule 33). ERR_NOTFOUND, ERR_EXISTS, ERR_INVALID (below itself).
enum err_code folder_rename(struct mailbox *mailbox, const struct mailbox_name *from, const struct mailbox_name *to,
	struct err *err) ERR_CHECKED;

// Any valid name; subscriptions outlive folders (rule 36). Doing it twice is fine. ERR_LIMIT over FOLDERS_MAX.
enum err_code folder_subscribe(struct mailbox *mailbox, const struct mailbox_name *name, bool subscribed,
	struct err *err) ERR_CHECKED;

// --- Selecting, and what changed since ---

enum folder_mode { FOLDER_READ_ONLY, FOLDER_READ_WRITE };

struct uid_list {
	uint32_t *p; // ascending
	size_t n;
};

struct folder_view {
	struct folder_info info;
	struct folder_keywords keywords;
	struct uid_list uids;  // in the arena: the first column of a session's map
	uint32_t recent_from;  // uids from here on are \Recent: to this session alone when read-write, 0: none
	uint32_t first_unseen; // uid, 0: none
};

// ERR_NOTFOUND: no such folder, or \Noselect. Read-write takes \Recent for itself.
enum err_code folder_select(struct mailbox *mailbox, const struct mailbox_name *name, enum folder_mode mode, struct arena *arena,
	struct folder_view *view_out, struct err *err) ERR_CHECKED;

struct folder_seen { // what the session knows
	uint64_t modseq;      // of view.info, then of each struct folder_changes
	uint32_t uidnext;     // the same
	uint32_t uidvalidity; // the same
	bool take_recent;     // selected read-write
};

struct folder_change {
	uint32_t uid;
	uint64_t flags, modseq;
};

struct folder_changes {
	bool gone;                       // deleted: nothing else is filled
	uint64_t modseq;                 // what is known from now on
	uint32_t uidnext;                // the same
	struct uid_list expunged;        // of uids below seen.uidnext
	const struct folder_change *arrived; // new messages, ascending
	size_t arrived_n;
	const struct folder_change *changed; // flags of messages below seen.uidnext, with one's own changes, ascending
	size_t changed_n;
	uint32_t recent_from;            // of the arrived, these are \Recent to this session; 0: none
	struct folder_keywords keywords; // all that there are now
};

// Everything after seen.modseq: NOOP, IDLE; and CONDSTORE's and QRESYNC's first answer, with a modseq that the client gave. A
// message that came and went in between is only in expunged.
enum err_code folder_changes(struct mailbox *mailbox, uint32_t folder, const struct folder_seen *seen, struct arena *arena,
	struct folder_changes *changes_out, struct err *err) ERR_CHECKED;

// Wakes the fiber that made it with FIBER_MESSAGE after each commit that changed the folder (one's own too), deleted or renamed
// it.
struct watch;
struct watch *watch_new(struct mailbox *mailbox, uint32_t folder); // does not wait; never NULL
void watch_free(struct watch **watch);                             // before mailbox_close; does not wait

// True once after news, until the next. Look, then ask folder_changes. Does not wait.
bool watch_changed(struct watch *watch);

// --- Reading ---

// What to give of each message beside its numbers.
enum {
	FETCH_CACHE = 1,  // the blob of mail/cache.h; made anew from the body when it is missing or of another version
	FETCH_HEADER = 2, // the header with its blank line: `text`, when it has at most 64 KiB
	FETCH_IDS = 8,    // emailid and thread, which cost a look into another table
	// alone: nothing but uid, found, flags and modseq, which is many times cheaper; how clients begin a session
	FETCH_FLAGS = 16,
	// the whole message: `text`, when it has at most STORE_INLINE_BYTES_MAX bytes; else read it with message_read
	FETCH_TEXT = 4,
};

struct message {
	uint32_t uid;
	bool found;          // false: there is and was no such uid here; nothing else is filled
	bool expunged;       // but still readable
	uint64_t flags, modseq;
	uint64_t bytes;      // RFC822.SIZE: prefix and body
	struct date received; // INTERNALDATE
	int64_t saved_ms;    // SAVEDATE: when it came into this folder
	struct guid emailid; // FETCH_IDS. EMAILID: copies in this mailbox have the same one
	uint64_t thread;     // FETCH_IDS. THREADID, in this mailbox
	struct str cache;    // FETCH_CACHE
	struct str text;     // FETCH_HEADER, FETCH_TEXT; {NULL, 0} when it was too large
};

// The messages of uids, in order, at most FETCH_MESSAGES_MAX (with FETCH_TEXT FETCH_TEXTS_MAX) and as long as the arena and
// FETCH_BYTES_MAX hold them, but at least one (ERR_LIMIT when not even that). *n_out says how many of the uids are answered: ask
// again from there.
enum { FETCH_MESSAGES_MAX = 1000, FETCH_TEXTS_MAX = 128, FETCH_BYTES_MAX = 256 << 10 };
enum err_code message_fetch(struct mailbox *mailbox, uint32_t folder, const uint32_t *uids, size_t n, unsigned what,
	struct arena *arena, struct message **messages_out, size_t *n_out, struct err *err) ERR_CHECKED;

// Bytes [at, at + n) of a message, appended to out; fewer at its end (rule 51). At most MESSAGE_READ_BYTES_MAX at a time; only
// these bytes are read from the disk.
enum { MESSAGE_READ_BYTES_MAX = 256 << 10 };
enum err_code message_read(struct mailbox *mailbox, uint32_t folder, uint32_t uid, uint64_t at, size_t n, struct buf *out,
	struct err *err) ERR_CHECKED;

// SEARCH: calls match for the messages of uids that are still there, on a store thread, in slices; the uids for which it said
// true are in matched_out. text is the whole message (with FETCH_TEXT, whatever its size) or its header (FETCH_HEADER), cache as
// in FETCH_CACHE; all borrowed for the call. match must not wait, and touches nothing but arg, its own.
typedef bool message_match(void *arg, const struct message *message);
enum err_code message_scan(struct mailbox *mailbox, uint32_t folder, const uint32_t *uids, size_t n, unsigned what,
	message_match *match, void *arg, struct arena *arena, struct uid_list *matched_out, struct err *err) ERR_CHECKED;

// --- Changing ---

enum flag_change { FLAG_ADD, FLAG_REMOVE, FLAG_REPLACE };

struct flag_request {
	enum flag_change change;
	struct flag_names flags;
	uint64_t unchanged_since; // RFC 7162: only messages with a MODSEQ of at most this; UINT64_MAX: all
	uint64_t known_modseq;    // what the session has been told of; 0: does not matter
};

struct flag_result {
	const struct folder_change *now;  // every message of uids that was there and not refused: its flags after it, ascending
	size_t n;
	struct uid_list modified;         // refused by unchanged_since
	struct uid_list covered;          // whose change by somebody else, after known_modseq, has the MODSEQ of this one now
	struct folder_keywords keywords;  // all that there are now
	uint64_t modseq;                  // of this change; 0 when nothing changed
	bool alone;                       // nothing had changed in the folder since known_modseq but this
};

// All or nothing. Messages whose flags stay the same keep their MODSEQ. ERR_LIMIT: no bit is left for a new keyword.
enum err_code message_flag(struct mailbox *mailbox, uint32_t folder, const uint32_t *uids, size_t n,
	const struct flag_request *request, struct arena *arena, struct flag_result *result_out, struct err *err) ERR_CHECKED;

// Expunges those of uids (NULL: of all) that have \Deleted. gone_out: which went.
enum err_code message_expunge(struct mailbox *mailbox, uint32_t folder, const uint32_t *uids, size_t n, struct arena *arena,
	struct uid_list *gone_out, struct err *err) ERR_CHECKED;

// POP3's QUIT: expunges uids whatever their flags.
enum err_code message_remove(struct mailbox *mailbox, uint32_t folder, const uint32_t *uids, size_t n, struct arena *arena,
	struct uid_list *gone_out, struct err *err) ERR_CHECKED;

struct copy_result {
	uint32_t uidvalidity;      // of the target
	struct uid_list from, to;  // in matching order; uids that are gone are not in it (rule 12)
};

// All or nothing (rule 69), with flags, keywords and INTERNALDATE; bodies are shared. move: the originals are expunged in the
// same commit. ERR_NOTFOUND with *to_missing_out true: it is the target that is missing ([TRYCREATE]).
enum err_code message_copy(struct mailbox *mailbox, uint32_t folder, const uint32_t *uids, size_t n,
	const struct mailbox_name *to, bool move, struct arena *arena, struct copy_result *result_out, bool *to_missing_out,
	struct err *err) ERR_CHECKED;

struct append {
	struct incoming *body;
	struct flag_names flags;
	struct date received; // INTERNALDATE
};

// All or nothing. ERR_NOTFOUND: no such folder ([TRYCREATE]). uids ascend in the order of appends.
enum err_code message_append(struct mailbox *mailbox, const struct mailbox_name *to, const struct append *appends, size_t n,
	struct arena *arena, uint32_t *uidvalidity_out, struct uid_list *uids_out, struct err *err) ERR_CHECKED;

#endif
