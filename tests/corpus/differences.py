# SPDX-License-Identifier: Apache-2.0
"""The table of what we say otherwise than Dovecot does, and why. A row names a class and knows its differences; README.md argues for each."""
import collections
import re

# One place where the answers differ: of which message, asked for what, where in the answer, and both values.
Case = collections.namedtuple("Case", "name octets item path ours theirs")
Row = collections.namedtuple("Row", "kind name knows")  # kind: fetch or search

PLACEHOLDERS = (b"MISSING_MAILBOX", b"MISSING_DOMAIN", b"SYNTAX_ERROR")
ENVELOPE_FIELDS = ("Date", "Subject", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "In-Reply-To", "Message-ID")
# Charsets that Python has and no mailer sends: EBCDIC, DOS, and Japanese standards after ISO-2022-JP-2.
NO_MAIL = ("cp037", "cp273", "cp424", "cp500", "cp1026", "cp1140", "cp775", "cp860", "cp861", "cp863", "cp865", "cp1125", "hp-roman8", "mac-cyrillic",
           "euc-jisx0213", "euc-jis-2004", "shift-jisx0213", "shift-jis-2004", "iso2022-jp-1", "iso2022-jp-2004", "iso2022-jp-3", "iso2022-jp-ext")
# Names that Python gives to charsets, and senders who trust it; iconv has others.
LOOSE_NAMES = ("iso2022-jp", "iso2022-jp-2", "iso2022-kr", "latin-1", "utf-16-be", "utf-16-le", "utf-32-be", "utf-32-le")


ODD_DATES = ("generated/empty fields", "generated/twice", "notmuch/test/corpora/crypto/encrypted-signed.eml",)
# Addresses that RFC 5322 does not have, whose reading is anybody's guess.
BROKEN_ADDRESSES = (5, 20, 27, 28, 29, 30, 31, 32, 33, 51, 52, 55, 56, 58, 60, 62, 64, 66, 67, 68, 69)


def in_order(item, value):
    """Parameters have no order: their pairs are sorted."""
    if not isinstance(value, list) or not item.startswith(b"BODY"):
        return value
    if value and len(value) % 2 == 0 and all(type(v) is bytes for v in value):
        return [v for pair in sorted(zip(value[::2], value[1::2])) for v in pair]
    return [in_order(item, v) for v in value]


def occurs(octets, field):
    return len(re.findall(rb"(?im)^" + field.encode() + rb":", octets))


def header_has(octets, field):
    return occurs(octets.split(b"\r\n\r\n", 1)[0], field)


def is_structure(case):
    return case.item in (b"BODY", b"BODYSTRUCTURE")


def no_boundary(octets):
    """Is the message's own multipart without a boundary that can be used?"""
    field = re.search(rb"(?i)(^|\n)content-type:\s*multipart/((?:[^\r]|\r\n[ \t])*)", octets)
    return field is not None and re.search(rb'(?i)boundary\*?=\s*("[^"]+"|[^";\s])', field[2]) is None


def is_section(case):
    return case.item.startswith(b"BODY[")


def numbered(case, family, numbers):
    match = re.match(r"generated/(\D+) (\d+)$", case.name)
    return match is not None and match[1] == family and int(match[2]) in numbers


def charset_of(case):
    match = re.match(r"generated/charset (\S+?)( base64)?$", case.name)
    return match[1] if match else None


def is_multipart(value):
    return isinstance(value, list) and bool(value) and isinstance(value[0], list)


def type_of(value):
    """Type and subtype of a body that is no multipart."""
    return tuple(value[:2]) if isinstance(value, list) and len(value) > 2 and not isinstance(value[0], list) else None


def is_part(case):
    return re.match(rb"BODY\[\d+(\.\d+)*(\.MIME)?\]$", case.item) is not None


ROWS = (
    Row("fetch", "no placeholders", lambda c: c.ours == b"" and c.theirs in PLACEHOLDERS),
    Row("fetch", "the first of several fields", lambda c: c.item == b"ENVELOPE" and header_has(c.octets, ENVELOPE_FIELDS[c.path[0]]) > 1
        or c.item == b"ENVELOPE" and c.path[0] in (3, 4) and header_has(c.octets, "From") > 1 or is_structure(c) and occurs(c.octets, "Content-Disposition") > 1),
    Row("fetch", "broken addresses", lambda c: c.item == b"ENVELOPE" and numbered(c, "address", BROKEN_ADDRESSES)),
    Row("fetch", "names as written", lambda c: is_structure(c) and isinstance(c.ours, bytes) and isinstance(c.theirs, bytes) and c.ours.lower() == c.theirs),
    Row("fetch", "no such part is NIL", lambda c: is_section(c) and c.ours is None and c.theirs == b""),
    Row("fetch", "no blank line where there is none", lambda c: b"HEADER.FIELDS" in c.item and c.ours + b"\r\n" == c.theirs and not re.search(rb"(^|\n)\r\n", c.octets)),
    Row("fetch", "no boundary, no multipart", lambda c: is_structure(c) and type_of(c.ours) == (b"text", b"plain") and is_multipart(c.theirs)
        or is_part(c) and bool(c.ours) and c.theirs in (b"", b"x", b"\r\n") and no_boundary(c.octets)),
    Row("fetch", "a boundary in RFC 2231's form", lambda c: b"boundary*=" in c.octets and (is_structure(c) and is_multipart(c.theirs) or is_part(c))),
    Row("fetch", "values that a token cannot be", lambda c: is_structure(c) and isinstance(c.ours, bytes) and isinstance(c.theirs, bytes)
        and c.theirs != b"" and c.ours.startswith(c.theirs) and re.search(rb"[\s()/]", c.ours) is not None),
    Row("fetch", "quotes that do not end", lambda c: is_structure(c) and c.theirs == b"us-ascii" and re.search(rb'charset\s*=\s*"[^"\r\n]*(\r\n|;)', c.octets, re.I) is not None),
    Row("fetch", "comments around a parameter", lambda c: is_structure(c) and numbered(c, "type", (13,)) and c.theirs == b"us-ascii"),
    Row("fetch", "parameters without a name", lambda c: is_structure(c) and numbered(c, "type", (14,))),
    Row("fetch", "odd stars", lambda c: is_structure(c) and (numbered(c, "type", (47,)) or numbered(c, "disposition", (47,))) and c.ours.endswith(b"**")),
    Row("fetch", "one charset is enough", lambda c: is_structure(c) and isinstance(c.ours, list) and b"charset*" in c.ours and b"charset" in c.theirs),
    Row("fetch", "MIME without MIME-Version", lambda c: is_structure(c) and not occurs(c.octets, "MIME-Version") and c.theirs == b"7bit"),
    Row("fetch", "words behind an encoding", lambda c: is_structure(c) and numbered(c, "encoding", (9, 10)) and c.theirs == b"7bit"),
    Row("fetch", "no disposition", lambda c: is_structure(c) and numbered(c, "placed", (3, 4, 7)) and c.ours is None),
    Row("fetch", "white space is no value", lambda c: is_structure(c) and c.ours == b"" and isinstance(c.theirs, bytes) and c.theirs.isspace()),
    Row("fetch", "a bare CR is kept", lambda c: c.name == "generated/bare CR last"),
    Row("fetch", "message/global is a message", lambda c: c.name == "generated/message/global"),
    Row("fetch", "boundaries of more than 80", lambda c: c.name == "generated/boundary of 200"),
    Row("fetch", "the line end before a boundary", lambda c: is_part(c) and c.ours is not None and c.ours + b"\r\n" == c.theirs),
    Row("fetch", "a header that a boundary ends", lambda c: is_part(c) and c.item.endswith(b".MIME]") and c.theirs + b"\r\n" == c.ours),
    Row("fetch", "types that are none are text/plain", lambda c: is_structure(c) and (b"" == c.theirs or isinstance(c.theirs, list) and b"" in c.theirs[:2]
        or numbered(c, "type", (22,)) and c.theirs is None)),
    Row("search", "a message without a date was sent on no day", lambda c: c.item.startswith(b"SENT") and c.ours is False and not header_has(c.octets, "Date")),
    Row("search", "dates that are hard to read", lambda c: c.item.startswith(b"SENT") and (numbered(c, "date", range(20)) or c.name in ODD_DATES)),
    Row("search", "charsets that no mail has", lambda c: charset_of(c) in NO_MAIL),
    Row("search", "names of charsets as senders write them", lambda c: charset_of(c) in LOOSE_NAMES and c.ours is True),
    Row("search", "text in a charset nobody knows", lambda c: c.name.startswith("generated/charset label") and c.ours is True),
    Row("search", "an encoded word that cannot be decoded is its letters", lambda c: b"SUBJECT" in c.item and numbered(c, "subject", (4, 10))),
    Row("search", "FROM and TO look at the whole field", lambda c: c.item.startswith((b"FROM", b"TO")) and numbered(c, "address", BROKEN_ADDRESSES) and c.ours is True),
    Row("search", "white space of a header is kept", lambda c: c.name == "generated/folded blank"),
)
