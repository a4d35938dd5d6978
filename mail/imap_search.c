// SPDX-License-Identifier: Apache-2.0
// The keys of SEARCH: a table of words and arguments, recursion bounded by IMAP_DEPTH_MAX and a count of keys.
#include "mail/imap_search.h"

#include "mail/charset.h"

static const struct {
	struct str name;
	enum imap_search_argument argument;
	unsigned cost;
} keys[] = {
#define ROW(kind, word, argument_, cost_) [kind] = {STR(word), argument_, cost_},
	IMAP_SEARCH_KEYS(ROW)
#undef ROW
};

struct parsing {
	struct imap_parse *p;
	size_t keys_n;
	unsigned cost;
};

static bool parse_key(struct parsing *s, struct imap_search_key **key_out);

static struct imap_search_key *new_key(struct parsing *s, enum imap_search_kind kind)
{
	struct imap_search_key *key = NULL;
	if (s->keys_n++ < IMAP_SEARCH_KEYS_MAX)
		key = arena_alloc(s->p->arena, sizeof *key);
	if (key == NULL) {
		imap_parse_fail(s->p, "search too complex");
		return NULL;
	}
	key->kind = kind;
	if (keys[kind].cost > s->cost)
		s->cost = keys[kind].cost;
	return key;
}

// key *(SP key), until what cannot be another.
static bool parse_keys(struct parsing *s, struct imap_search_key **first_out)
{
	struct imap_search_key **next = first_out;
	for (;;) {
		if (!parse_key(s, next))
			return false;
		next = &(*next)->next;
		struct str rest = imap_parse_rest(s->p);
		// A space before the end of the command is forgiven there (imap_parse_end).
		if (imap_parse_peek(s->p) != ' ' || str_trim(rest).n == 0)
			return true;
		s->p->at++;
	}
}

// NOT and OR; they count as depth, as parentheses do.
static bool parse_operands(struct parsing *s, struct imap_search_key *key)
{
	struct imap_search_key **next = &key->child;
	if (++s->p->depth > IMAP_DEPTH_MAX)
		return imap_parse_fail(s->p, "search too deep");
	for (int n = key->kind == IMAP_SEARCH_OR ? 2 : 1; n > 0; n--) {
		if (!imap_parse_space(s->p) || !parse_key(s, next))
			return false;
		next = &(*next)->next;
	}
	s->p->depth--;
	return true;
}

static bool parse_argument(struct parsing *s, struct imap_search_key *key)
{
	struct imap_parse *p = s->p;
	switch (keys[key->kind].argument) {
	case IMAP_SEARCH_NOTHING:
		return true;
	case IMAP_SEARCH_STRING:
		return imap_parse_space(p) && imap_parse_astring(p, &key->text);
	case IMAP_SEARCH_DATE:
		return imap_parse_space(p) && imap_parse_date(p, &key->day);
	case IMAP_SEARCH_NUMBER:
		return imap_parse_space(p) && imap_parse_number(p, &key->number);
	case IMAP_SEARCH_FLAG:
		return imap_parse_space(p) && imap_parse_atom(p, &key->field);
	case IMAP_SEARCH_FIELD:
		return imap_parse_space(p) && imap_parse_astring(p, &key->field) && imap_parse_space(p) &&
		       imap_parse_astring(p, &key->text);
	case IMAP_SEARCH_SET:
		return imap_parse_space(p) && imap_seqset_parse(p, &key->set);
	case IMAP_SEARCH_CHILDREN:
		return parse_operands(s, key);
	}
	return false;
}

static bool parse_group(struct parsing *s, struct imap_search_key **key_out)
{
	struct imap_search_key *key = new_key(s, IMAP_SEARCH_AND);
	if (key == NULL || !imap_parse_open(s->p) || !parse_keys(s, &key->child) || !imap_parse_close(s->p))
		return false;
	*key_out = key;
	return true;
}

static bool parse_key(struct parsing *s, struct imap_search_key **key_out)
{
	struct str word;
	int c = imap_parse_peek(s->p);
	if (c == '(')
		return parse_group(s, key_out);
	if (c == '*' || chr_is_digit((char)c)) {
		struct imap_search_key *key = new_key(s, IMAP_SEARCH_SEQUENCE);
		if (key == NULL || !imap_seqset_parse(s->p, &key->set))
			return false;
		*key_out = key;
		return true;
	}
	if (!imap_parse_atom(s->p, &word))
		return false;
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (keys[i].name.n && str_eq_nocase(word, keys[i].name)) {
			struct imap_search_key *key = new_key(s, (enum imap_search_kind)i);
			if (key == NULL || !parse_argument(s, key))
				return false;
			*key_out = key;
			return true;
		}
	return imap_parse_fail(s->p, "unknown key of SEARCH");
}

bool imap_search_parse(struct imap_parse *p, struct imap_search *search_out)
{
	struct parsing s = {.p = p};
	struct imap_search search = {0};
	if (p->error == NULL && str_starts_nocase(imap_parse_rest(p), STR("CHARSET "))) {
		p->at += 8;
		if (!imap_parse_astring(p, &search.charset) || !imap_parse_space(p))
			return false;
		if (search.charset.n == 0)
			return imap_parse_fail(p, "bad charset");
	}
	search.key = new_key(&s, IMAP_SEARCH_AND);
	if (search.key == NULL || !parse_keys(&s, &search.key->child) || !imap_parse_end(p))
		return false;
	search.cost = s.cost;
	*search_out = search;
	return true;
}

static bool fold(struct str charset, struct str text, struct arena *arena, struct buf *utf8, struct buf *folded, struct str *out)
{
	buf_clear(utf8);
	buf_clear(folded);
	if (charset_to_utf8(charset, text, utf8) == CHARSET_FULL || !charset_casemap(buf_str(utf8), folded))
		return false;
	struct str copy = arena_dup(arena, buf_str(folded));
	if (copy.p == NULL)
		return false;
	*out = copy;
	return true;
}

static bool fold_keys(struct str charset, struct imap_search_key *key, struct arena *arena, struct buf *utf8, struct buf *folded)
{
	for (; key; key = key->next) {
		if (key->text.n && !fold(charset, key->text, arena, utf8, folded, &key->text))
			return false;
		if (!fold_keys(charset, key->child, arena, utf8, folded))
			return false;
	}
	return true;
}

bool imap_search_prepare(struct imap_search *search, struct arena *arena)
{
	enum { FOLDED_BYTES_MAX = 1 << 20 };
	struct buf utf8, folded;
	// Without CHARSET it is US-ASCII, but clients that say nothing send UTF-8.
	struct str charset = search->charset.n ? search->charset : STR("UTF-8");
	if (!charset_known(charset))
		return false;
	buf_init(&utf8, FOLDED_BYTES_MAX);
	buf_init(&folded, FOLDED_BYTES_MAX);
	bool good = fold_keys(charset, search->key, arena, &utf8, &folded);
	buf_fini(&utf8);
	buf_fini(&folded);
	return good;
}

void imap_search_each_set(struct imap_search_key *key, void (*each)(struct imap_search_key *key, void *arg), void *arg)
{
	for (; key; key = key->next) {
		if (key->kind == IMAP_SEARCH_SEQUENCE || key->kind == IMAP_SEARCH_UID)
			each(key, arg);
		imap_search_each_set(key->child, each, arg);
	}
}
