// SPDX-License-Identifier: Apache-2.0
// The reader of commands: puts lines and literals together until a command is whole, and never loses its place.
//
// The place is lost only when bytes follow whose number we do not know or will not read; then IMAP_READ_CLOSE. Once a command is
// refused it is still followed to its end, because a non-synchronising literal that it announces is on its way whatever we say.
#include "mail/imap_read.h"

#include "base/must.h"
#include "mail/imap_parse.h"

enum { KEPT_BYTES = 1024 };

void imap_read_init(struct imap_read *read, const struct imap_read_limits *limits)
{
	*read = (struct imap_read){.limits = *limits};
	buf_init(&read->text, limits->text_bytes_max);
}

void imap_read_fini(struct imap_read *read)
{
	buf_fini(&read->text);
}

void imap_read_reset(struct imap_read *read)
{
	if (read->text.size > KEPT_BYTES)
		buf_release(&read->text);
	else
		buf_clear(&read->text);
	read->error = NULL;
	read->literal = (struct imap_literal){0};
}

static void refuse(struct imap_read *read, const char *error)
{
	if (read->error == NULL)
		read->error = error;
}

enum announced { ANNOUNCED_NOTHING, ANNOUNCED_LITERAL, ANNOUNCED_ABSURD };

// Does the line end in "{n}", "{n+}" or "~{n}"? Absurd: it does, but n does not fit 63 bits.
static enum announced find_literal(struct str line, struct imap_literal *out)
{
	struct imap_literal literal = {.waits = true};
	struct str digits;
	size_t end = line.n;
	if (end < 3 || line.p[end - 1] != '}')
		return ANNOUNCED_NOTHING;
	end--;
	if (line.p[end - 1] == '+') {
		literal.waits = false;
		end--;
	}
	size_t begin = end;
	while (begin > 0 && chr_is_digit(line.p[begin - 1]))
		begin--;
	digits = str_of(line.p + begin, end - begin);
	if (digits.n == 0 || begin == 0 || line.p[begin - 1] != '{')
		return ANNOUNCED_NOTHING;
	literal.binary = begin > 1 && line.p[begin - 2] == '~';
	bool sane = str_to_u64(digits, INT64_MAX, &literal.n);
	*out = literal;
	return sane ? ANNOUNCED_LITERAL : ANNOUNCED_ABSURD;
}

bool imap_read_has_room(const struct imap_read *read)
{
	return read->literal.n <= read->text.max - read->text.n;
}

enum imap_read_state imap_read_refuse(struct imap_read *read, const char *error)
{
	refuse(read, error);
	if (read->literal.waits)
		return IMAP_READ_REFUSED;
	return read->literal.n <= read->limits.skip_bytes_max ? IMAP_READ_SKIP : IMAP_READ_CLOSE;
}

enum imap_read_state imap_read_line(struct imap_read *read, struct str line)
{
	if (str_index(line, '\0') >= 0)
		refuse(read, "NUL in a command");
	if (read->error == NULL && !buf_add(&read->text, line))
		refuse(read, "command too long");
	read->literal = (struct imap_literal){0};
	enum announced announced = find_literal(line, &read->literal);
	if (announced == ANNOUNCED_NOTHING)
		return read->error ? IMAP_READ_REFUSED : IMAP_READ_COMMAND;
	if (announced == ANNOUNCED_ABSURD) {
		refuse(read, "literal too large");
		return read->literal.waits ? IMAP_READ_REFUSED : IMAP_READ_CLOSE;
	}
	if (read->error == NULL && !buf_add(&read->text, STR("\r\n")))
		refuse(read, "command too long");
	if (read->error)
		return imap_read_refuse(read, read->error);
	read->literal_at = read->text.n;
	return IMAP_READ_LITERAL;
}

void imap_read_taken(struct imap_read *read)
{
	buf_clear(&read->text);
	read->literal_at = 0;
}

enum imap_read_state imap_read_literal_done(struct imap_read *read)
{
	if (read->error)
		return IMAP_READ_LINE;
	struct str bytes = str_from(buf_str(&read->text), read->literal_at);
	if (!read->literal.binary && str_index(bytes, '\0') >= 0)
		refuse(read, "NUL in a literal");
	return IMAP_READ_LINE;
}

struct str imap_read_tag(const struct imap_read *read)
{
	struct imap_parse p;
	struct str tag = STR("*");
	imap_parse_init(&p, buf_str(&read->text), NULL);
	return imap_parse_tag(&p, &tag) && imap_parse_peek(&p) == ' ' ? tag : STR("*");
}
