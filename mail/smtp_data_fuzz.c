// SPDX-License-Identifier: Apache-2.0
// DATA and BDAT: any split gives the same message; only CR LF "." CR LF ends it; no bare line end comes out; what we send on
// arrives as it is.
// Covers: mail/smtp_data.c
#include "base/must.h"
#include "mail/smtp_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t decode(struct smtp_data_decoder *decoder, enum smtp_newline newline, struct str in, size_t portion, struct buf *out)
{
	size_t used = 0;
	smtp_data_decoder_init(decoder, newline, 998);
	buf_clear(out);
	while (used < in.n && !decoder->done)
		used += smtp_data_decode(decoder, str_upto(str_from(in, used), portion), out);
	return used;
}

static void check_lines(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		must(s.p[i] != '\0');
		must(s.p[i] != '\r' || (i + 1 < s.n && s.p[i + 1] == '\n'));
		must(s.p[i] != '\n' || (i > 0 && s.p[i - 1] == '\r'));
	}
}

// The same octets as chunks of so many: all of them are consumed, the message does not depend on where the chunks end, and octets
// that are text with good line ends come out as they are.
static void check_chunks(struct str in, size_t portion)
{
	struct smtp_data_decoder whole, parts;
	struct buf a, b;
	enum reply_id why;
	buf_init(&a, 1 << 20);
	buf_init(&b, 1 << 20);
	smtp_data_decoder_init_chunks(&whole, SMTP_NEWLINE_NORMALIZE, 0);
	smtp_data_decoder_init_chunks(&parts, SMTP_NEWLINE_REJECT, 0);
	must(smtp_data_decode(&whole, in, &a) == in.n);
	for (size_t used = 0; used < in.n; used += portion)
		smtp_data_decode(&parts, str_upto(str_from(in, used), portion), &b);
	must(!whole.done && !parts.done);
	smtp_data_decode_end(&whole, &a);
	smtp_data_decode_end(&parts, &b);
	must(whole.done && str_eq(buf_str(&a), buf_str(&b)) && smtp_data_verdict(&whole, &why));
	must(!smtp_data_verdict(&parts, &why) || str_eq(buf_str(&b), in));
	check_lines(buf_str(&a));
	buf_fini(&a);
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t portion = size ? data[0] % 16 + 1 : 1, line_bytes_max = size && data[0] & 16 ? 64 : 0;
	struct str in = str_of((const char *)data + (size ? 1 : 0), size ? size - 1 : 0);
	struct smtp_data_decoder whole, parts;
	struct smtp_data_encoder encoder;
	struct buf a, b, wire;
	enum reply_id why;
	buf_init(&a, 1 << 20);
	buf_init(&b, 1 << 20);
	buf_init(&wire, 1 << 20);
	check_chunks(in, portion);
	size_t used = decode(&whole, SMTP_NEWLINE_NORMALIZE, in, in.n, &a);
	must(decode(&parts, SMTP_NEWLINE_REJECT, in, portion, &b) == used && str_eq(buf_str(&a), buf_str(&b)));
	must(whole.done == parts.done && whole.bare_cr == parts.bare_cr && whole.bare_lf == parts.bare_lf &&
		whole.nul == parts.nul);
	check_lines(buf_str(&a));
	if (whole.done) {
		must(used == 3 ? str_eq(str_upto(in, 3), STR(".\r\n")) : str_ends(str_upto(in, used), STR("\r\n.\r\n")));
		smtp_data_verdict(&parts, &why);
	} else {
		must(used == in.n && str_find(in, STR("\r\n.\r\n")) < 0 && !str_starts(in, STR(".\r\n")));
	}
	smtp_data_encoder_init(&encoder, line_bytes_max);
	must(smtp_data_encode(&encoder, buf_str(&a), &wire) && smtp_data_encode_end(&encoder, &wire));
	must(decode(&parts, SMTP_NEWLINE_REJECT, buf_str(&wire), wire.n, &b) == wire.n && parts.done);
	must(!parts.bare_cr && !parts.bare_lf && !parts.nul);
	if (line_bytes_max == 0)
		must(str_starts(buf_str(&b), buf_str(&a)) && b.n - a.n <= 2);
	buf_fini(&a);
	buf_fini(&b);
	buf_fini(&wire);
	return 0;
}
