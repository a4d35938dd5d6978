# SPDX-License-Identifier: Apache-2.0
"""What bench/run does: both sides, the same workloads, one after the other. As root. See bench/README.md.

Builds a release, installs both sides in a folder of their own, runs each workload on one side and then on the other, and prints a table (or
JSON: an object a row, and a summary). Ends with 0 when every row is there and every flush was seen; both sides are stopped in any case.
"""
import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from rig import directory, flushes, limits, machine, measure, table, workloads  # noqa: E402
from rig.ours import ROOT, Ours, node  # noqa: E402
from rig.peers import Peers  # noqa: E402

MARK = "made-by-bench-run"
FAULTS = (measure.Spoilt, node.Failed, TimeoutError, OSError, subprocess.SubprocessError, KeyError, *directory.FAULTS)


def arguments():
    parser = argparse.ArgumentParser(prog="bench/run", description="Posthouse beside Postfix, Dovecot and OpenLDAP: CPU, speed, memory, flushes.",
                                     epilog="Alone and quickly: bench/run --ours --quick --only message. bench/report FILE shows what --json wrote.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, no repeats: under four minutes")
    parser.add_argument("--json", action="store_true", help="an object a row, then a summary")
    parser.add_argument("--ours", action="store_true", help="our side alone; needs nothing of Debian's mail servers")
    parser.add_argument("--only", action="append", default=[], metavar="ROW", help="this row and what is measured with it; repeat it, or use commas")
    parser.add_argument("--repeats", type=int, metavar="N", help="of each workload; the median is shown (3; --quick: 1)")
    parser.add_argument("--scale", type=float, metavar="X", help="of the work (1; --quick: 0.1)")
    parser.add_argument("--store", choices=("sdbox", "maildir"), default="sdbox", help="Dovecot's mailboxes (sdbox, their faster one)")
    parser.add_argument("--dir", default="/var/lib/posthouse-bench", help="where both sides live (%(default)s); not a file system in memory")
    parser.add_argument("--address", default="127.0.0.1", help="that both sides listen on, of loopback (%(default)s)")
    parser.add_argument("--no-install", action="store_true", help="call no apt")
    parser.add_argument("--keep", action="store_true", help="leave mailboxes, queues and logs in --dir")
    parser.add_argument("--limits", action="store_true", help="also what the machine can do at most (without --quick and --only: always)")
    parser.add_argument("--list", action="store_true", help="show the rows")
    options = parser.parse_args()
    options.only = [name for names in options.only for name in names.split(",")]
    options.repeats = options.repeats or (1 if options.quick else 3)
    options.scale = options.scale or (0.1 if options.quick else 1.0)
    if not 1 <= options.repeats <= 5 or not 0.001 <= options.scale <= 10:
        parser.error("--repeats is 1 to 5, --scale 0.001 to 10")
    try:
        options.chosen = workloads.chosen(options.only)
    except ValueError as problem:
        parser.error(str(problem))
    options.limits |= not (options.quick or options.only)
    options.dir = os.path.abspath(options.dir)
    return options


def take_folder(folder):
    """Made, or made by an earlier run: what is in it is removed without asking."""
    os.makedirs(folder, exist_ok=True)
    mark = os.path.join(folder, MARK)
    if os.listdir(folder) and not os.path.exists(mark):
        return False
    with open(mark, "w", encoding="ascii"):
        return True


def say(text):
    print(text, file=sys.stderr, flush=True)


def build(options):
    if not options.no_install:
        node.run(os.path.join(ROOT, "deploy", "packages"), "bench")
    tree = os.path.join(ROOT, "build", "release")
    if not os.path.exists(os.path.join(tree, "build.ninja")):
        node.run("cmake", "--preset", "release", cwd=ROOT)
    node.run("cmake", "--build", "--preset", "release", "--target", *node.PROGRAMS, "mailload", "decide", cwd=ROOT)


def plan_of(options):
    scale = options.scale
    return workloads.Plan(scale, users=max(200, min(20000, int(20000 * scale))), idle=max(50, min(1000, int(2000 * scale))), repeats=options.repeats)


def shown(workload, result):
    values = measure.figures(workload, result)
    noise = f", other {result['other_pct']:.0f} %" if "other_pct" in result else ""
    noise += f", the machine {result['busy_pct']:.0f} % busy" if "busy_pct" in result else ""
    rate = f", {result['rate']:.0f}/s" if "rate" in result else ""
    return ", ".join(f"{row.name} {table.significant(values[row.name][0])} {row.unit}" for row in workload.rows) + rate + noise


RUNS = {"flushes": flushes.run, "directory": lambda side, _workload, plan, _repeat, _filled: directory.run(side, plan)}


def measure_all(options, sides, emit):
    """Every workload, on one side and then on the other, so that what drifts in the machine hits both."""
    plan, filled, failed = plan_of(options), set(), []
    for workload in options.chosen:
        found = {row.name: {side.name: ([], [], []) for side in sides} for row in workload.rows}
        for repeat in range(options.repeats):
            for side in sides if workload.kind != "directory" else sides[-1:]:
                try:
                    result = RUNS.get(workload.kind, measure.run)(side, workload, plan, repeat, filled)
                except FAULTS as problem:
                    failed.append(workload.name)
                    say(f"{side.name:6} {workload.name}: FAILED: {problem}")
                    continue
                say(f"{side.name:6} {shown(workload, result)}")
                for name, (value, details) in measure.figures(workload, result).items():
                    values, results, noise = found[name][side.name]
                    values.append(value)
                    results.append(details)
                    noise += [result["other_pct"]] if "other_pct" in result else []
        for row in workload.rows:
            emit(table.row_of(row, found[row.name]))
    return sorted(set(failed))


def on_signal(_number, _frame):
    raise KeyboardInterrupt


def main():
    options = arguments()
    if options.list:
        for workload in workloads.WORKLOADS:
            for row in workload.rows:
                print(f"{row.name:18} {row.unit:12} {row.about}")
        return 0
    if os.geteuid() != 0:
        say("bench/run: run it as root: both sides change users")
        return 2
    signal.signal(signal.SIGTERM, on_signal)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    start, rows, failed = time.monotonic(), [], ["set-up"]
    if not take_folder(options.dir):
        say(f"bench/run: {options.dir} has other files in it: choose another --dir")
        return 2
    if machine.is_in_memory(os.path.realpath(options.dir)):
        say(f"bench/run: {options.dir} is in memory, where a flush costs nothing: choose another --dir")
        return 2
    plan = plan_of(options)
    sides = [Ours(options.dir, options.address, plan.users)]
    if not options.ours:
        sides.insert(0, Peers(options.dir, options.address, plan.users, options.store))

    def emit(row):
        rows.append(row)
        if options.json:
            print(json.dumps(row), flush=True)
    versions, machine_limits = {}, {}
    try:
        say(f"building, and starting {' and '.join(side.name for side in sides)} with {plan.users} users")
        build(options)
        machine_limits = limits.measure(options.dir, options.address) if options.limits else {}
        for side in sides:
            side.up()
            versions[side.name] = side.version()
        failed = measure_all(options, sides, emit)
        for side in sides:
            for line in side.log_errors()[:5]:
                say(f"{side.name} said: {line}")
                failed += [f"{side.name}: an error in its log"] if side.name == "ours" else []
    except FAULTS as problem:
        say(f"bench/run: {problem}")
    except KeyboardInterrupt:
        failed = ["stopped by a signal"]
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        for side in sides:
            try:
                side.down()
            except FAULTS as problem:
                failed.append(f"{side.name}: {problem}")
    summary = {"summary": True, "ok": not failed, "failed": sorted(set(failed)), "rows": len(rows),
               "seconds": round(time.monotonic() - start, 1),
               "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "machine": machine.describe(), "versions": versions, "limits": machine_limits,
               "users": plan.users, "scale": plan.scale, "repeats": options.repeats}
    if options.json:
        print(json.dumps(summary), flush=True)
    else:
        print(table.story(summary), table.text(rows), sep="\n\n")
    for name in summary["failed"]:
        say(f"bench/run: failed: {name}")
    for side in sides if not options.keep else []:
        side.remove()
    say(f"{summary['seconds']:.0f} s")
    return 0 if summary["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
