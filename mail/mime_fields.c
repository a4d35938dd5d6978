// SPDX-License-Identifier: Apache-2.0
// Reads the MIME fields of one header: type and parameters, disposition, encoding, languages. Liberal, bounded, linear.
#include "mime_fields.h"

#include "mail/charset.h"
#include "mail/encword.h"
#include "mail/header.h"

// RFC 2045 section 5.1: token = any CHAR except SPACE, CTLs, tspecials. Bytes over 0x7F are taken too: they occur in file names.
static bool is_token_byte(char c)
{
	return (unsigned char)c > 0x20 && c != 0x7f && !strchr("()<>@,;:\\\"/[]?=", c);
}

// Takes a token off *rest, after comments and white space; empty when there is none.
static struct str take_token(struct str *rest)
{
	struct str text = header_skip_cfws(*rest);
	size_t n = 0;
	while (n < text.n && is_token_byte(text.p[n]))
		n++;
	*rest = str_from(text, n);
	return str_upto(text, n);
}

// Takes c off *rest, after comments and white space.
static bool take_byte(struct str *rest, char c)
{
	struct str text = header_skip_cfws(*rest);
	if (text.n == 0 || text.p[0] != c)
		return false;
	*rest = str_from(text, 1);
	return true;
}

// Takes a quoted-string off *rest, which starts after its opening quote. One that is not closed ends with the field.
static struct str take_quoted(struct str *rest, struct arena *arena)
{
	size_t end = 0, n = 0;
	while (end < rest->n && rest->p[end] != '"')
		end += rest->p[end] == '\\' && end + 1 < rest->n ? 2 : 1;
	struct str text = str_upto(*rest, end);
	char *p = arena_alloc(arena, text.n);
	if (p == NULL)
		return STR_NONE;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\r' || text.p[i] == '\n')
			continue; // folding, RFC 5322 section 3.2.4: the line end is not part of the string
		if (text.p[i] == '\\' && i + 1 < text.n)
			i++;
		p[n++] = text.p[i];
	}
	*rest = str_from(*rest, end + 1);
	return str_of(p, n);
}

// An unquoted value: a token, or what stands before the next ";" when it holds what no token may ("filename=my file.txt").
static struct str take_bare(struct str *rest)
{
	struct str text = header_skip_cfws(*rest);
	size_t n = 0;
	while (n < text.n && text.p[n] != ';' && text.p[n] != '(' && (unsigned char)text.p[n] > ' ')
		n++;
	struct str after = header_skip_cfws(str_from(text, n));
	if (after.n && after.p[0] != ';') {
		n = 0;
		while (n < text.n && text.p[n] != ';' && text.p[n] != '\r' && text.p[n] != '\n')
			n++;
		after = str_from(text, n);
	}
	*rest = after;
	return str_trim(str_upto(text, n));
}

// *(";" name "=" value). What it cannot read is passed over, to the next ";".
static void read_params(struct str rest, struct arena *arena, struct mime_params *out)
{
	struct mime_param found[MIME_PARAMS_MAX];
	size_t n = 0;
	while (rest.n && n < MIME_PARAMS_MAX) {
		if (!take_byte(&rest, ';')) {
			ptrdiff_t next = str_index(rest, ';');
			if (next < 0)
				break;
			rest = str_from(rest, (size_t)next + 1);
		}
		struct str name = take_token(&rest);
		if (name.n == 0)
			continue; // ";;" and a last ";"
		if (!take_byte(&rest, '='))
			continue;
		found[n].name = name;
		found[n].value = take_byte(&rest, '"') ? take_quoted(&rest, arena) : take_bare(&rest);
		if (found[n].value.p == NULL)
			break;
		n++;
	}
	struct mime_param *kept = arena_array(arena, n, sizeof *kept);
	if (n == 0 || kept == NULL)
		return;
	memcpy(kept, found, n * sizeof *kept);
	*out = (struct mime_params){kept, n};
}

// RFC 2045 section 5.1. What is not valid leaves the default, section 5.2.
static void read_type(struct str body, struct arena *arena, struct mime_details *out)
{
	struct str type = take_token(&body);
	if (type.n == 0 || !take_byte(&body, '/'))
		return;
	struct str subtype = take_token(&body);
	if (subtype.n == 0)
		return;
	out->type = type;
	out->subtype = subtype;
	read_params(body, arena, &out->params);
}

static void read_encoding(struct str body, struct arena *arena, struct mime_details *out)
{
	struct str name = take_token(&body);
	(void)arena;
	if (name.n)
		out->encoding = name;
}

// RFC 2183.
static void read_disposition(struct str body, struct arena *arena, struct mime_details *out)
{
	struct str name = take_token(&body);
	if (name.n == 0)
		return;
	out->disposition = name;
	read_params(body, arena, &out->disposition_params);
}

// RFC 3282: Language-Tag *("," Language-Tag).
static void read_languages(struct str body, struct arena *arena, struct mime_details *out)
{
	struct str found[MIME_PARAMS_MAX];
	size_t n = 0;
	do {
		struct str tag = take_token(&body);
		if (tag.n)
			found[n++] = tag;
	} while (n < MIME_PARAMS_MAX && take_byte(&body, ','));
	struct str *kept = arena_array(arena, n, sizeof *kept);
	if (n == 0 || kept == NULL)
		return;
	memcpy(kept, found, n * sizeof *kept);
	out->languages = kept;
	out->languages_n = n;
}

static void read_id(struct str body, struct arena *arena, struct mime_details *out)
{
	out->id = header_unfold(arena, body);
}

static void read_description(struct str body, struct arena *arena, struct mime_details *out)
{
	out->description = header_unfold(arena, body);
}

static void read_md5(struct str body, struct arena *arena, struct mime_details *out)
{
	out->md5 = header_unfold(arena, body);
}

static void read_location(struct str body, struct arena *arena, struct mime_details *out)
{
	out->location = header_unfold(arena, body);
}

// Of several fields of one name the first counts: what a scanner saw is what a client is shown.
static const struct {
	struct str name; // after "Content-"
	void (*read)(struct str body, struct arena *arena, struct mime_details *out);
} fields[] = {
	{{"Type", 4}, read_type},
	{{"Transfer-Encoding", 17}, read_encoding},
	{{"Disposition", 11}, read_disposition},
	{{"ID", 2}, read_id},
	{{"Description", 11}, read_description},
	{{"Language", 8}, read_languages},
	{{"MD5", 3}, read_md5},
	{{"Location", 8}, read_location},
};

enum { FIELDS_N = sizeof fields / sizeof *fields };

bool mime_fields_read(struct str header, bool in_digest, size_t *budget, struct arena *arena, struct mime_details *out)
{
	struct header_walk walk;
	struct header_field field;
	unsigned seen = 0;
	bool whole = true;
	*out = (struct mime_details){.type = STR("text"), .subtype = STR("plain"), .encoding = STR("7bit")};
	if (in_digest) {
		out->type = STR("message"); // RFC 2046 section 5.1.5
		out->subtype = STR("rfc822");
	}
	header_walk_init(&walk, header);
	while (header_walk_next(&walk, &field)) {
		if (!str_starts_nocase(field.name, STR("Content-")))
			continue;
		struct str name = str_from(field.name, STR("Content-").n);
		for (size_t i = 0; i < FIELDS_N; i++) {
			if ((seen & 1u << i) || !str_eq_nocase(name, fields[i].name))
				continue;
			seen |= 1u << i;
			if (field.raw.n > MIME_FIELD_BYTES_MAX || field.raw.n > *budget) {
				whole = false;
				continue;
			}
			*budget -= field.raw.n;
			fields[i].read(field.body, arena, out);
		}
	}
	return whole;
}

enum mime_encoding mime_encoding_of(struct str name)
{
	static const struct {
		struct str name;
		enum mime_encoding encoding;
	} known[] = {
		{{"7BIT", 4}, MIME_7BIT},
		{{"8BIT", 4}, MIME_8BIT},
		{{"BINARY", 6}, MIME_BINARY},
		{{"QUOTED-PRINTABLE", 16}, MIME_QUOTED_PRINTABLE},
		{{"BASE64", 6}, MIME_BASE64},
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (str_eq_nocase(name, known[i].name))
			return known[i].encoding;
	return MIME_UNKNOWN_ENCODING;
}

// A parameter's name as RFC 2231 reads it: "NAME", "NAME*", "NAME*3", "NAME*3*".
struct section {
	struct str base;
	int64_t number; // -1 without one
	bool extended;
};

// False for "NAME*x": the name of nothing else.
static bool read_section(struct str written, struct section *out)
{
	struct section section = {.base = written, .number = -1};
	struct str rest;
	uint64_t number;
	if (str_cut(written, '*', &section.base, &rest)) {
		section.extended = rest.n == 0 || rest.p[rest.n - 1] == '*';
		if (rest.n && section.extended)
			rest.n--;
		if (rest.n) {
			if (!str_to_u64(rest, MIME_PARAMS_MAX - 1, &number))
				return false;
			section.number = (int64_t)number;
		}
	}
	*out = section;
	return true;
}

static bool add_percent_decoded(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		int high = -1, low = -1;
		if (s.p[i] == '%' && i + 2 < s.n) {
			high = chr_hex(s.p[i + 1]);
			low = chr_hex(s.p[i + 2]);
		}
		bool escaped = high >= 0 && low >= 0;
		if (!buf_add_byte(out, escaped ? (char)(high << 4 | low) : s.p[i]))
			return false;
		i += escaped ? 2 : 0;
	}
	return true;
}

// charset'language'value: takes the first two off *value.
static struct str take_charset(struct str *value)
{
	struct str charset, language, rest;
	if (!str_cut(*value, '\'', &charset, &rest) || !str_cut(rest, '\'', &language, &rest))
		return STR_NONE;
	*value = rest;
	return charset;
}

// The section with that number, an extended one before a plain one; NULL without it.
static const struct mime_param *find_section(const struct mime_params *params, struct str name, int64_t wanted,
	bool *extended_out)
{
	const struct mime_param *found = NULL;
	for (size_t i = 0; i < params->n; i++) {
		struct section section;
		if (!read_section(params->p[i].name, &section) || section.number != wanted || !str_eq_nocase(section.base, name))
			continue;
		if (found == NULL || (section.extended && !*extended_out)) {
			found = &params->p[i];
			*extended_out = section.extended;
		}
	}
	return found;
}

// Where the value of `name` stands: plain is set when it is one value as written, else number is the first section to join.
struct param_place {
	const struct mime_param *plain;
	int64_t number;
};

static bool place_param(const struct mime_params *params, struct str name, struct param_place *out)
{
	bool extended = false, ignored = false;
	const struct mime_param *whole = find_section(params, name, -1, &extended);
	bool in_sections = find_section(params, name, 0, &ignored) != NULL;
	if (whole == NULL && !in_sections)
		return false;
	*out = (struct param_place){.number = extended ? -1 : 0};
	if (!extended && !in_sections)
		out->plain = whole;
	return true;
}

// Joins the sections from `number` on into bytes; the charset stands in the first, if that is extended.
static struct str join_sections(const struct mime_params *params, struct str name, int64_t number, struct buf *bytes)
{
	struct str charset = STR_NONE;
	bool first = true, fits = true;
	while (fits) {
		bool extended = false;
		const struct mime_param *param = find_section(params, name, number, &extended);
		if (param == NULL)
			break;
		struct str value = param->value;
		if (first && extended)
			charset = take_charset(&value);
		fits = extended ? add_percent_decoded(value, bytes) : buf_add(bytes, value);
		if (number < 0)
			break;
		first = false;
		number++;
	}
	return charset;
}

bool mime_param_bytes(const struct mime_params *params, struct str name, struct arena *arena, struct str *bytes_out)
{
	struct param_place place;
	if (!place_param(params, name, &place))
		return false;
	if (place.plain != NULL) {
		*bytes_out = place.plain->value;
		return true;
	}
	struct buf bytes;
	buf_init(&bytes, MIME_FIELD_BYTES_MAX);
	join_sections(params, name, place.number, &bytes);
	struct str copy = arena_dup(arena, buf_str(&bytes));
	buf_fini(&bytes);
	if (copy.p != NULL)
		*bytes_out = copy;
	return copy.p != NULL;
}

bool mime_param(const struct mime_params *params, struct str name, struct arena *arena, struct str *value_out)
{
	struct param_place place;
	struct str value;
	if (!place_param(params, name, &place))
		return false;
	if (place.plain != NULL) {
		value = encword_decode(arena, place.plain->value);
	} else {
		struct buf bytes, text;
		buf_init(&bytes, MIME_FIELD_BYTES_MAX);
		buf_init(&text, 4 * MIME_FIELD_BYTES_MAX);
		struct str charset = join_sections(params, name, place.number, &bytes);
		if (charset.n == 0 || charset_to_utf8(charset, buf_str(&bytes), &text) == CHARSET_UNKNOWN)
			charset_repair_utf8(buf_str(&bytes), &text);
		value = arena_dup(arena, buf_str(&text));
		buf_fini(&bytes);
		buf_fini(&text);
	}
	if (value.p != NULL)
		*value_out = value;
	return value.p != NULL;
}

// The numbered sections of one name.
struct sections {
	size_t n;
	uint64_t numbers; // bit k: number k occurs
	bool extended;    // one of them
	size_t first;     // index of the first that was written
};

_Static_assert(MIME_PARAMS_MAX <= 64, "numbers of sections are bits");

static struct sections count_sections(const struct mime_params *params, struct str base)
{
	struct sections all = {.first = params->n};
	struct section section;
	for (size_t i = 0; i < params->n; i++) {
		if (!read_section(params->p[i].name, &section) || section.number < 0 || !str_eq_nocase(section.base, base))
			continue;
		all.first = all.n ? all.first : i;
		all.n++;
		all.numbers |= UINT64_C(1) << section.number;
		all.extended |= section.extended;
	}
	return all;
}

// 0 to n - 1, each once.
static bool is_complete(const struct sections *all)
{
	return all->numbers == UINT64_MAX >> (64 - all->n);
}

static struct mime_param join_all(const struct mime_params *params, struct str base, const struct sections *all,
	struct arena *arena)
{
	struct buf value;
	buf_init(&value, 4 * MIME_FIELD_BYTES_MAX);
	for (size_t number = 0; number < all->n; number++) {
		bool extended = false;
		const struct mime_param *param = find_section(params, base, (int64_t)number, &extended);
		if (number == 0 && all->extended && !extended)
			buf_add(&value, STR("''"));
		for (size_t i = 0; i < param->value.n; i++)
			if (all->extended && !extended && param->value.p[i] == '%')
				buf_add(&value, STR("%25")); // or it would be decoded
			else
				buf_add_byte(&value, param->value.p[i]);
	}
	struct mime_param joined = {.name = arena_printf(arena, "%.*s%s", STR_FMT(base), all->extended ? "*" : ""),
		.value = arena_dup(arena, buf_str(&value))};
	buf_fini(&value);
	return joined;
}

void mime_params_join(const struct mime_params *params, struct arena *arena, struct mime_params *out)
{
	struct mime_param *joined = arena_array(arena, params->n, sizeof *joined);
	size_t n = 0;
	for (size_t i = 0; joined && i < params->n; i++) {
		struct section section;
		struct sections all = {.n = 0};
		if (read_section(params->p[i].name, &section) && section.number >= 0)
			all = count_sections(params, section.base);
		if (all.n == 0 || !is_complete(&all))
			joined[n] = params->p[i];
		else if (all.first == i)
			joined[n] = join_all(params, section.base, &all, arena);
		else
			continue;
		n += joined[n].name.p && joined[n].value.p;
	}
	*out = (struct mime_params){joined, n};
}
