// SPDX-License-Identifier: Apache-2.0
// SEARCH over any message: the first line is what is searched for, the rest the message. Looking again gives the same, NOT the
// opposite, and what HEADER or BODY finds TEXT finds too.
// Covers: popimap/imap_match.c
#include <stdint.h>

#include "base/must.h"
#include "imap_match.h"
#include "mail/charset.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 1 << 20 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	charset_preload();
	return 0;
}

// What a session does before the tree leaves its fiber (imap_match.h).
static void make_ready(struct imap_search_key *key)
{
	for (; key; key = key->next) {
		if (key->kind == IMAP_SEARCH_SEQUENCE || key->kind == IMAP_SEARCH_UID) {
			key->kind = IMAP_SEARCH_UID;
			imap_seqset_resolve(&key->set, 10);
		}
		if (key->kind == IMAP_SEARCH_KEYWORD || key->kind == IMAP_SEARCH_UNKEYWORD)
			key->number = key->field.n % 3 ? FLAG_KEYWORD_0 + 1 : IMAP_MATCH_NO_KEYWORD;
		make_ready(key->child);
	}
}

static bool match(const struct imap_search_key *key, const struct message *message)
{
	static struct imap_range all = {1, 5};
	const struct imap_seqset recent = {.ranges = &all, .n = 1};
	struct imap_match match;
	imap_match_init(&match, key, &recent);
	bool first = imap_match_one(&match, message), again = imap_match_one(&match, message);
	imap_match_fini(&match);
	must(first == again);
	return first;
}

static void check_text(const struct imap_search_key *key, const struct message *message)
{
	if (key->kind != IMAP_SEARCH_BODY && key->kind != IMAP_SEARCH_HEADER && key->kind != IMAP_SEARCH_SUBJECT)
		return;
	struct imap_search_key part = *key, text = *key;
	part.next = text.next = NULL;
	text.kind = IMAP_SEARCH_TEXT;
	must(!match(&part, message) || match(&text, message));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str criteria, text;
	struct imap_parse p;
	struct imap_search search;
	if (!str_cut(str_of((const char *)data, size), '\n', &criteria, &text))
		return 0;
	struct arena *arena = arena_new(ARENA_BYTES);
	imap_parse_init(&p, criteria, arena);
	if (imap_search_parse(&p, &search) && imap_search_prepare(&search, arena)) {
		const struct message message = {.uid = 3,
			.bytes = text.n,
			.flags = FLAG_SEEN | FLAG_FLAGGED | (uint64_t)1 << FLAG_KEYWORD_0,
			.received = {.utc_s = 1000000000, .zone_min = -300},
			.text = text};
		make_ready(search.key);
		struct imap_search_key not = {.kind = IMAP_SEARCH_NOT, .child = search.key};
		must(match(search.key, &message) != match(&not, &message));
		for (const struct imap_search_key *key = search.key->child; key; key = key->next)
			check_text(key, &message);
	}
	arena_free(&arena);
	return 0;
}
