// SPDX-License-Identifier: Apache-2.0
// The stream after DATA, both ways: dots and line ends (RFC 5321 section 4.5.2), and nothing that could smuggle a second message.
// And what BDAT carries (RFC 3030): the same without dots.
//
//     struct smtp_data_decoder decoder;
//     smtp_data_decoder_init(&decoder, SMTP_NEWLINE_REJECT, line_bytes_max);
//     do {
//         in = bytes from the connection;
//         used = smtp_data_decode(&decoder, in, &out);                   // out: message bytes, CRLF line ends only
//         drop used bytes of in; store out; buf_clear(&out);
//     } while (!decoder.done);
//     if (!smtp_data_verdict(&decoder, &why)) refuse with reply_of(why);
//
// Only CR LF "." CR LF ends the data (or "." CR LF as the very first line); the bytes after it are not consumed. LF "." LF, LF
// "." CR LF, CR "." CR, CR LF "." LF, CR LF NUL "." CR LF and their like never do, in either mode. What comes out has no bare CR
// and no bare LF: a bare LF is CRLF, a bare CR a space, a NUL is dropped. In reject mode the message is refused at its end, with
// all of it consumed; in normalize mode it is taken as it came out. A leading dot is removed only after CRLF, because a sender
// adds one only there.
// In chunks (BDAT) a dot means nothing and the caller knows where the message ends: smtp_data_decode_end is called there. Line
// ends are treated as above, for RFC 3030 section 3 wants text in its canonical form too, and what the next hop gets by DATA must
// be that. A last line without CRLF stays so.
// Step functions: any split of the input gives the same output. Nothing here blocks.
#ifndef MAIL_SMTP_DATA_H
#define MAIL_SMTP_DATA_H

#include "base/buf.h"
#include "base/str.h"
#include "mail/reply.h"

enum smtp_newline { SMTP_NEWLINE_REJECT, SMTP_NEWLINE_NORMALIZE };

struct smtp_data_decoder {
	enum smtp_newline newline;
	size_t line_bytes_max; // longest line accepted, without CRLF; 0: no limit
	unsigned state;        // private
	bool chunks;           // private: dots mean nothing
	size_t line_bytes;     // private: bytes of the line so far
	bool done;             // the final dot was consumed, or smtp_data_decode_end called
	bool bare_cr, bare_lf, nul, long_line; // what occurred
	uint64_t bytes;        // message bytes put out so far
};

void smtp_data_decoder_init(struct smtp_data_decoder *decoder, enum smtp_newline newline, size_t line_bytes_max);

// The same for the octets of BDAT chunks, all of a message one after the other.
void smtp_data_decoder_init_chunks(struct smtp_data_decoder *decoder, enum smtp_newline newline, size_t line_bytes_max);

// Decodes input into out until its end or the final dot; returns the bytes consumed. out must have room for 2 * in.n + 4 bytes (a
// bug otherwise).
size_t smtp_data_decode(struct smtp_data_decoder *decoder, struct str in, struct buf *out);

// The end of the last chunk: adds what was held back, at most 1 byte. Sets done.
void smtp_data_decode_end(struct smtp_data_decoder *decoder, struct buf *out);

// May the message be taken, as far as it has come? Final after done. Else why_out is the reason: REPLY_BARE_NEWLINE (550 5.5.2,
// what Postfix's smtpd_forbid_bare_newline = reject answers by default), REPLY_NUL_IN_DATA (reject mode only),
// REPLY_DATA_LINE_TOO_LONG.
bool smtp_data_verdict(const struct smtp_data_decoder *decoder, enum reply_id *why_out);

struct smtp_data_encoder {
	size_t line_bytes_max; // longer lines are wrapped with CRLF and a space; 0: never
	unsigned state;        // private
	size_t line_bytes;     // private
};

// line_bytes_max: 998 to the world (RFC 5321 section 4.5.3.1.6), 0 between our nodes, where bytes must stay as they are.
void smtp_data_encoder_init(struct smtp_data_encoder *encoder, size_t line_bytes_max);

// Adds in with its leading dots doubled and every line end as CRLF (bare LF too; a bare CR becomes a space). False when out is
// full: a bug unless it has room for 3 * in.n + 4 bytes.
bool smtp_data_encode(struct smtp_data_encoder *encoder, struct str in, struct buf *out);

// Adds the CRLF that the last line may lack, and ".\r\n".
bool smtp_data_encode_end(struct smtp_data_encoder *encoder, struct buf *out);

#endif
