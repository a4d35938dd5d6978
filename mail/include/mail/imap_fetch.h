// SPDX-License-Identifier: Apache-2.0
// What a FETCH asks for (RFC 3501 section 6.4.5): parsed once, macros expanded, and the names of its answers.
//
//     struct imap_fetch fetch;
//     if (imap_fetch_parse(&p, &fetch))
//         for (size_t i = 0; i < fetch.sections_n; i++)
//             imap_fetch_section_add(&fetch.sections[i], &reply);      // BODY[HEADER.FIELDS (SUBJECT)]<0>
//
// Nothing here blocks.
#ifndef MAIL_IMAP_FETCH_H
#define MAIL_IMAP_FETCH_H

#include "base/buf.h"
#include "mail/imap_parse.h"
#include "mail/mime.h"

enum imap_fetch_item {
	IMAP_FETCH_UID = 1,
	IMAP_FETCH_FLAGS = 2,
	IMAP_FETCH_INTERNALDATE = 4,
	IMAP_FETCH_SIZE = 8,
	IMAP_FETCH_ENVELOPE = 16,
	IMAP_FETCH_BODY = 32,
	IMAP_FETCH_BODYSTRUCTURE = 64,
};

enum imap_fetch_form {
	IMAP_FETCH_FORM_BODY,          // BODY[...]
	IMAP_FETCH_FORM_RFC822,        // as BODY[]
	IMAP_FETCH_FORM_RFC822_HEADER, // as BODY.PEEK[HEADER]
	IMAP_FETCH_FORM_RFC822_TEXT,   // as BODY[TEXT]
};

struct imap_fetch_section {
	struct mime_section section; // fields in the parser's arena
	enum imap_fetch_form form;
	bool peek;    // does not set \Seen
	bool partial; // "<start.count>"
	uint32_t start, count;
};

enum { IMAP_FETCH_SECTIONS_MAX = 200 };

struct imap_fetch {
	unsigned items; // IMAP_FETCH_*
	const struct imap_fetch_section *sections;
	size_t sections_n;
	bool sets_seen; // a section without PEEK is asked for
};

// One item, a macro (ALL, FAST, FULL), or items in parentheses.
bool imap_fetch_parse(struct imap_parse *p, struct imap_fetch *fetch_out);

// The item's name as the answer repeats it, with "<start>" where it is partial.
void imap_fetch_section_add(const struct imap_fetch_section *section, struct buf *b);

#endif
