// SPDX-License-Identifier: Apache-2.0
// Patterns of LIST.
//
// A pattern is matched by a set of states kept in bits: state i means "the first i elements of the pattern have matched so far".
// One byte of the name moves all states at once, so nested wildcards cost no more than plain text.
#include "mail/imap_pattern.h"

#include "mail/mailbox_name.h"

// INBOX and what is below it begin with the one level that has no case.
static bool begins_with_inbox(struct str name)
{
	return str_starts(name, STR("INBOX")) && (name.n == 5 || name.p[5] == MAILBOX_NAME_DELIMITER);
}

enum { WORDS = (IMAP_PATTERN_BYTES_MAX + 1 + 63) / 64 };

struct imap_pattern {
	size_t n;     // elements
	size_t words; // of 64 states, for n + 1 states
	uint64_t many[WORDS];       // element i is "*"
	uint64_t level[WORDS];      // element i is "%"
	uint64_t literal[256][WORDS]; // element i is this byte
};

static void set_bit(uint64_t *bits, size_t i)
{
	bits[i / 64] |= (uint64_t)1 << i % 64;
}

// Adds one element; a run of wildcards is one, "*" when there is one in it.
static void add_element(struct imap_pattern *pattern, char c)
{
	bool wild = c == '*' || c == '%';
	if (wild && pattern->n) {
		size_t last = pattern->n - 1;
		uint64_t bit = (uint64_t)1 << last % 64;
		if ((pattern->many[last / 64] | pattern->level[last / 64]) & bit) {
			if (c == '*') {
				pattern->level[last / 64] &= ~bit;
				pattern->many[last / 64] |= bit;
			}
			return;
		}
	}
	if (c == '*')
		set_bit(pattern->many, pattern->n);
	else if (c == '%')
		set_bit(pattern->level, pattern->n);
	else
		set_bit(pattern->literal[(unsigned char)c], pattern->n);
	pattern->n++;
}

struct imap_pattern *imap_pattern_new(struct str pattern, struct arena *arena)
{
	if (pattern.n > IMAP_PATTERN_BYTES_MAX)
		return NULL;
	struct imap_pattern *out = arena_alloc(arena, sizeof *out);
	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < pattern.n; i++)
		add_element(out, pattern.p[i]);
	out->words = out->n / 64 + 1;
	return out;
}

// A wildcard also matches nothing: whoever stands before one stands behind it too. No two are neighbours, so one step is all.
static void skip_wildcards(const struct imap_pattern *pattern, uint64_t *states)
{
	uint64_t carry = 0;
	for (size_t w = 0; w < pattern->words; w++) {
		uint64_t moving = states[w] & (pattern->many[w] | pattern->level[w]);
		states[w] |= moving << 1 | carry;
		carry = moving >> 63;
	}
}

static void step(const struct imap_pattern *pattern, unsigned char c, unsigned char other_case, uint64_t *states)
{
	uint64_t carry = 0;
	for (size_t w = 0; w < pattern->words; w++) {
		uint64_t moving = states[w] & (pattern->literal[c][w] | pattern->literal[other_case][w]);
		uint64_t staying = states[w] & (pattern->many[w] | (c == MAILBOX_NAME_DELIMITER ? 0 : pattern->level[w]));
		states[w] = staying | moving << 1 | carry;
		carry = moving >> 63;
	}
	skip_wildcards(pattern, states);
}

bool imap_pattern_match(const struct imap_pattern *pattern, struct str name)
{
	uint64_t states[WORDS] = {1};
	size_t inbox = begins_with_inbox(name) ? 5 : 0;
	skip_wildcards(pattern, states);
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		step(pattern, (unsigned char)c, (unsigned char)(i < inbox ? chr_lower(c) : c), states);
	}
	return states[pattern->n / 64] >> pattern->n % 64 & 1;
}
