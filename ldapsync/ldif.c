// SPDX-License-Identifier: Apache-2.0
// The LDIF reader. Three layers: raw lines from the input, logical lines (unfolded, comments dropped), records.
#include "ldif.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/must.h"

enum { CHUNK_BYTES = 64 << 10 };

struct ldif {
	char *name;          // owned
	int fd;              // the caller's; -1: text
	struct buf input;    // read, not yet taken
	size_t input_at;     // bytes of input already taken
	struct str text;     // what is left of a text
	bool at_end;         // the file has no more
	size_t line;         // number of the last raw line taken
	struct str pending;  // the raw line looked at but not taken: borrowed from input or text
	bool has_pending;
	struct buf logical;  // the unfolded line, one NUL-free piece
	struct arena *arena; // of the record
	struct buf decoded;
	bool begun;          // past the version line
	bool partial;        // the record gives a part of an attribute's values
	bool changes;        // change records are wanted
};

static struct ldif *open_any(const char *name)
{
	struct ldif *ldif = calloc(1, sizeof *ldif);
	must(ldif != NULL);
	ldif->name = strdup(name);
	must(ldif->name != NULL);
	ldif->fd = -1;
	buf_init(&ldif->input, LDIF_LINE_BYTES_MAX + CHUNK_BYTES);
	buf_init(&ldif->logical, LDIF_LINE_BYTES_MAX);
	buf_init(&ldif->decoded, LDIF_LINE_BYTES_MAX);
	ldif->arena = arena_new(LDIF_RECORD_BYTES_MAX);
	return ldif;
}

struct ldif *ldif_open_fd(int fd, const char *name)
{
	struct ldif *ldif = open_any(name);
	ldif->fd = fd;
	return ldif;
}

struct ldif *ldif_open_text(struct str text, const char *name)
{
	struct ldif *ldif = open_any(name);
	ldif->text = text;
	return ldif;
}

void ldif_allow_changes(struct ldif *ldif)
{
	ldif->changes = true;
}

void ldif_close(struct ldif **ldif_in)
{
	struct ldif *ldif = *ldif_in;
	if (ldif == NULL)
		return;
	buf_fini(&ldif->input);
	buf_fini(&ldif->logical);
	buf_fini(&ldif->decoded);
	arena_free(&ldif->arena);
	free(ldif->name);
	free(ldif);
	*ldif_in = NULL;
}

static enum err_code bad(struct ldif *ldif, enum err_code code, const char *what, struct err *err)
{
	return err_set(err, code, "%s:%zu: %s", ldif->name, ldif->line, what);
}

// --- Raw lines ---

// More of the file into input; sets at_end.
static enum err_code fill(struct ldif *ldif, struct err *err)
{
	buf_drop(&ldif->input, ldif->input_at);
	ldif->input_at = 0;
	char *tail = buf_reserve(&ldif->input, CHUNK_BYTES);
	if (tail == NULL)
		return bad(ldif, ERR_LIMIT, "line too long", err);
	ssize_t n;
	do
		n = read(ldif->fd, tail, CHUNK_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_errno(err, "%s", ldif->name);
	buf_grew(&ldif->input, (size_t)n);
	ldif->at_end = n == 0;
	return ERR_OK;
}

// Looks at the next raw line: pending. False in *more_out at the end.
static enum err_code look(struct ldif *ldif, bool *more_out, struct err *err)
{
	*more_out = true;
	if (ldif->has_pending)
		return ERR_OK;
	if (ldif->fd < 0) {
		*more_out = ldif->has_pending = str_next_line(&ldif->text, &ldif->pending);
		return ERR_OK;
	}
	for (;;) {
		struct str rest = str_from(buf_str(&ldif->input), ldif->input_at);
		if (ldif->at_end || str_index(rest, '\n') >= 0) {
			size_t before = rest.n;
			*more_out = ldif->has_pending = str_next_line(&rest, &ldif->pending);
			ldif->input_at += before - rest.n;
			return ERR_OK;
		}
		enum err_code code = fill(ldif, err);
		if (code)
			return code;
	}
}

static struct str take(struct ldif *ldif)
{
	must(ldif->has_pending);
	ldif->has_pending = false;
	ldif->line++;
	return ldif->pending;
}

// --- Logical lines ---

// The next line with its continuations joined, comments dropped; *more_out false at the end of the input. Empty: a separator.
// *line_out is the number of its first raw line.
static enum err_code logical_line(struct ldif *ldif, bool *more_out, size_t *line_out, struct err *err)
{
	for (;;) {
		enum err_code code = look(ldif, more_out, err);
		if (code || !*more_out)
			return code;
		struct str first = take(ldif);
		*line_out = ldif->line;
		bool comment = str_starts(first, STR("#"));
		if (first.n && first.p[0] == ' ')
			return bad(ldif, ERR_INVALID, "a continuation line without a line before it", err);
		buf_clear(&ldif->logical);
		buf_add(&ldif->logical, first);
		bool more = true;
		while (first.n > 0 && (code = look(ldif, &more, err)) == ERR_OK && more && str_starts(ldif->pending, STR(" "))) {
			struct str piece = str_from(take(ldif), 1);
			if (!comment)
				buf_add(&ldif->logical, piece);
		}
		if (code)
			return code;
		if (ldif->logical.overflow)
			return bad(ldif, ERR_LIMIT, "line too long", err);
		if (!comment)
			return ERR_OK;
	}
}

// Takes "name;options: value", "name:: base64" apart; the strings live in the record's arena.
static enum err_code split(struct ldif *ldif, struct str *name_out, struct str *lang_out, struct str *value_out, struct err *err)
{
	struct str name, value, options = STR_NONE, line = buf_str(&ldif->logical);
	*lang_out = STR_NONE;
	if (ldif->changes && str_eq(line, STR("-"))) {
		*name_out = STR("-");
		*value_out = STR("");
		return ERR_OK;
	}
	if (!str_cut(line, ':', &name, &value))
		return bad(ldif, ERR_INVALID, "not \"attribute: value\"", err);
	if (str_cut(name, ';', &name, &options))
		ldif->partial |= raw_option_is_part(options);
	if (name.n == 0 || !str_is_printable(name) || str_index(name, ' ') >= 0)
		return bad(ldif, ERR_INVALID, "bad attribute name", err);
	if (str_starts(value, STR("<")))
		return bad(ldif, ERR_UNSUPPORTED, "a value from a URL is not read; write it here", err);
	bool base64 = str_starts(value, STR(":"));
	value = str_from(value, base64);
	while (value.n && value.p[0] == ' ') // RFC 2849: FILL
		value = str_from(value, 1);
	if (base64) {
		while (value.n && value.p[value.n - 1] == ' ')
			value.n--;
		buf_clear(&ldif->decoded);
		if (!codec_base64_decode(value, &ldif->decoded))
			return bad(ldif, ERR_INVALID, "bad base64", err);
		value = buf_str(&ldif->decoded);
	}
	*name_out = arena_dup(ldif->arena, name);
	*value_out = arena_dup(ldif->arena, value);
	struct str lang = raw_option_language(options);
	if (lang.n)
		*lang_out = arena_dup(ldif->arena, lang);
	if (arena_overflowed(ldif->arena))
		return bad(ldif, ERR_LIMIT, "record too large", err);
	return ERR_OK;
}

// --- Records ---

struct chain {
	struct raw_value value;
	struct chain *next;
};

// The values after a dn line, up to an empty line or the end.
static enum err_code read_values(struct ldif *ldif, struct raw_entry *record, struct err *err)
{
	struct chain *first = NULL, **end = &first;
	size_t n = 0;
	for (;;) {
		bool more;
		size_t line;
		struct raw_value value = {0};
		enum err_code code = logical_line(ldif, &more, &line, err);
		if (code)
			return code;
		if (!more || ldif->logical.n == 0)
			break;
		code = split(ldif, &value.name, &value.lang, &value.value, err);
		if (code)
			return code;
		if (!ldif->changes && str_eq_nocase(value.name, STR("changetype")))
			return bad(ldif, ERR_UNSUPPORTED, "a change record; only entries are read here", err);
		if (str_eq_nocase(value.name, STR("dn")))
			return bad(ldif, ERR_INVALID, "a second dn; put an empty line between entries", err);
		value.line = line;
		struct chain *link = arena_alloc(ldif->arena, sizeof *link);
		if (link == NULL)
			return bad(ldif, ERR_LIMIT, "record too large", err);
		*link = (struct chain){.value = value};
		*end = link;
		end = &link->next;
		n++;
	}
	struct raw_value *values = arena_array(ldif->arena, n, sizeof *values);
	if (values == NULL)
		return bad(ldif, ERR_LIMIT, "record too large", err);
	record->values = values;
	record->n_values = n;
	for (struct chain *link = first; link; link = link->next)
		*values++ = link->value;
	return ERR_OK;
}

static enum err_code read_record(struct ldif *ldif, struct raw_entry *record, bool *more_out, struct err *err)
{
	for (;;) {
		struct str name, lang;
		enum err_code code = logical_line(ldif, more_out, &record->line, err);
		if (code || !*more_out)
			return code;
		if (ldif->logical.n == 0)
			continue;
		code = split(ldif, &name, &lang, &record->dn, err);
		if (code)
			return code;
		if (!ldif->begun && str_eq_nocase(name, STR("version"))) {
			if (!str_eq(record->dn, STR("1")))
				return bad(ldif, ERR_VERSION, "only version 1 of LDIF is known", err);
			ldif->begun = true;
			continue;
		}
		ldif->begun = true;
		if (!str_eq_nocase(name, STR("dn")))
			return bad(ldif, ERR_INVALID, "an entry begins with \"dn:\"", err);
		return read_values(ldif, record, err);
	}
}

enum ldif_result ldif_next(struct ldif *ldif, struct raw_entry *record_out, struct err *err)
{
	struct raw_entry record = {0};
	bool more;
	arena_reset(ldif->arena);
	ldif->partial = false;
	if (read_record(ldif, &record, &more, err))
		return LDIF_BAD;
	if (!more)
		return LDIF_END;
	record.partial = ldif->partial;
	*record_out = record;
	return LDIF_RECORD;
}
