// SPDX-License-Identifier: Apache-2.0
// Does a message match a SEARCH? The keys of mail/imap_search.h against what message_scan hands out. Private to popimap/imap_*.c.
//
//     struct imap_match match;
//     imap_match_init(&match, search.key);
//     message_scan(mailbox, folder, uids, n, what, imap_match_one, &match, arena, &matched, err);
//     imap_match_fini(&match);
//
// The tree is made ready first, on the fiber: sequence sets have become UIDs (IMAP_SEARCH_UID, resolved), \Recent too, keywords
// are bits. Then it is only read, so the store's thread needs nothing of the session. Texts are decoded (encoded words, transfer
// encodings, charsets) and folded once a message, however many keys look at them (PROTOCOLS 64).
#ifndef POPIMAP_IMAP_MATCH_H
#define POPIMAP_IMAP_MATCH_H

#include "mail/imap_search.h"
#include "mailbox.h"

enum {
	IMAP_MATCH_HEADER_BYTES_MAX = 256 << 10, // of a header that is looked at
	IMAP_MATCH_TEXT_BYTES_MAX = 16 << 20,    // of a message's decoded text that is looked at
};

struct imap_match_field {
	struct str name, text; // text is folded
};

struct imap_match {
	const struct imap_search_key *key;
	struct imap_seqset recent; // resolved; borrowed
	// Of the message that is looked at now.
	const struct message *message;
	struct arena *arena;  // owned
	struct imap_match_field *fields;
	size_t fields_n;
	bool fields_known, text_known;
	struct buf text;      // folded text of the body
	struct buf a, b;      // scratch
};

void imap_match_init(struct imap_match *match, const struct imap_search_key *key, const struct imap_seqset *recent);
void imap_match_fini(struct imap_match *match);

// A message_match; arg is the struct imap_match.
bool imap_match_one(void *arg, const struct message *message);

// KEYWORD's bit of the flags, as key->number: the bit plus one, 0 when the folder has no such keyword.
#define IMAP_MATCH_NO_KEYWORD 0

#endif
