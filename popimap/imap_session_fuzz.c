// SPDX-License-Identifier: Apache-2.0
// What an IMAP client may send, over a mailbox with two messages; the first byte says whether we stop after it, or whether it
// comes from a network that we do not trust. The answers do not depend on the pieces in which it came, as long as it waits where
// it must, and each of them is a line of RFC 3501 with its literals whole.
// Covers: popimap/imap_session.c popimap/imap_commands.c popimap/imap_folder.c popimap/imap_cmd_any.c
// Covers: popimap/imap_cmd_append.c popimap/imap_cmd_copy.c popimap/imap_cmd_fetch.c popimap/imap_cmd_folder.c popimap/imap_cmd_list.c
// Covers: popimap/imap_cmd_login.c popimap/imap_cmd_search.c popimap/imap_cmd_select.c popimap/imap_cmd_store.c popimap/imap_cmd_idle.c
#include "fuzz_wire.h"

enum { PAUSES_MAX = 64 };

static const char mixed[] =
	"From: =?utf-8?q?J=C3=B6rg?= <joerg@uni.example>\r\nTo: bob@uni.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
	"Date: Sun, 22 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
	"--x\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6n\r\n"
	"--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninside\r\n--x--\r\n";

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_open();
	return 0;
}

// Takes a line with its literals off *rest; the text of its beginning in *line_out.
static bool take_answer(struct str *rest, struct str *line_out)
{
	struct str line, number;
	uint64_t n;
	if (!str_next_line(rest, line_out))
		return false;
	for (line = *line_out;; must(str_next_line(rest, &line))) {
		ptrdiff_t open = str_rindex(line, '{');
		if (open < 0 || !str_ends(line, STR("}")))
			return true;
		number = str_of(line.p + open + 1, line.n - (size_t)open - 2);
		if (!str_to_u64(number, UINT32_MAX, &n))
			return true;
		must(n <= rest->n);
		*rest = str_from(*rest, (size_t)n);
	}
}

static void check_answers(struct str out)
{
	struct str rest = out, line, tag, text;
	must(str_ends(out, STR("\r\n")));
	while (take_answer(&rest, &line)) {
		if (str_starts(line, STR("* ")) || str_starts(line, STR("+ ")))
			continue;
		must(str_cut(line, ' ', &tag, &text) && tag.n > 0);
		must(str_starts(text, STR("OK ")) || str_starts(text, STR("NO ")) || str_starts(text, STR("BAD ")));
	}
}

// Where a client waits for our "+" (RFC 3501 section 4.3): who does not is sent away, whenever we notice.
static size_t pauses(struct str in, size_t *splits)
{
	size_t n = 0;
	for (struct str rest = in, line; n < PAUSES_MAX && str_next_line(&rest, &line);)
		if (str_ends(line, STR("}")) && !str_ends(line, STR("+}")))
			splits[n++] = in.n - rest.n;
	return n;
}

static void play(const struct fuzz_script *script, struct buf *out)
{
	fuzz_renew();
	struct mailbox *mb = test_mailbox(1);
	test_append(mb, "INBOX", str_of_c(test_message), 0);
	test_append(mb, "INBOX", str_of_c(mixed), FLAG_SEEN);
	check_answers(fuzz_play(imap_serve, &wire_service, script, out));
	test_close(&mb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct buf whole, bytewise;
	size_t splits[PAUSES_MAX];
	struct fuzz_script script = {.in = str_of((const char *)data + 1, size - 1), .splits = splits, .stranger = data[0] == 'r',
		.end = data[0] == 's' ? ERR_CANCELLED : ERR_OK};
	script.splits_n = pauses(script.in, splits);
	play(&script, &whole);
	bool all = script.splits_n < PAUSES_MAX;
	script.splits_n = CONN_MEMORY_BYTEWISE;
	play(&script, &bytewise);
	if (all)
		fuzz_must_be_same(buf_str(&whole), buf_str(&bytewise));
	buf_fini(&whole);
	buf_fini(&bytewise);
	return 0;
}
