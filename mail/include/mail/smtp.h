// SPDX-License-Identifier: Apache-2.0
// The grammar of SMTP and LMTP commands (RFC 5321 section 4.1, RFC 2033 and the extensions that we announce).
//
//     struct smtp_command command;
//     if ((why = smtp_command_parse(line, &command)) != SMTP_OK)         // line: already cut at its CRLF
//         reply(smtp_reply(why));
//     row = find(table, command.verb);                                   // mta's table of commands
//     ...
//     struct smtp_mail mail;
//     if ((why = smtp_mail_parse(arena, command.argument, SMTP_FOR_MX, &mail)) != SMTP_OK) ...
//
// Liberal where real servers are: any case, spaces at the end, a space after "FROM:" and "TO:", an address without its brackets.
// Strict where it protects: NUL and controls anywhere are refused, unknown parameters are 555, a parameter given twice is 501.
// Pure; nothing here blocks. Results live in the arena (the transaction's) or borrow from the line where that is said.
#ifndef MAIL_SMTP_H
#define MAIL_SMTP_H

#include "base/arena.h"
#include "base/str.h"
#include "mail/addr.h"
#include "mail/lmtp.h"
#include "mail/reply.h"

enum smtp_result {
	SMTP_OK,
	SMTP_NO_VERB,           // empty, or its first word is no verb: 500
	SMTP_CONTROL,           // NUL or another control, or bytes that are not UTF-8: 501
	SMTP_SYNTAX,            // 501
	SMTP_BAD_SENDER,        // 501 5.1.7
	SMTP_BAD_RECIPIENT,     // 501 5.1.3
	SMTP_NEEDS_UTF8,        // 553 5.6.7
	SMTP_UNKNOWN_PARAMETER, // 555
	SMTP_DUPLICATE,         // 501
	SMTP_BAD_PARAMETER,     // 501
	SMTP_SIZE_TOO_BIG,      // SIZE over any limit (it does not fit 63 bits), a chunk over SMTP_CHUNK_BYTES_MAX: 552
	SMTP_FULL,              // the arena's cap: 451
};

// The reply that a failed parse gets.
enum reply_id smtp_reply(enum smtp_result result);

struct smtp_command {
	struct str verb;     // letters, digits, hyphens; as written, compare with str_eq_nocase; borrows from the line
	struct str argument; // after the verb and its spaces, without spaces at the end; borrows from the line
};

enum smtp_result smtp_command_parse(struct str line, struct smtp_command *command_out);

// Which parameters exist where: what the EHLO of that listener announced.
enum {
	SMTP_PARAM_SIZE = 1 << 0,
	SMTP_PARAM_BODY = 1 << 1,
	SMTP_PARAM_UTF8 = 1 << 2,
	SMTP_PARAM_DSN = 1 << 3,
	SMTP_PARAM_AUTH = 1 << 4,
	SMTP_PARAM_KEY = 1 << 5, // XPHKEY of MAIL and XPHRCPT of RCPT: LMTP between our nodes (mail/lmtp.h)
	SMTP_FOR_MX = SMTP_PARAM_SIZE | SMTP_PARAM_BODY | SMTP_PARAM_UTF8 | SMTP_PARAM_DSN,
	SMTP_FOR_SUBMISSION = SMTP_FOR_MX | SMTP_PARAM_AUTH,
	SMTP_FOR_LMTP = SMTP_FOR_MX | SMTP_PARAM_KEY,
};

enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };
enum smtp_ret { SMTP_RET_NONE, SMTP_RET_FULL, SMTP_RET_HDRS };

enum { SMTP_ENVID_BYTES_MAX = 100, SMTP_ORCPT_BYTES_MAX = 500 }; // encoded; RFC 3461 sections 4.4 and 4.2

struct smtp_mail {
	struct addr from;
	bool has_size, smtputf8, has_envid, has_auth, has_key;
	uint64_t size_bytes;
	enum smtp_body body;
	enum smtp_ret ret;
	struct str envid;    // decoded xtext, printable ASCII
	struct str auth;     // decoded xtext of AUTH=, "<>" or an address; RFC 4954: trusted by policy only
	struct guid root;    // valid with has_key (XPHKEY); whether the peer may give one is the caller's decision
};

// NOTIFY as a set; 0 when it was not given.
enum { SMTP_NOTIFY_NEVER = 1 << 0, SMTP_NOTIFY_SUCCESS = 1 << 1, SMTP_NOTIFY_FAILURE = 1 << 2, SMTP_NOTIFY_DELAY = 1 << 3 };

struct smtp_rcpt {
	struct addr to;
	unsigned notify;
	struct str orcpt_type; // "rfc822", "utf-8"; empty without ORCPT
	struct str orcpt;      // decoded, printable UTF-8; type utf-8 keeps its "\x{HEX}" (RFC 6533 section 3)
	bool has_key;          // XPHRCPT was given
	struct lmtp_rcpt_key key;
};

// The argument of MAIL: "FROM:<path> [parameters]". accepted is a set of SMTP_PARAM_*.
enum smtp_result smtp_mail_parse(struct arena *arena, struct str argument, unsigned accepted, struct smtp_mail *mail_out);

// The argument of RCPT: "TO:<path> [parameters]". utf8: did MAIL have SMTPUTF8?
enum smtp_result smtp_rcpt_parse(struct arena *arena, struct str argument, unsigned accepted, bool utf8,
	struct smtp_rcpt *rcpt_out);

// Chunks of more are refused without being read: no message can be so large.
#define SMTP_CHUNK_BYTES_MAX ((uint64_t)UINT32_MAX)

struct smtp_chunk {
	uint64_t bytes;
	bool last;
};

// The argument of BDAT (RFC 3030 section 2): "chunk-size [LAST]". SMTP_SIZE_TOO_BIG over SMTP_CHUNK_BYTES_MAX, however many
// digits; SMTP_SYNTAX for all else: then nobody knows where the next command begins.
enum smtp_result smtp_chunk_parse(struct str argument, struct smtp_chunk *chunk_out);

// The other direction, for our clients: adds "FROM:<a@b> SIZE=… BODY=8BITMIME RET=… ENVID=… XPHKEY=…" and "TO:<u@d> NOTIFY=…
// ORCPT=… XPHRCPT=…" (SMTPUTF8 when mail->smtputf8), parameters only where they are set and accepted, which is what the peer
// announced. AUTH= is not sent. Without SMTP_PARAM_UTF8 in accepted (also to be left out for a transaction whose mail is not
// SMTPUTF8) domains go out as A-labels. False when out is full, or a local part needs SMTPUTF8.
bool smtp_mail_format(const struct smtp_mail *mail, unsigned accepted, struct buf *out);
bool smtp_rcpt_format(const struct smtp_rcpt *rcpt, unsigned accepted, struct buf *out);

// The argument of HELO, EHLO and LHLO: a domain or an address literal; liberal (many send a bare host name or junk), but never
// with a control, space or bracket that could confuse a Received field. name_out borrows. At most 255 bytes.
bool smtp_helo_parse(struct str argument, struct str *name_out);

#endif
