// SPDX-License-Identifier: Apache-2.0
// Bytes in any charset: the first line names it, the rest is the text. What comes out is UTF-8, a smaller buffer holds the
// beginning of the same, and the forms that are compared stay well-formed.
// Covers: mail/charset.c
#include "base/must.h"
#include "mail/charset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { OUT_BYTES_MAX = 1 << 20, SMALL_BYTES = 61 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	charset_preload();
	return 0;
}

static void check_forms(struct str text)
{
	struct buf folded, normal, again;
	buf_init(&folded, OUT_BYTES_MAX);
	buf_init(&normal, OUT_BYTES_MAX);
	buf_init(&again, OUT_BYTES_MAX);
	must(charset_casemap(text, &folded) && str_is_utf8(buf_str(&folded)));
	must(charset_nfc(text, &normal) && str_is_utf8(buf_str(&normal)));
	must(charset_nfc(buf_str(&normal), &again) && str_eq(buf_str(&again), buf_str(&normal)));
	buf_fini(&folded);
	buf_fini(&normal);
	buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str charset, bytes;
	if (!str_cut(str_of((const char *)data, size), '\n', &charset, &bytes))
		return 0;
	struct buf out, small, repaired;
	buf_init(&out, OUT_BYTES_MAX);
	buf_init(&small, SMALL_BYTES);
	buf_init(&repaired, OUT_BYTES_MAX);
	enum charset_result result = charset_to_utf8(charset, bytes, &out);
	must((result == CHARSET_UNKNOWN) == !charset_known(charset) && result != CHARSET_FULL);
	must(str_is_utf8(buf_str(&out)) && (result != CHARSET_UNKNOWN || out.n == 0));
	enum charset_result cut = charset_to_utf8(charset, bytes, &small);
	must(cut == (out.n > SMALL_BYTES ? CHARSET_FULL : result));
	must(str_is_utf8(buf_str(&small)) && str_starts(buf_str(&out), buf_str(&small)));
	must(out.n <= SMALL_BYTES ? small.n == out.n : small.n + 4 > SMALL_BYTES);
	check_forms(buf_str(&out));
	enum charset_result repair = charset_repair_utf8(bytes, &repaired);
	must((repair == CHARSET_OK) == str_is_utf8(bytes) && str_is_utf8(buf_str(&repaired)));
	must(repair == CHARSET_REPLACED || str_eq(buf_str(&repaired), bytes));
	buf_clear(&small);
	charset_casemap(bytes, &small); // ill-formed bytes stand for themselves
	buf_fini(&out);
	buf_fini(&small);
	buf_fini(&repaired);
	return 0;
}
