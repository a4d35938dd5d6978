# SPDX-License-Identifier: Apache-2.0
"""Is it durable before it is acknowledged? strace counts the flushes of the side that says 250, between the client's DATA and that 250.

One message at a time, the queue empty in between, so that a flush belongs to its message. A message without one spoils the run: a server
that acknowledges first would win every other row for nothing. What group commit saves under load is a row of its own.
"""
import contextlib
import imaplib
import os
import re
import smtplib
import ssl
import statistics
import subprocess
import tempfile
import time

from . import machine
from .measure import Spoilt, fill, load

CALLS = "fsync,fdatasync,sync_file_range,msync,syncfs,sync"
DONE = re.compile(r"^(?P<pid>\d+) +(?P<at>\d+\.\d+) (?:<\.\.\. )?\w+(?: resumed>)?.*?= 0(?: <(?P<took>\d+\.\d+)>)?$")
MESSAGES, ATTACH_S, SETTLE_S, REPLY_S = 10, 20, 0.5, 30
TEXT = ("From: <{who}>\r\nTo: <{who}>\r\nSubject: flush\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <{n}@sender.example>\r\n\r\n"
        + 60 * (60 * "x" + "\r\n"))


@contextlib.contextmanager
def traced(*groups):
    """A list that, afterwards, has the times at which flushes of the groups' processes and their children were done."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "strace")
        pids = [pid for group in groups for pid in group.pids()]
        words = [word for pid in pids for word in ("-p", str(pid))]
        strace = subprocess.Popen(["strace", "-f", "-qq", "-ttt", "-T", "-e", "trace=" + CALLS, "-o", out, *words], stderr=subprocess.DEVNULL)
        try:
            machine.wait(ATTACH_S, lambda: all("TracerPid:\t0" not in machine.read(f"/proc/{pid}/status") for pid in pids), "strace to attach")
            time.sleep(SETTLE_S)  # every thread, not only the first of each process
            yield times
            time.sleep(SETTLE_S)
        finally:
            strace.terminate()
            strace.wait()
        for line in machine.read(out).splitlines():
            found = DONE.match(line)
            if found:
                resumed = "resumed>" in line
                times.append(float(found["at"]) + (0 if resumed else float(found["took"] or 0)))


def host_and_port(side, service):
    host, port = side.address(service).rsplit(":", 1)
    return host, int(port)


@contextlib.contextmanager
def by_smtp(side, who, login=False, kind=smtplib.SMTP, service="smtp"):
    """A function that sends one message and gives the times of its DATA and of its 250."""
    with kind(*host_and_port(side, service), local_hostname="load.sender.example") as smtp:
        smtp.sock.settimeout(REPLY_S)
        if login:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # each side has made its own certificate
            smtp.starttls(context=context)
            smtp.login(who, side.password)
        else:
            smtp.ehlo_or_helo_if_needed()

        def send(n):
            smtp.mail(who)
            smtp.rcpt(who)
            begin = time.time()
            code, reply = smtp.data(TEXT.format(who=who, n=n))
            if code != 250:
                raise Spoilt(f"{side.name}: {code} {reply!r}")
            return begin, time.time()
        yield send


@contextlib.contextmanager
def by_append(side, who):
    imap = imaplib.IMAP4(*host_and_port(side, "imap"), timeout=REPLY_S)
    try:
        imap.login(who, side.password)

        def send(n):
            begin = time.time()
            if imap.append("INBOX", None, None, TEXT.format(who=who, n=n).encode())[0] != "OK":
                raise Spoilt(f"{side.name}: APPEND was refused")
            return begin, time.time()
        yield send
    finally:
        imap.logout()


WAYS = {
    "flush-message": ("smtp", by_smtp),
    "flush-submission": ("smtp", lambda side, who: by_smtp(side, who, login=True, service="submission")),
    "flush-lmtp": ("imap", lambda side, who: by_smtp(side, who, kind=smtplib.LMTP, service="lmtp")),
    "flush-append": ("imap", by_append),
}


def run_under_load(side, workload, plan, repeat, filled):
    """Of all processes of the side, from SMTP into the mailbox, many at a time: what group commit leaves."""
    fill(side, workload, plan, filled)
    side.drain()
    with traced(*side.groups.values()) as times:
        result = load(side, workload.command, workload.service, workload.arguments(plan, repeat))[0]
        side.drain()
    if not times:
        raise Spoilt(f"{side.name}: {workload.name}: no flush at all")
    return {"flushes": len(times) / result["ok"], "ok": result["ok"]}


def run(side, workload, plan, repeat, filled):
    if workload.command:
        return run_under_load(side, workload, plan, repeat, filled)
    accepts, way = WAYS[workload.name]
    who = f"u{plan.users - 8:05d}@uni.example"
    windows = []
    with way(side, who) as send:
        send("first")  # makes the mailbox
        side.drain()
        with traced(side.groups[side.accepts[accepts]]) as times:
            for n in range(MESSAGES):
                windows.append(send(n))
                side.drain()
    counts = [sum(begin <= at <= end for at in times) for begin, end in windows]
    if not all(counts):
        raise Spoilt(f"{side.name}: {workload.name}: of {MESSAGES} messages {counts.count(0)} had no flush before their 250")
    return {"flushes": statistics.median(counts), "flushes_in_all": len(times) / MESSAGES, "ok": MESSAGES}
