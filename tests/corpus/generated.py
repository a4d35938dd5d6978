# SPDX-License-Identifier: Apache-2.0
"""Messages that no package has: what is rare, broken, long or deep. The same for the same seed, whatever the machine.

    for message in generated.messages(): ...       # [Message(name, octets)]

Octets are as a file or a program would have them: line ends are CRLF but where the name says otherwise.
"""
import base64
import encodings.aliases
import quopri
import random

from packages import Message

SEED = 20261121
TEXT = "Grüße, Привет, 日本, 한국, שלום, ok.\r\n"


def head(subject, **fields):
    lines = ["From: \"Ann Example\" <ann@uni.example>", "To: bob@uni.example", "Subject: " + subject,
             "Date: Sat, 21 Nov 2026 19:00:00 +0000", f"Message-ID: <{abs(hash_of(subject))}@gen.example>"]
    lines += [name.replace("_", "-") + ": " + value for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n").encode("utf-8")


def hash_of(text):
    value = 5381
    for c in text.encode("utf-8", "surrogateescape"):
        value = (value * 33 + c) & 0xFFFFFFFF
    return value


def words(rng, n):
    return " ".join("".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randrange(1, 9))) for _ in range(n))


def lines_and_bytes(rng):
    """Line ends, long lines, bytes that are no text."""
    eight = bytes(c for c in range(1, 256) if c not in (10, 13))
    yield "8-bit", head("8-bit") + b"\r\n" + eight + b"\r\n"
    yield "8-bit header", b"Subject: " + eight[127:] + b"\r\nFrom: \xc3\xa4 <\xff@x.example>\r\n\r\nx\r\n"
    yield "all two-byte pairs", head("pairs", Content_Transfer_Encoding="8bit") + b"\r\n" + b"".join(
        bytes((a, b)) for a in range(128, 256, 3) for b in range(128, 256, 5)) + b"\r\n"
    yield "NUL", head("nul") + b"\r\nbefore\0after\r\n"
    yield "NUL in header", b"Subject: a\0b\r\n\r\nx\r\n"
    yield "bare CR", head("bare cr") + b"\r\none\rtwo\r\rthree\r\n"
    yield "bare CR in header", b"Subject: a\rb\r\nTo: x@y.example\r\n\r\nx\r\n"
    yield "bare CR last", head("bare cr last") + b"\r\nx\r"
    yield "bare LF", (head("bare lf") + b"\r\none\r\n\r\n.two\r\n..\r\n.\r\nthree\r\n").replace(b"\r\n", b"\n")
    yield "mixed line ends", b"Subject: mixed\nTo: x@y.example\r\nFrom: a@b.example\n\r\none\ntwo\r\nthree\n\n"
    yield "mixed blank line", b"Subject: mixed\r\nTo: x@y.example\r\n\nbody\r\n\r\nmore\r\n"
    yield "bare LF multipart", (multipart("lf", [(b"", b"one\r\ntwo"), (b"Content-Type: text/html\r\n", b"<p>")])).replace(b"\r\n", b"\n")
    for n in (75, 76, 78, 79, 997, 998, 999, 1000, 2047, 2048, 8191, 8192, 65535, 65536, 200000):
        yield f"line of {n}", head(f"line of {n}") + b"\r\n" + b"x" * n + b"\r\nend\r\n"
    for n in (998, 999, 8192, 70000):
        yield f"header line of {n}", b"X-Long: " + b"y" * (n - 8) + b"\r\nSubject: after\r\n\r\nx\r\n"
    yield "header of 150 KiB", b"Subject: long\r\n" + b"".join(b"X-%d: %d\r\n" % (i, i * i) for i in range(8000)) + b"To: last@x.example\r\n\r\nbody\r\n"
    yield "header of 150 KiB only", b"Subject: long\r\n" + b"".join(b"X-%d: %d\r\n" % (i, i * i) for i in range(8000))
    yield "dots", head("dots") + b"\r\n.\r\n..\r\n...\r\n.x\r\n\r\n.\r\n"
    yield "dot first", b".Subject: x\r\n\r\n.\r\n"
    yield "From lines", b"From ann Sat Nov 21 19:00:00 2026\r\n" + head("from") + b"\r\nFrom me\r\n>From you\r\n"
    yield "no final newline", head("no final newline") + b"\r\none\r\ntwo"
    yield "no final newline, large", head("no final newline, large") + b"\r\n" + b"line\r\n" * 20000 + b"end"
    yield "no final newline in header", b"Subject: cut\r\nTo: x"
    yield "empty body", head("empty body") + b"\r\n"
    yield "headers only", head("headers only")
    yield "only a newline", b"\r\n"
    yield "two newlines", b"\r\n\r\n"
    yield "body only", b"\r\nbody\r\n"
    yield "no header", b"just some text\r\nand more\r\n\r\nof it\r\n"
    yield "one byte", b"x"
    yield "white space", b" \r\n\t\r\n \t \r\n\r\n \r\n"
    for size in (64 << 10, (64 << 10) + 1, 256 << 10, 1 << 20):
        start = head(f"size {size}") + b"\r\n"
        yield f"exactly {size}", start + filler(rng, size - len(start))
    start = head("10 MiB") + b"\r\n"
    yield "10 MiB", start + filler(rng, (10 << 20) - len(start))


def filler(rng, size):
    line = words(rng, 12).encode()[:70] + b"\r\n"
    data = line * (size // len(line) + 1)
    return data[:size - 2].replace(b"\r", b" ").replace(b"\n", b" ") + b"\r\n" if size < 200 else data[:size - 4].rstrip(b"\r\n").ljust(size - 2, b"z") + b"\r\n"


def multipart(subject, parts, kind="mixed", boundary="b0", preamble=b"", epilogue=b"", end=True, quote=True):
    value = f'"{boundary}"' if quote else boundary
    data = head(subject, MIME_Version="1.0", Content_Type=f"multipart/{kind}; boundary={value}") + b"\r\n" + preamble
    for fields, body in parts:
        data += b"--" + boundary.encode() + b"\r\n" + fields + b"\r\n" + body + b"\r\n"
    return data + (b"--" + boundary.encode() + b"--\r\n" if end else b"") + epilogue


def structures(rng):
    one = (b"Content-Type: text/plain; charset=utf-8\r\n", b"one")
    two = (b"Content-Type: text/html\r\nContent-ID: <a@b>\r\nContent-Description: the second\r\nContent-Language: de, en\r\n"
           b"Content-Location: http://x.example/\r\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\n", b"<p>two</p>")
    inner = head("inside", Cc="x@y.example") + b"\r\ninner body\r\n"
    yield "mixed", multipart("mixed", [one, two], preamble=b"preamble\r\n", epilogue=b"epilogue\r\n")
    yield "no end", multipart("no end", [one, two], end=False)
    yield "no parts", multipart("no parts", [])
    yield "no parts, no end", multipart("no parts, no end", [], end=False)
    yield "only preamble", multipart("only preamble", [], preamble=b"nothing\r\n", end=False)
    yield "empty parts", multipart("empty parts", [(b"", b""), (b"", b""), (b"Content-Type: text/html\r\n", b"")])
    yield "part without blank line", multipart("part without blank line", [one])[:-6].replace(b"\r\n\r\none", b"\r\none") + b"\r\n--b0--\r\n"
    yield "digest", multipart("digest", [(b"", inner), (b"Content-Type: text/plain\r\n", b"x"), (b"", b"Subject: second\r\n\r\ny")], kind="digest")
    yield "alternative", multipart("alternative", [one, two], kind="alternative")
    yield "related", multipart("related", [one, two], kind="related")
    yield "message in multipart", multipart("message in multipart", [one, (b"Content-Type: message/rfc822\r\n", inner), two])
    yield "multipart in message", multipart("multipart in message", [(b"Content-Type: message/rfc822\r\n", multipart("in", [one, two], boundary="b1"))])
    yield "message/rfc822", head("message", Content_Type="message/rfc822") + b"\r\n" + inner
    yield "message/rfc822 base64", head("message base64", Content_Type="message/rfc822", Content_Transfer_Encoding="base64") + b"\r\n" + base64.encodebytes(inner).replace(b"\n", b"\r\n")
    yield "message/global", head("global", Content_Type="message/global") + b"\r\n" + inner
    yield "message/partial", head("partial", Content_Type="message/partial; id=\"x@y\"; number=1; total=2") + b"\r\n" + inner
    yield "message/delivery-status", multipart("dsn", [one, (b"Content-Type: message/delivery-status\r\n", b"Reporting-MTA: dns; x\r\n\r\nAction: failed\r\n"),
                                                       (b"Content-Type: text/rfc822-headers\r\n", b"Subject: x\r\n")], kind="report; report-type=delivery-status")
    yield "message empty", head("message empty", Content_Type="message/rfc822") + b"\r\n"
    yield "same boundary inside", multipart("same boundary inside", [(b"Content-Type: multipart/mixed; boundary=b0\r\n", b"--b0\r\n\r\nx"), two])
    yield "prefix boundary", multipart("prefix", [(b"Content-Type: multipart/mixed; boundary=b00\r\n", b"--b00\r\n\r\nx\r\n--b00--"), two])
    yield "boundary in body", multipart("boundary in body", [(b"", b"--b0x\r\n-- b0\r\n --b0\r\nb0"), two])
    for name, boundary in (("of 70", "B" * 70), ("of 71", "B" * 71), ("of 200", "B" * 200), ("with space", "a b c"), ("trailing space", "abc "),
                           ("odd", "'()+_,-./:=?"), ("dashes", "--"), ("dash end", "x--"), ("8-bit", "gr\u00fcn"), ("one", "=")):
        yield "boundary " + name, multipart("boundary " + name, [one, two], boundary=boundary)
    yield "boundary bare", multipart("boundary bare", [one, two], quote=False)
    yield "boundary missing", head("boundary missing", Content_Type="multipart/mixed") + b"\r\n--b0\r\n\r\nx\r\n--b0--\r\n"
    yield "boundary empty", head("boundary empty", Content_Type="multipart/mixed; boundary=\"\"") + b"\r\n--\r\n\r\nx\r\n----\r\n"
    yield "boundary by rfc2231", head("boundary by rfc2231", Content_Type="multipart/mixed; boundary*0=\"b\"; boundary*1=\"0\"") + b"\r\n--b0\r\n\r\nx\r\n--b0--\r\n"
    yield "space after boundary", multipart("space after boundary", [one, two]).replace(b"--b0\r\n", b"--b0 \t\r\n")
    yield "1000 parts", multipart("1000 parts", [(b"Content-Type: text/plain; name=p%d\r\n" % i, b"part %d" % i) for i in range(1000)])
    for depth in (2, 10, 45):
        yield f"nested {depth}", nested(depth)
    yield "messages nested 10", b"Content-Type: message/rfc822\r\nSubject: outer\r\n\r\n" * 10 + b"Subject: inner\r\n\r\nx\r\n"
    tree = rng.randrange(1 << 30)
    for i in range(12):
        yield f"random tree {i}", random_tree(random.Random(tree + i), f"random tree {i}")


def nested(depth):
    data = head(f"nested {depth}")
    for i in range(depth):
        data += b"Content-Type: multipart/mixed; boundary=n%03d\r\n\r\n--n%03d\r\n" % (i, i)
    data += b"Content-Type: text/plain\r\n\r\nthe core\r\n"
    return data + b"".join(b"--n%03d--\r\n" % i for i in range(depth - 1, -1, -1))


def random_tree(rng, subject):
    count = [0]

    def part(depth):
        pick = rng.random()
        if depth < 4 and pick < 0.4:
            count[0] += 1
            boundary = f"t{count[0]:03d}"
            inside = b"".join(b"--" + boundary.encode() + b"\r\n" + part(depth + 1) + b"\r\n" for _ in range(rng.randrange(1, 5)))
            kind = rng.choice(("mixed", "alternative", "related", "Parallel"))
            end = b"--" + boundary.encode() + b"--" + rng.choice((b"", b"\r\n", b"\r\nepilogue")) if rng.random() < 0.9 else b""
            return f"Content-Type: multipart/{kind};\r\n\tboundary=\"{boundary}\"\r\n\r\n".encode() + inside + end
        if depth < 4 and pick < 0.55:
            return b"Content-Type: message/rfc822\r\n\r\nSubject: " + words(rng, 3).encode() + b"\r\nFrom: " + words(rng, 1).encode() + b"@x.example\r\n" + part(depth + 1)
        body = "\r\n".join(words(rng, 8) for _ in range(rng.randrange(5))).encode()
        if pick < 0.75:
            return b"Content-Type: application/octet-stream; name=\"" + words(rng, 2).encode() + b"\"\r\nContent-Transfer-Encoding: base64\r\n\
Content-Disposition: attachment; filename=" + words(rng, 1).encode() + b".bin\r\n\r\n" + base64.b64encode(body)
        return rng.choice((b"Content-Type: text/plain\r\n\r\n", b"\r\n", b"Content-Type: text/html; charset=iso-8859-15\r\n\r\n")) + body
    return head(subject, MIME_Version="1.0") + part(0) + b"\r\n"


def charsets(_rng):
    """Every charset that Python can write text in, as 8-bit where its bytes are ASCII's, as base64, and in a header."""
    for name in sorted(set(encodings.aliases.aliases.values())):
        try:
            body = TEXT.encode(name, "replace")
            word = "Grüße 日本".encode(name, "replace")
            if not isinstance(body, bytes) or "ok.\r\n".encode(name) != b"ok.\r\n":
                raise LookupError
            eight = True
        except (LookupError, UnicodeError, ValueError):
            eight = False
        try:
            body = TEXT.encode(name, "replace")
            word = "Grüße 日本".encode(name, "replace")
        except (LookupError, UnicodeError, ValueError):
            continue  # no text encoding (base64_codec, idna and the like)
        label = name.replace("_", "-")
        encoded = f"=?{label}?B?{base64.b64encode(word).decode()}?= =?{label}?Q?{quopri.encodestring(word, header=True).decode()}?="
        if eight and b"\0" not in body and b"\r" not in body.replace(b"\r\n", b"") and b"\n" not in body.replace(b"\r\n", b""):
            yield f"charset {label}", head(encoded, Content_Type=f"text/plain; charset={label}", Content_Transfer_Encoding="8bit") + b"\r\n" + body
        yield f"charset {label} base64", head(encoded, Content_Type=f"text/plain; charset=\"{label}\"", Content_Transfer_Encoding="base64") + b"\r\n" + \
            base64.encodebytes(body).replace(b"\n", b"\r\n")
    for label in ("utf8", "UTF-8", "unknown-8bit", "x-user-defined", "", "us-ascii", "ansi_x3.110-1983", "utf-7", "iso-2022-jp-3"):
        yield f"charset label {label}", head("label", Content_Type=f"text/plain; charset=\"{label}\"") + b"\r\nGr\xc3\xbc\xc3\x9fe\r\n"


def headers(_rng):
    def one(name, text):
        if "MIME-Version" not in text and "Content-" in text:
            text = "MIME-Version: 1.0\r\n" + text
        return name, text.encode("utf-8", "surrogateescape") + b"\r\nbody\r\n"
    yield one("folded", "Subject: one\r\n two\r\n\tthree\r\n  four\r\nTo: a@b.example,\r\n c@d.example\r\nFrom:\r\n a@b.example\r\n")
    yield one("folded blank", "Subject: one\r\n \r\n two\r\nTo: x@y.example\r\n")
    yield one("space before colon", "Subject : x\r\nFrom\t: a@b.example\r\n")
    yield one("no space", "Subject:x\r\nFrom:a@b.example\r\n")
    yield one("much space", "Subject:    x  y   \r\nFrom:   a@b.example   \r\n")
    yield one("no colon", "Subject: x\r\nthis is no field\r\nFrom: a@b.example\r\n")
    yield one("colon only", ": nothing\r\nSubject: x\r\n")
    yield one("space first", " Subject: x\r\nFrom: a@b.example\r\n")
    yield one("empty fields", "Subject:\r\nFrom:\r\nTo: \r\nCc:\t\r\nBcc:\r\nReply-To:\r\nSender:\r\nDate:\r\nMessage-ID:\r\nIn-Reply-To:\r\n")
    yield one("twice", "Subject: one\r\nSubject: two\r\nFrom: a@b.example\r\nFrom: c@d.example\r\nTo: e@f.example\r\nTo: g@h.example\r\nDate: x\r\nDate: y\r\nMessage-ID: <1@x>\r\nMessage-ID: <2@x>\r\n")
    yield one("case", "SUBJECT: x\r\nfrom: a@b.example\r\ncontent-TYPE: TEXT/Html; Charset=UTF-8\r\ncontent-disposition: InLine; FileName=\"A\"\r\n")
    addresses = ("a@b.example", "<a@b.example>", "A B <a@b.example>", "\"A, B\" <a@b.example>", "a@b.example (A B)", "(c) a@b.example", "a (x) @ (y) b.example",
                 "\"a b\"@c.example", "<@r1.example,@r2.example:a@b.example>", "group: a@b.example, C <c@d.example>;", "group:;", "undisclosed-recipients:;",
                 "g1: a@b.example;, h@i.example, g2: c@d.example;", "a", "<>", "<a>", "@b.example", "a@", "A B", "A B <>", "a@b@c.example", "a..b@c.example",
                 ".a@b.example", "a@[127.0.0.1]", "a@[IPv6:::1]", "\"\"@b.example", "a@b.example,", ",a@b.example", "a@b.example,,c@d.example", "a@b.example; c@d.example",
                 "\"unclosed <a@b.example>", "(unclosed a@b.example", "<unclosed@b.example", "a b c@d.example", "A \"q\" B <a@b.example>", "A. B. C. <a@b.example>",
                 "\"A \\\"q\\\" B\" <a@b.example>", "\"back\\\\slash\" <a@b.example>", "=?utf-8?q?Gr=C3=BC=C3=9Fe?= <a@b.example>", "\"=?utf-8?q?x?=\" <a@b.example>",
                 "Grüße <a@b.example>", "grüße@b.example", "a@grün.example", "a@b.example (nested (comment) \\) end)", "A\r\n B <a\r\n @b.example>", "<a@b.example> trailing",
                 "<a@b.example> <c@d.example>", "mailto:a@b.example", "a@b.example\tc@d.example", "(only a comment)", "(ends in a backslash \\", "\"ends in a backslash \\",
                 "group: nested: a@b.example;;", "group: a@b.example", "a@b.example>", "A <a@b.example", "A B@c.example", "'A B' <a@b.example>", "A@B <a@b.example>",
                 "a@b.example \udcc3", "\udcc3( <a@b.example>", "-", ";", ":", "::", "<", ">", "\\", "\\a@b.example", "a\\@b.example")
    for i, address in enumerate(addresses):
        yield one(f"address {i}", f"From: {address}\r\nTo: {address}\r\nSender: {address}\r\nSubject: address {i}\r\n")
    for i, date in enumerate(("21 Nov 2026 19:00:00 +0000", "Sat, 21 Nov 26 19:00 GMT", "Sat, 21 Nov 2026 19:00:00 +0000 (UTC)", "nonsense", "Sat, 31 Feb 2026 25:61:61 +9999",
                              "Sat,21 Nov 2026 19:00:00 -0000", "2026-11-21T19:00:00Z", "Sat, 21 Nov 2026\r\n 19:00:00 +0000")):
        yield one(f"date {i}", f"Date: {date}\r\nSubject: date {i}\r\n")
    for i, text in enumerate(("=?utf-8?q?a?=", "=?utf-8?Q?a_b?=", "=?UTF-8?b?YQ==?=", "=?utf-8?B?YQ?=", "=?utf-8*de?q?a?=", "=?utf-8?q?a?= =?utf-8?q?b?=",
                              "=?utf-8?q?a?=\r\n =?utf-8?q?b?=", "x =?utf-8?q?a?= y", "x=?utf-8?q?a?=y", "=?utf-8?x?a?=", "=?unknown?q?a=FF?=", "=?utf-8?q?=C3?= =?utf-8?q?=BC?=",
                              "=?utf-8?q?" + "a" * 200 + "?=", "=?utf-8?q?a", "=??q?a?=", "=?utf-8??a?=", "=?utf-8?q??=", "=?utf-8?q?a b?=", "=?iso-8859-1?q?=FC=00?=",
                              "=?utf-8?b?" + "/" * 40 + "?=", "=?utf-8?q?=?=", "=?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?=", "Re: Re: [x] =?utf-8?q?Fwd:_a?=", "\"=?utf-8?q?a?=\"", "\\\"", "{5}", "\x01\x7f", "\t", "a\r\n\r\x20b".replace("\r\n\r", "\r\n"))):
        yield one(f"subject {i}", f"Subject: {text}\r\nContent-Description: {text}\r\nContent-ID: {text}\r\n")
    for i, value in enumerate(("text/plain", "text", "text/", "/plain", "text/plain;", "text/plain; charset", "text/plain; charset=", "text/plain; charset=\"x", "text/plain charset=x",
                               "text/plain; charset=x; charset=y", "TEXT/PLAIN; CHARSET=\"us-ascii\"", "text/plain; charset=us-ascii (comment)", "(c) text (c) / (c) plain (c) ; (c) charset (c) = (c) x",
                               "text/plain;; charset=x", "text/plain; =x; charset=y", "text/plain; a=b c; charset=y", "text/x-y; name=my file.txt", "text/plain; name=\"a\\\"b\\\\c\"",
                               "application/octet-stream; name=\"Grüße.txt\"", "image/png; name==?utf-8?q?Gr=C3=BC?=", "image/png; name=\"=?utf-8?q?Gr=C3=BC?=\"", "image", "x/y/z; a=b", "text/plain\r\n ; charset=x\r\n ; format=flowed",
                               "text/plain, text/html", "text/plain; charset='x'", "text/html; charset=utf-8; charset*=utf-8''x", "a b/c", "application/x; name=\"\"", "multipart/mixed", "multipart/; boundary=x", "message/rfc822", "message/external-body; access-type=URL; URL=\"http://x\"",
                               "text/plain; name*=utf-8''Gr%C3%BC%C3%9Fe.txt", "text/plain; name*=utf-8'de'a%20b", "text/plain; name*0=abc; name*1=def", "text/plain; name*0*=utf-8''a%C3; name*1*=%BC; name*2=c",
                               "text/plain; name*1=b; name*0=a", "text/plain; name*0=a; name*2=c", "text/plain; name*0*=utf-8''a; name=b", "text/plain; name=b; name*=utf-8''c", "text/plain; name*=bad", "text/plain; name*=x'y", "text/plain; name*=utf-8''%", "text/plain; name*=utf-8''%zz",
                               "text/plain; name*=unknown''%FC", "text/plain; name*00=a; name*01=b", "text/plain; name**=x", "text/plain; *=x", "text/plain; name*0*=''a; name*1*=%41", "text/plain; name*0=\"utf-8''a\"; name*1=\"b\"",
                               "text/plain; " + "; ".join(f"name*{n}=\"part{n}\"" for n in range(20)), "text/plain; " + "; ".join(f"p{n}=v{n}" for n in range(63)))):
        yield one(f"type {i}", f"Subject: type {i}\r\nContent-Type: {value}\r\n")
        if "name" in value:
            disposition = value.split(";", 1)[-1].replace("name", "filename")
            yield one(f"disposition {i}", f"Subject: disposition {i}\r\nContent-Disposition: attachment;{disposition}\r\n")
    for i, value in enumerate(("7bit", "8BIT", "Binary", "quoted-printable", "BASE64", "base64 (c)", "x-uuencode", "", "\"base64\"", "base64; x=y", "7 bit", "base64\r\n ")):
        yield one(f"encoding {i}", f"Subject: encoding {i}\r\nContent-Transfer-Encoding: {value}\r\n")
    for i, value in enumerate(("inline", "ATTACHMENT", "attachment; filename=a b.txt", "; filename=x", "\"attachment\"; filename=x", "attachment; size=5; filename=\"x\"", "attachment filename=x", "", "attachment/x")):
        yield one(f"placed {i}", f"Subject: placed {i}\r\nContent-Disposition: {value}\r\n")
    for i, value in enumerate(("de", "de, en", "de,en,", "de en", "", "(c) de", "i-klingon, x-pig-latin", ",", "de; q=1")):
        yield one(f"language {i}", f"Subject: language {i}\r\nContent-Language: {value}\r\n")
    for i, value in enumerate(("<a@b>", "a@b", "<a @ b>", "(c) <a@b>", "<a@b> <c@d>", "<a@b", "\"x\" <a@b>", "<" + "i" * 900 + "@b>", "<a@b>\r\n <c@d>")):
        yield one(f"ids {i}", f"Subject: ids {i}\r\nMessage-ID: {value}\r\nIn-Reply-To: {value}\r\nReferences: {value}\r\n")


def messages(seed=SEED):
    found = []
    for family in (lines_and_bytes, structures, charsets, headers):
        rng = random.Random(f"{seed} {family.__name__}")
        found += [Message("generated/" + name, octets) for name, octets in family(rng)]
    return found


if __name__ == "__main__":
    all_messages = messages()
    print(len(all_messages), sum(len(m.octets) for m in all_messages), len({m.octets for m in all_messages}))
