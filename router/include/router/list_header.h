// SPDX-License-Identifier: Apache-2.0
// What the copies of a list carry in their header, and the header of a message with it.
//
//     const struct list_header *list = verdict.header;               // RECIPIENT_LISTS_NOW or _INLINE; NULL: nothing is changed
//     if (list_header_came_back(list, start_of_message)) ...         // this list has sent it before: a loop
//     size_t at = list_header_fix(list, start_of_message, whole, is_utf8, &out);
//     // out, then the message from at on
//
// For lists of class phMailList, and whatever has phListReplyTo or phListSubjectTag. Aliases and groups stay what they are to
// sendmail and Postfix: no field is touched, whoever owns them.
//
//     List-Id: Institute news <news.uni.example>                     // RFC 2919: displayName, and the list's first address
//     List-Post: <mailto:news@uni.example>                           // NO with phListPostPolicy nobody, none with listed
//     List-Owner: <mailto:owner-news@uni.example>                    // RFC 2369; list.h says who reads these two
//     List-Help: <mailto:news-request@uni.example?subject=help>
//     List-Subscribe: <mailto:news-request@uni.example?subject=subscribe>      // not with memberURL: nobody can subscribe there
//     List-Unsubscribe: <mailto:news-request@uni.example?subject=unsubscribe>
//     Delivered-To: news@uni.example                                 // of each list on the way, for came_back
//     Precedence: list                                               // where the message has none
//
// They stand above everything else, so that a signature (DKIM) over the message still holds. Three things break one, and are done
// for a reason:
// - fields that another list has put there (RFC 2369 section 4 and RFC 2919 want one of each): its List-Unsubscribe would
//   unsubscribe this list;
// - phListSubjectTag, before the subject unless the subject has it, in any case of letters: "[news] Re: hello";
// - phListReplyTo: list, or an address, comes before what the author has in Reply-To, which stays, as Mailman's default is;
//   sender, or nothing, leaves the field as it is.
// From, To and Cc are nobody's to change: strangers to a list with a strict DMARC policy are the price of a tag
// (posthouse-mta(8)).
//
// Pure, linear in the header; nothing blocks.
#ifndef ROUTER_LIST_HEADER_H
#define ROUTER_LIST_HEADER_H

#include "base/buf.h"
#include "base/str.h"

enum {
	LIST_HEADER_FIELDS_BYTES_MAX = 7 << 10,
	LIST_HEADER_ADDED_BYTES_MAX = 8 << 10, // the most that list_header_fix adds to a header
	LIST_HEADER_TAG_BYTES_MAX = 256,       // phListSubjectTag; a longer one is not used
};

struct list_header {
	struct str id;             // "news.uni.example"
	struct str delivered_to;   // the list's first address
	struct str fields;         // whole fields with CRLF: all of the above but Precedence
	struct str tag;            // phListSubjectTag, UTF-8; empty: none
	struct str reply_to;       // addr.text; empty: Reply-To stays as it is
	struct str reply_to_key;   // its addr.key
	struct str reply_to_ascii; // for a message that is not SMTPUTF8; empty: it cannot be said there, so Reply-To stays
};

// Has this list sent the message before? start: the message, or as much of it as the header could be. By the
// Delivered-To that it adds; by List-Id where somebody took all of these away, and there alone, for news.cs@uni.example and
// news@cs.uni.example have one id.
bool list_header_came_back(const struct list_header *list, struct str start);

// Writes the new header to out, without the empty line that ends it, and returns where in the message the rest begins. start is
// the message, or so much of it that the header ends there; whole says that it is all of it. Where the header does not end,
// because it is longer than the caller keeps, the fields come on top, and nothing else changes. out has room for start.n +
// LIST_HEADER_ADDED_BYTES_MAX. is_utf8: the message is SMTPUTF8.
size_t list_header_fix(const struct list_header *list, struct str start, bool whole, bool is_utf8, struct buf *out);

#endif
