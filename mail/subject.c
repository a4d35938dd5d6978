// SPDX-License-Identifier: Apache-2.0
// The base subject: the steps of RFC 5256 section 2.1 on a bounded text. Each round takes bytes off, so it ends.
#include "subject.h"

#include "base/must.h"

// Step 1: tabs and runs of spaces become one space; none at the ends (a subj-leader or subj-trailer may be WSP).
static size_t collapse(struct str text, char *out)
{
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i] == '\t' || text.p[i] == '\r' || text.p[i] == '\n' ? ' ' : text.p[i];
		if (c != ' ' || (n > 0 && out[n - 1] != ' '))
			out[n++] = c;
	}
	return n > 0 && out[n - 1] == ' ' ? n - 1 : n;
}

static struct str skip_spaces(struct str s)
{
	while (s.n && s.p[0] == ' ')
		s = str_from(s, 1);
	return s;
}

// subj-blob: "[" *BLOBCHAR "]" *WSP. Takes one off *s.
static bool take_blob(struct str *s)
{
	if (s->n == 0 || s->p[0] != '[')
		return false;
	for (size_t i = 1; i < s->n; i++) {
		if (s->p[i] == '[')
			return false;
		if (s->p[i] == ']') {
			*s = skip_spaces(str_from(*s, i + 1));
			return true;
		}
	}
	return false;
}

// subj-refwd: ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
static bool take_refwd(struct str *s)
{
	struct str rest = *s;
	if (str_starts_nocase(rest, STR("re")))
		rest = str_from(rest, 2);
	else if (str_starts_nocase(rest, STR("fwd")))
		rest = str_from(rest, 3);
	else if (str_starts_nocase(rest, STR("fw")))
		rest = str_from(rest, 2);
	else
		return false;
	rest = skip_spaces(rest);
	take_blob(&rest);
	if (rest.n == 0 || rest.p[0] != ':')
		return false;
	*s = str_from(rest, 1);
	return true;
}

// subj-leader: (*subj-blob subj-refwd) / WSP
static bool take_leader(struct str *s, bool *is_reply)
{
	struct str rest = *s;
	if (rest.n && rest.p[0] == ' ') {
		*s = skip_spaces(rest);
		return true;
	}
	while (take_blob(&rest))
		;
	if (!take_refwd(&rest))
		return false;
	*s = rest;
	*is_reply = true;
	return true;
}

// Step 2, subj-trailer: "(fwd)" / WSP
static void take_trailers(struct str *s, bool *is_reply)
{
	for (;;) {
		if (s->n && s->p[s->n - 1] == ' ') {
			s->n--;
		} else if (str_ends_nocase(*s, STR("(fwd)"))) {
			s->n -= STR("(fwd)").n;
			*is_reply = true;
		} else {
			return;
		}
	}
}

// Steps 3 to 5.
static void take_leaders(struct str *s, bool *is_reply)
{
	for (;;) {
		while (take_leader(s, is_reply))
			;
		struct str rest = *s;
		if (!take_blob(&rest) || rest.n == 0)
			return;
		*s = rest;
	}
}

size_t subject_base(struct str text, char *out, bool *is_reply_out)
{
	must(text.n <= SUBJECT_BYTES_MAX);
	struct str s = str_of(out, collapse(text, out));
	bool is_reply = false;
	for (;;) {
		take_trailers(&s, &is_reply);
		take_leaders(&s, &is_reply);
		// Step 6: "[fwd:" subject "]"
		if (!str_starts_nocase(s, STR("[fwd:")) || !str_ends(s, STR("]")))
			break;
		s = str_of(s.p + 5, s.n - 6);
		is_reply = true;
	}
	if (s.n)
		memmove(out, s.p, s.n);
	*is_reply_out = is_reply;
	return s.n;
}
