// SPDX-License-Identifier: Apache-2.0
// Encoded words in any text: what comes out is UTF-8 without controls, and written again it is read as the same.
// Covers: mail/encword.c
#include "base/must.h"
#include "chars.h"
#include "mail/encword.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_BYTES_MAX = 1 << 20, WORD_BYTES_MAX = 75 };

static void check_words(struct arena *arena, struct str text, bool encode(struct str text, struct buf *out))
{
	struct buf out;
	struct str rest, word;
	buf_init(&out, OUT_BYTES_MAX);
	must(encode(text, &out) && chars_all_ascii(buf_str(&out)));
	for (rest = buf_str(&out); rest.n; ) {
		if (!str_cut(rest, ' ', &word, &rest)) {
			word = rest;
			rest = STR_NONE;
		}
		must(!str_starts(word, STR("=?")) || word.n <= WORD_BYTES_MAX);
	}
	must(str_eq(str_trim(encword_decode(arena, buf_str(&out))), str_trim(text)));
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(16 << 20);
	struct str in = str_of((const char *)data, size);
	struct str text = encword_decode(arena, in);
	must(text.p != NULL && str_is_utf8(text) && !chars_any_control(text));
	if (str_find(in, STR("=?")) < 0 && str_is_utf8(in) && !chars_any_control(in))
		must(str_eq(text, in));
	check_words(arena, text, encword_encode);
	check_words(arena, text, encword_encode_phrase);
	arena_free(&arena);
	return 0;
}
