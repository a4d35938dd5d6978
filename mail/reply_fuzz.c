// SPDX-License-Identifier: Apache-2.0
// What a server answers, line by line: a reply that was read can be written on lines that fit and is read as the same again.
// Covers: mail/reply.c
#include "base/must.h"
#include "mail/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINE_BYTES_MAX = 510, OUT_BYTES_MAX = 1 << 18 };

static void check_enhanced(const struct reply *reply)
{
	if (reply->enhanced.n == 0)
		return;
	must(reply->enhanced.n >= 5 && reply->enhanced.p[0] == '0' + reply->code / 100 && reply->enhanced.p[1] == '.');
	must(str_is_printable(reply->enhanced));
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\n';
}

// Long lines are cut and their ends trimmed, so blanks do not count; what is not ASCII was written as "?".
static bool same_text(struct str written, struct str original)
{
	size_t i = 0, k = 0;
	for (;;) {
		while (i < written.n && is_blank(written.p[i]))
			i++;
		while (k < original.n && is_blank(original.p[k]))
			k++;
		if (i == written.n || k == original.n)
			return i == written.n && k == original.n;
		char c = original.p[k++];
		if (written.p[i++] != ((unsigned char)c < 0x80 ? c : '?'))
			return false;
	}
}

static size_t count(struct str s, char c)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == c;
	return n;
}

static void check_written(struct reply reply)
{
	struct buf out;
	struct reply_reader reader;
	enum reply_read state = REPLY_READ_MORE;
	struct str rest, line;
	buf_init(&out, OUT_BYTES_MAX);
	reply_reader_init(&reader);
	must(reply_format(reply, &out) && str_ends(buf_str(&out), STR("\r\n")));
	for (rest = buf_str(&out); str_next_line(&rest, &line);) {
		must(line.n <= LINE_BYTES_MAX && str_is_printable(line) && state == REPLY_READ_MORE);
		state = reply_reader_line(&reader, line);
		if (state == REPLY_READ_BAD) // over the reader's limits, now that long lines are cut
			break;
	}
	if (state != REPLY_READ_BAD) {
		must(state == REPLY_READ_DONE);
		struct reply again = reply_reader_reply(&reader);
		must(again.code == reply.code);
		// Where a line without a status is cut, what follows may look like one.
		bool cut = count(buf_str(&out), '\n') != count(reply.text, '\n') + 1;
		must((cut && reply.enhanced.n == 0) || str_eq(again.enhanced, reply.enhanced));
		must((cut && reply.enhanced.n == 0) || same_text(again.text, reply.text));
	}
	reply_reader_fini(&reader);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reply_reader reader;
	struct str rest = str_of((const char *)data, size), line, params;
	reply_reader_init(&reader);
	while (str_next_line(&rest, &line)) {
		if (reply_reader_line(&reader, line) != REPLY_READ_DONE)
			continue;
		struct reply reply = reply_reader_reply(&reader);
		must(reply.code >= 200 && reply.code <= 599 && reply.text.n <= REPLY_TEXT_BYTES_MAX);
		check_enhanced(&reply);
		if (reply_has_keyword(reply, STR("SIZE"), &params))
			must(str_find(reply.text, params) >= 0);
		check_written(reply);
	}
	reply_reader_fini(&reader);
	for (int code = ERR_OK + 1; code <= ERR_VERSION; code++)
		must(reply_of_err((enum err_code)code).code / 100 == 4);
	return 0;
}
