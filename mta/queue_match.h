// SPDX-License-Identifier: Apache-2.0
// Which mail a command is about, by its addresses: "to" and "from" of a request on the control socket.
//
//     struct queue_match match;
//     if (queue_match_parse(arena, control_args(request), &match, err)) ...     // ERR_INVALID: what stands there is no address
//     if (queue_match_sender(&match, sender)) ... queue_match_row(&match, db, row) ...
//
// "to" and "from" are an address, "@domain" (that domain, not those below it), or for "from" "<>", the sender of reports.
// Addresses are compared as RCPT does (addr_key). A copy is to the address that it goes to, and to each that its client named and
// that led there; what removes it asks for `wholly`: the copy of somebody who was named himself does not go with an alias. A word
// that is there and empty is an error: a script whose variable is empty must not mean all mail.
#ifndef MTA_QUEUE_MATCH_H
#define MTA_QUEUE_MATCH_H

#include <jansson.h>

#include "base/db.h"
#include "item.h"

struct queue_match {
	bool by_to, by_from;
	struct str to, from;   // addr_key, or "@" and a domain's key; from empty: <>
	bool wholly;           // in: a copy that came for other addresses, too, is theirs: it is not meant
	struct arena *scratch; // owned: of one address
};

// *match_out may go to queue_match_fini() either way.
enum err_code queue_match_parse(struct arena *arena, const json_t *args, struct queue_match *match_out,
	struct err *err) ERR_CHECKED;
void queue_match_fini(struct queue_match *match);

// True as well where nothing is asked for. sender: canonical text, "" for <>.
bool queue_match_sender(const struct queue_match *match, struct str sender);

// The recipient in a row of QUEUE_ITEM_COLUMNS. Between transactions (cluster_log_read).
bool queue_match_row(const struct queue_match *match, struct db *db, sqlite3_stmt *row);

#endif
