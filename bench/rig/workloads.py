# SPDX-License-Identifier: Apache-2.0
"""What is run, and which rows come of it.

A workload is one call of mailload on one side; a row is one figure of it. Users are taken from ranges that do not overlap, so that no
workload finds another's mail in a mailbox. Sizes are for a full run; a quick one does a tenth.
"""
import dataclasses

RCPT_BATCH = 50
MESSAGE_BYTES = 4096
DROP_MESSAGES = 20  # of a POP3 maildrop


class Plan:
    """How much, over how many users."""

    def __init__(self, scale=1.0, users=20000, idle=1000, repeats=1):
        self.scale, self.users, self.idle, self.repeats = scale, users, idle, repeats
        self.tenth = users // 10
        self.people = max(1000, min(200000, int(1000000 * scale)))  # of the university whose directory is followed

    def n(self, full):
        return max(20, int(full * self.scale))

    def range(self, tenth, tenths=1.0, count=None):
        """First user and number of users."""
        return ["--first-user", tenth * self.tenth + 1, "--users", count or max(1, int(tenths * self.tenth))]


@dataclasses.dataclass
class Row:
    name: str
    about: str
    unit: str
    figure: str          # of the result: cpu_ms, rate, ms, cpu_ms_of, pss_kib, flushes, and those of directory.py
    phase: str = ""      # of imap-fetch
    design: float = 0.0  # what the design asks of us first; 0: nothing
    more_is_better: bool = False


@dataclasses.dataclass
class Workload:
    name: str
    command: str  # of mailload
    service: str
    arguments: object  # of a plan and the number of the repeat
    rows: list
    kind: str = "load"  # load, idle, fetch, flushes or directory (ours alone)
    mailboxes: object = None  # of a plan: arguments of the LMTP run that must have filled mailboxes before
    restarted: bool = False   # before it, so that no mailbox is open or in a process's memory
    in_use: bool = False      # the mailboxes get a message before each run too, so that they are open


def cpu(name, about, design=0.0):
    return Row(name, about, "ms CPU", "cpu_ms", design=design)


def lmtp_fill(*ranges):
    return lambda p: [[*p.range(*r[0]), "--operations", r[1](p), "--connections", 8] for r in ranges]


def spread(n, connections, *users):
    return lambda p, _repeat: ["--connections", connections, "--operations", p.n(n), *p.range(*users)]


EACH = lambda tenths: lambda p: max(1, int(tenths * p.tenth))  # noqa: E731 - one message for each mailbox
WATCHED = 100


def watched(p):
    return min(WATCHED, p.tenth)


def through(p):
    """Its clock is exact to a quarter of a second: never so few that this is much of it."""
    return max(p.n(10000), min(2000, 20 * watched(p)))


def first_messages(p, repeat):
    half = max(1, p.tenth // 2)
    return ["--connections", 16, "--operations", min(p.n(1000), half), "--first-user", 7 * p.tenth + 1 + repeat * half, "--users", half]


def used(p):
    """Mailboxes that are used so often that they stay open."""
    return min(1000, int(2 * p.tenth))


def closed(p, _repeat):
    """One message for each mailbox."""
    n = min(p.n(4000), int(2 * p.tenth))
    return ["--connections", 16, "--operations", n, *p.range(2, count=n)]


WORKLOADS = [
    Workload("lmtp-new", "lmtp", "lmtp", first_messages, [cpu("lmtp-new", "LMTP delivery, first of a mailbox")]),
    Workload("message", "smtp", "smtp", spread(5000, 20, 0), [cpu("message", "message from SMTP into the mailbox", 0.5)],
             mailboxes=lmtp_fill(((0,), EACH(1)))),
    Workload("message-new", "smtp", "smtp", lambda p, r: [*spread(5000, 20, 0)(p, r), "--per-connection", 1],
             [cpu("message-new", "the same, a connection for each")], mailboxes=lmtp_fill(((0,), EACH(1)))),
    Workload("through", "e2e", "smtp",
             lambda p, _r: ["--connections", 20, "--operations", through(p), *p.range(6, count=watched(p))],
             [Row("through", "SMTP in until all are seen over IMAP", "messages/s", "rate", design=3000, more_is_better=True)],
             mailboxes=lambda p: [[*p.range(6, count=watched(p)), "--operations", watched(p), "--connections", 8]]),
    Workload("rcpt-known", "rcpt", "rcpt", lambda p, r: [*spread(30000, 20, 0)(p, r), "--recipients", RCPT_BATCH],
             [cpu("rcpt-known", "RCPT TO, known", 0.03)]),
    Workload("rcpt-unknown", "rcpt", "rcpt", lambda p, r: [*spread(30000, 20, 0)(p, r), "--recipients", RCPT_BATCH, "--unknown", 100],
             [cpu("rcpt-unknown", "RCPT TO, unknown", 0.03)]),
    Workload("directory-shadow", "", "", None, [
        Row("directory-decide", "recipients decided from the shadow, one thread", "/s", "decide_rate", design=200000, more_is_better=True),
        Row("directory-decide-p99", "the slowest in a hundred of them", "\u00b5s", "decide_us", design=10),
        Row("directory-sync", "first sync from slapd", "entries/s", "sync_rate", design=50000, more_is_better=True),
        Row("directory-visible", "a change on the master is in the shadow, p99", "ms", "visible_ms", design=10),
        Row("directory-memory", "ldapsync, after the first sync and changes", "MiB PSS", "memory_mib", design=40)], kind="directory"),
    Workload("submission", "submit", "submission", spread(1500, 20, 0), [cpu("submission", "STARTTLS, AUTH, a message, QUIT", 1.2)],
             mailboxes=lmtp_fill(((0,), EACH(1))), in_use=True),
    Workload("lmtp", "lmtp", "lmtp", lambda p, _r: ["--connections", 16, "--operations", p.n(6000), *p.range(2, count=used(p))],
             [cpu("lmtp", "LMTP delivery, many mailboxes in use", 0.25)],
             mailboxes=lambda p: [[*p.range(2, count=used(p)), "--operations", used(p), "--connections", 8]], in_use=True),
    Workload("lmtp-hot", "lmtp", "lmtp", lambda p, _r: ["--connections", 8, "--operations", p.n(2000), *p.range(4, count=1)],
             [cpu("lmtp-hot", "LMTP delivery, all into one", 0.25)]),
    Workload("imap-login", "imap-login", "imap", spread(3000, 20, 2), [cpu("imap-login", "IMAP LOGIN, SELECT, LOGOUT", 0.2)],
             mailboxes=lmtp_fill(((2, 2), EACH(2)))),
    Workload("imap-append", "imap-append", "imap", lambda p, r: [*spread(4000, 16, 3)(p, r), "--per-connection", 20],
             [cpu("imap-append", "IMAP APPEND", 0.2)], mailboxes=lmtp_fill(((2, 2), EACH(2)))),
    Workload("pop3", "pop3", "pop3", lambda p, _r: ["--connections", 10, "--operations", p.n(600), *p.range(5, count=min(200, p.tenth)),
                                                  "--recipients", DROP_MESSAGES],
             [cpu("pop3", f"POP3 session, {DROP_MESSAGES} RETR", 0.8)],
             mailboxes=lambda p: [[*p.range(5, count=min(200, p.tenth)), "--operations", DROP_MESSAGES * min(200, p.tenth), "--connections", 8]]),
    Workload("mailbox", "imap-fetch", "imap", lambda p, repeat: ["--connections", 1, "--first-user", p.users - repeat, "--users", 1], [
        row for name, about, phase, design in (("metadata", "FETCH of metadata, cold", "fetch-meta", 114),
                                               ("again", "the same, warm", "fetch-meta-again", 35),
                                               ("bodies", "FETCH of all bodies", "fetch-body", 58),
                                               ("search", "SEARCH TEXT", "search-text", 220),
                                               ("seen", "STORE +Seen", "store-seen", 5))
        for row in (Row(f"mailbox-{name}", about, "ms", "ms", phase, design), Row(f"mailbox-{name}-cpu", "its CPU", "ms CPU", "cpu_ms_of", phase))
    ], kind="fetch"),
    Workload("lmtp-closed", "lmtp", "lmtp", closed, [cpu("lmtp-closed", "LMTP delivery, each to a mailbox that is closed", 0.25)],
             mailboxes=lmtp_fill(((2, 2), EACH(2))), restarted=True),
    Workload("idle-imap", "imap-idle", "imap", lambda p, _r: ["--users", p.idle],
             [Row("idle-imap", "idle IMAP connection", "KiB PSS", "pss_kib", design=12)], kind="idle"),
    Workload("idle-imap-tls", "imap-idle", "imaps", lambda p, _r: ["--users", p.idle, "--implicit-tls"],
             [Row("idle-imap-tls", "the same under TLS", "KiB PSS", "pss_kib", design=30)], kind="idle"),
    Workload("idle-smtp", "smtp-idle", "smtp", lambda p, _r: ["--users", p.idle],
             [Row("idle-smtp", "idle SMTP connection", "KiB PSS", "pss_kib", design=12)], kind="idle"),
    *(Workload(name, "", "", None, [Row(name, f"flushes before its 250, {about}", "a message", "flushes")], kind="flushes") for name, about in
      (("flush-message", "SMTP"), ("flush-submission", "submission"), ("flush-lmtp", "LMTP"), ("flush-append", "APPEND"))),
    Workload("flush-load", "smtp", "smtp", spread(1000, 20, 0),
             [Row("flush-load", "flushes in all, SMTP into the mailbox, 20 at a time", "a message", "flushes")], kind="flushes",
             mailboxes=lmtp_fill(((0,), EACH(1)))),
]


GROUPS = {"directory": ("directory-shadow", "rcpt-known", "rcpt-unknown")}  # names for several


def mailbox_messages(p):
    """Of the mailbox that is read: the same in a quick run, whose figures are to be comparable."""
    return 5000 if p.scale >= 0.1 else p.n(5000)


def chosen(names):
    """Workloads that have a row, or the name, of one of these, or are in a group of that name; all without names."""
    names = [one for name in names for one in GROUPS.get(name, (name,))]
    found = [w for w in WORKLOADS if not names or w.name in names or any(row.name in names for row in w.rows)]
    known = {w.name for w in WORKLOADS} | {row.name for w in WORKLOADS for row in w.rows}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no row {', '.join(unknown)}; there are: {' '.join([*(row.name for w in WORKLOADS for row in w.rows), *GROUPS])}")
    return found
