# SPDX-License-Identifier: Apache-2.0
"""One workload on one side: mailload's RESULT lines, and what the machine says before and after.

CPU is counted from before the first connection until the queue is empty again: it is the whole cost of a message, not of its acceptance.
other_pct is what neither the servers nor mailload used of the machine while mailload ran: noise, which makes rates too low and disturbs
caches; CPU per operation bears some of it.
"""
import os
import signal
import subprocess
import time

from . import machine
from .ours import ROOT
from .workloads import DROP_MESSAGES, MESSAGE_BYTES, mailbox_messages

MAILLOAD = os.path.join(ROOT, "build", "release", "bench", "mailload")
RUN_S = 300
IDLE_FIRST, IDLE_OPENING, IDLE_SETTLE_S = 5, 50, 5  # Dovecot hibernates a session after 2 s


class Spoilt(Exception):
    """A run that proves nothing: errors, wrong answers, mail that did not arrive."""


def mailload(side, command, service, arguments):
    words = [MAILLOAD, command, "--server", side.address(service), "--password", side.password, "--size", str(MESSAGE_BYTES), "--seconds", str(RUN_S)]
    return words + (["--imap-server", side.address("imap")] if command == "e2e" else []) + [str(a) for a in arguments]


def results(output):
    """RESULT lines as dictionaries, numbers as numbers."""
    found = []
    for line in output.splitlines():
        if line.startswith("RESULT "):
            pairs = dict(word.split("=", 1) for word in line.split()[1:])
            found.append({k: v if k == "cmd" else float(v) for k, v in pairs.items()})
    return found


def load(side, command, service, arguments):
    done = subprocess.run(mailload(side, command, service, arguments), capture_output=True, text=True, check=False)
    found = results(done.stdout)
    if done.returncode != 0 or not found:
        raise Spoilt(f"{side.name}: mailload {command}: {done.stderr.strip() or found}"[:500])
    return found


class Sample:
    def __init__(self, side):
        self.cpu = {name: group.cpu_s() for name, group in side.groups.items()}
        self.busy, self.all = machine.cpu_of_machine()
        self.at = time.monotonic()


def noise(before, middle, client_cpu_s):
    servers = sum(middle.cpu[name] - before.cpu[name] for name in before.cpu)
    return max(0.0, 100 * (middle.busy - before.busy - servers - client_cpu_s) / max(middle.all - before.all, 0.01))


def check_answers(side, workload, result):
    if result["err"] or result.get("mismatch") or result.get("tempfail"):
        raise Spoilt(f"{side.name}: {workload.name}: {result['err']:.0f} errors, {result.get('mismatch', 0):.0f} wrong answers, "
                     f"{result.get('tempfail', 0):.0f} temporary failures")
    if result.get("complete", 1) != result.get("mailboxes", 1):
        raise Spoilt(f"{side.name}: {workload.name}: mail did not arrive in {result['mailboxes'] - result['complete']:.0f} mailboxes")


WARM_FIRST = 20  # users, of those that no workload measures: processes are there, the directory is in memory


def restart(side, plan):
    side.drain()
    side.restart()
    load(side, "lmtp", "lmtp", ["--connections", 4, "--operations", WARM_FIRST, *plan.range(9, count=WARM_FIRST)])


def run_load(side, workload, plan, repeat):
    if workload.restarted:
        restart(side, plan)
    for arguments in workload.mailboxes(plan) if workload.in_use else []:
        load(side, "lmtp", "lmtp", arguments)
    side.drain()
    before = Sample(side)
    result = load(side, workload.command, workload.service, workload.arguments(plan, repeat))[0]
    middle = Sample(side)
    side.drain()
    after = Sample(side)
    check_answers(side, workload, result)
    used = {name: 1000 * (after.cpu[name] - before.cpu[name]) / result["ok"] for name in before.cpu}
    return {"cpu_ms": sum(used.values()), "cpu_ms_by": {name: round(ms, 4) for name, ms in used.items() if ms > 0.0005},
            "other_pct": noise(before, middle, result["client_cpu_s"]), "drained_rate": result["ok"] / (after.at - before.at),
            **{key: result[key] for key in ("ok", "rate", "p50_ms", "p99_ms", "client_cpu_s")}}


def run_fetch(side, workload, plan, repeat):
    arguments, messages = workload.arguments(plan, repeat), mailbox_messages(plan)
    load(side, "lmtp", "lmtp", [*arguments[2:], "--connections", 4, "--operations", messages])
    before = Sample(side)
    usage = ",".join(name for group in side.groups.values() for name in group.usage_file())
    found = {result["cmd"].removeprefix("imap-"): result for result in load(side, workload.command, workload.service, [*arguments, "--usage", usage])}
    after = Sample(side)
    seen = {name: result["hits"] for name, result in found.items()}
    if any(seen[name] != messages for name in ("fetch-meta", "fetch-body")) or seen["search-text"] != (messages + 9) // 10:
        raise Spoilt(f"{side.name}: {workload.name}: {messages} messages, but {seen}")
    other = noise(before, after, found["select"]["client_cpu_s"])
    return {"ms": {name: 1000 * result["secs"] for name, result in found.items()}, "ok": messages, "other_pct": other,
            "cpu_ms_of": {name: 1000 * result["server_cpu_s"] for name, result in found.items()}}


def run_idle(side, workload, plan, repeat):
    """Memory with and without connections, each side restarted before and warmed by a few."""
    arguments = workload.arguments(plan, repeat)
    side.restart()
    load(side, workload.command, workload.service, [*arguments, "--connections", IDLE_FIRST, "--hold", 0.2])
    time.sleep(2)
    empty = sum(group.pss_kib() for group in side.groups.values())
    process = subprocess.Popen(mailload(side, workload.command, workload.service,
                                        [*arguments, "--connections", plan.idle, "--opening", IDLE_OPENING, "--hold", RUN_S]),
                               stdout=subprocess.PIPE, text=True)
    try:
        ready = process.stdout.readline()
        if f"opened={plan.idle} " not in ready:
            raise Spoilt(f"{side.name}: {workload.name}: {ready.strip() or 'connections were lost'}")
        time.sleep(IDLE_SETTLE_S)
        full = sum(group.pss_kib() for group in side.groups.values())
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
    return {"pss_kib": (full - empty) / plan.idle, "empty_kib": empty, "ok": plan.idle}


def fill(side, workload, plan, filled):
    """Mailboxes that the workload needs, once for each side: the first delivery also makes the mailbox."""
    for arguments in workload.mailboxes(plan) if workload.mailboxes else []:
        key = (side.name, *map(str, arguments))
        if key not in filled:
            filled.add(key)
            load(side, "lmtp", "lmtp", arguments)


KINDS = {"load": run_load, "fetch": run_fetch, "idle": run_idle}


def figures(workload, result):
    """The value of each row, and what is to be known beside it."""
    found = {}
    for row in workload.rows:
        if row.phase:
            found[row.name] = (result[row.figure][row.phase], {"ok": result["ok"]})
        else:
            found[row.name] = (result[row.figure], result)
    return found


def run(side, workload, plan, repeat, filled):
    fill(side, workload, plan, filled)
    return KINDS[workload.kind](side, workload, plan, repeat)


assert DROP_MESSAGES > 1  # what pop3's --recipients means only then
