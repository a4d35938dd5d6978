// SPDX-License-Identifier: Apache-2.0
// DATA and BDAT: a decoder and an encoder that take bytes in any portions.
//
// Decoder states say what stands before the next byte. Only AT_LINE, reached by CR LF alone (or the start), lets a dot count:
//
//     state \ byte   CR            LF                 "."                      other, NUL
//     AT_LINE        AFTER_CR      bare LF: IN_LINE   AFTER_DOT                IN_LINE
//     AFTER_DOT      AFTER_DOT_CR  bare LF: IN_LINE   IN_LINE, dot removed     IN_LINE, dot removed
//     AFTER_DOT_CR   bare CR: AFTER_CR   DONE         bare CR: IN_LINE         bare CR: IN_LINE
//     IN_LINE        AFTER_CR      bare LF: IN_LINE   IN_LINE                  IN_LINE
//     AFTER_CR       bare CR: AFTER_CR   AT_LINE      bare CR: IN_LINE         bare CR: IN_LINE
//
// After a bare LF the state is IN_LINE, so a dot there is text: no receiver behind us, which sees CRLF lines with their dots
// doubled again by the encoder, can read an end of data out of it. In chunks AT_LINE is never entered, and with it no state of a
// dot.
#include "mail/smtp_data.h"

#include <endian.h>
#include <string.h>

#include "base/must.h"

enum { AT_LINE, AFTER_DOT, AFTER_DOT_CR, IN_LINE, AFTER_CR };

void smtp_data_decoder_init(struct smtp_data_decoder *decoder, enum smtp_newline newline, size_t line_bytes_max)
{
	*decoder = (struct smtp_data_decoder){.newline = newline, .line_bytes_max = line_bytes_max, .state = AT_LINE};
}

void smtp_data_decoder_init_chunks(struct smtp_data_decoder *decoder, enum smtp_newline newline, size_t line_bytes_max)
{
	*decoder = (struct smtp_data_decoder){
		.newline = newline, .line_bytes_max = line_bytes_max, .state = IN_LINE, .chunks = true};
}

static void put(struct smtp_data_decoder *decoder, struct str s, struct buf *out)
{
	must(buf_add(out, s));
	decoder->bytes += s.n;
}

static void count_text(struct smtp_data_decoder *decoder, size_t n)
{
	decoder->line_bytes += n;
	if (decoder->line_bytes_max && decoder->line_bytes > decoder->line_bytes_max)
		decoder->long_line = true;
}

static void put_text(struct smtp_data_decoder *decoder, struct str s, struct buf *out)
{
	put(decoder, s, out);
	count_text(decoder, s.n);
}

static void put_line_end(struct smtp_data_decoder *decoder, struct buf *out)
{
	put(decoder, STR("\r\n"), out);
	decoder->line_bytes = 0;
}

// The CR that was held back turned out to be no line end.
static void put_bare_cr(struct smtp_data_decoder *decoder, struct buf *out)
{
	decoder->bare_cr = true;
	put_text(decoder, STR(" "), out);
}

// CR, LF, NUL, or a byte that the state looks at; the rest goes by runs.
static void step(struct smtp_data_decoder *decoder, char c, struct buf *out)
{
	bool after_cr = decoder->state == AFTER_CR || decoder->state == AFTER_DOT_CR;
	if (c == '\n' && after_cr) {
		decoder->done = decoder->state == AFTER_DOT_CR;
		if (!decoder->done)
			put_line_end(decoder, out);
		decoder->state = decoder->chunks ? IN_LINE : AT_LINE;
		return;
	}
	if (after_cr)
		put_bare_cr(decoder, out);
	switch (c) {
	case '\r':
		decoder->state = decoder->state == AFTER_DOT ? AFTER_DOT_CR : AFTER_CR;
		return;
	case '\n':
		decoder->bare_lf = true;
		put_line_end(decoder, out);
		break;
	case '\0':
		decoder->nul = true;
		break;
	case '.':
		if (decoder->state == AT_LINE) {
			decoder->state = AFTER_DOT;
			return;
		}
		put_text(decoder, STR("."), out);
		break;
	default:
		put_text(decoder, str_of(&c, 1), out);
		break;
	}
	decoder->state = IN_LINE;
}

static bool is_text(char c)
{
	return c != '\r' && c != '\n' && c != '\0';
}

// Where the first byte below 0x0e is, of eight; 8 without one. CR, LF and NUL are such bytes, letters are not. Subtracting
// borrows from the top bit of such a byte; what a borrow does to bytes behind it does not matter.
static size_t first_control(const char *p)
{
	uint64_t eight;
	memcpy(&eight, p, sizeof eight);
	uint64_t found = (le64toh(eight) - 0x0e0e0e0e0e0e0e0eull) & ~le64toh(eight) & 0x8080808080808080ull;
	return found ? (size_t)__builtin_ctzll(found) / 8 : sizeof eight;
}

// Bytes at the start of s before a CR, LF or NUL. Lines are short, so what memchr costs to begin with counts: a few words at a
// time is half the work.
static size_t run_of_text(struct str s)
{
	size_t n = 0;
	while (n + sizeof(uint64_t) <= s.n) {
		size_t clear = first_control(s.p + n);
		n += clear;
		if (clear == sizeof(uint64_t))
			continue;
		if (!is_text(s.p[n]))
			return n;
		n++; // a tab, most often
	}
	while (n < s.n && is_text(s.p[n]))
		n++;
	return n;
}

// What the state looks at is not part of a run: a dot at the start of a line.
static bool run_may_start(unsigned state, char c)
{
	return state == IN_LINE || (state == AT_LINE && c != '.');
}

// The text that s begins with, to the end of its line if that is there and is CR LF: what nearly all of a message is made of, and
// stays as it is. 0: look at the next byte alone.
static size_t take_run(struct smtp_data_decoder *decoder, struct str s)
{
	if (!run_may_start(decoder->state, s.p[0]))
		return 0;
	size_t n = run_of_text(s);
	bool ends = n + 1 < s.n && s.p[n] == '\r' && s.p[n + 1] == '\n';
	if (n == 0 && !ends)
		return 0;
	count_text(decoder, n);
	decoder->state = ends && !decoder->chunks ? AT_LINE : IN_LINE;
	if (ends)
		decoder->line_bytes = 0;
	return ends ? n + 2 : n;
}

size_t smtp_data_decode(struct smtp_data_decoder *decoder, struct str in, struct buf *out)
{
	size_t i = 0, kept = 0; // what is between them is not in out yet: many lines go there at once
	must(!out->overflow && out->max - out->n >= 2 * in.n + 4);
	while (i < in.n && !decoder->done) {
		size_t run = take_run(decoder, str_from(in, i));
		i += run;
		if (run)
			continue;
		put(decoder, str_of(in.p + kept, i - kept), out);
		step(decoder, in.p[i++], out);
		kept = i;
	}
	put(decoder, str_of(in.p + kept, i - kept), out);
	return i;
}

void smtp_data_decode_end(struct smtp_data_decoder *decoder, struct buf *out)
{
	must(decoder->chunks);
	if (decoder->state == AFTER_CR)
		put_bare_cr(decoder, out);
	decoder->done = true;
}

bool smtp_data_verdict(const struct smtp_data_decoder *decoder, enum reply_id *why_out)
{
	bool reject = decoder->newline == SMTP_NEWLINE_REJECT;
	if (reject && (decoder->bare_cr || decoder->bare_lf))
		*why_out = REPLY_BARE_NEWLINE;
	else if (reject && decoder->nul)
		*why_out = REPLY_NUL_IN_DATA;
	else if (decoder->long_line)
		*why_out = REPLY_DATA_LINE_TOO_LONG;
	else
		return true;
	return false;
}

enum { WRAP_BYTES_MIN = 64, UTF8_BYTES_MAX = 4 };

void smtp_data_encoder_init(struct smtp_data_encoder *encoder, size_t line_bytes_max)
{
	must(line_bytes_max == 0 || line_bytes_max >= WRAP_BYTES_MIN);
	*encoder = (struct smtp_data_encoder){.line_bytes_max = line_bytes_max, .state = AT_LINE};
}

// Bytes of the UTF-8 sequence that starts with c; 1 for anything else.
static size_t sequence_bytes(char c)
{
	unsigned char u = (unsigned char)c;
	return u >= 0xf0 ? 4 : u >= 0xe0 ? 3 : u >= 0xc0 ? 2 : 1;
}

// One byte of text, on a new line when this one is full; a line is not cut inside a character.
static bool encode_text(struct smtp_data_encoder *encoder, char c, struct buf *out)
{
	bool ok = true;
	if (encoder->line_bytes_max && encoder->line_bytes + sequence_bytes(c) > encoder->line_bytes_max) {
		ok = buf_add(out, STR("\r\n "));
		encoder->line_bytes = 1;
	} else if (encoder->state == AT_LINE && c == '.') {
		ok = buf_add_byte(out, '.'); // the doubled dot does not count: the receiver takes it off
	}
	encoder->state = IN_LINE;
	encoder->line_bytes++;
	return buf_add_byte(out, c) && ok;
}

static bool encode_line_end(struct smtp_data_encoder *encoder, struct buf *out)
{
	encoder->state = AT_LINE;
	encoder->line_bytes = 0;
	return buf_add(out, STR("\r\n"));
}

// How many bytes at the start of s can go out as they are.
static size_t encode_run(const struct smtp_data_encoder *encoder, struct str s)
{
	if (!run_may_start(encoder->state, *s.p))
		return 0;
	if (encoder->line_bytes_max) {
		size_t limit = encoder->line_bytes_max - UTF8_BYTES_MAX;
		s = str_upto(s, limit > encoder->line_bytes ? limit - encoder->line_bytes : 0);
	}
	return run_of_text(s);
}

bool smtp_data_encode(struct smtp_data_encoder *encoder, struct str in, struct buf *out)
{
	bool ok = true;
	for (size_t i = 0; i < in.n && ok;) {
		size_t run = encode_run(encoder, str_from(in, i));
		if (run) {
			ok = buf_add(out, str_of(in.p + i, run));
			encoder->state = IN_LINE;
			encoder->line_bytes += run;
			i += run;
			continue;
		}
		char c = in.p[i++];
		if (c == '\n') {
			ok = encode_line_end(encoder, out);
			continue;
		}
		if (encoder->state == AFTER_CR)
			ok = encode_text(encoder, ' ', out);
		if (c == '\r')
			encoder->state = AFTER_CR;
		else
			ok = encode_text(encoder, c, out) && ok;
	}
	return ok;
}

bool smtp_data_encode_end(struct smtp_data_encoder *encoder, struct buf *out)
{
	if (encoder->state != AT_LINE && !encode_line_end(encoder, out))
		return false;
	return buf_add(out, STR(".\r\n"));
}
