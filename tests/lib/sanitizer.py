# SPDX-License-Identifier: Apache-2.0
"""Daemons built with a sanitizer: how they are started, and what they reported.

Reports go to the daemon's standard error and so into the node's log. The sandbox lets no daemon start a symbolizer, so addresses are turned into
places here, afterwards.
"""
import re
import shutil
import subprocess

REPORT = re.compile(r"(?:WARNING|ERROR|SUMMARY): \w+Sanitizer|: runtime error: ")
FRAME = re.compile(r"\((/[^()+]+)\+0x([0-9a-f]+)\)")


def environment(environ):
    """Options for daemons: go on after a report, so that one run finds all, and end with an exit code that is seen."""
    options = {"TSAN_OPTIONS": "halt_on_error=0:second_deadlock_stack=1:symbolize=0:exitcode=66",
               "ASAN_OPTIONS": "detect_stack_use_after_return=0:abort_on_error=1:symbolize=0",
               "UBSAN_OPTIONS": "print_stacktrace=1:symbolize=0"}
    return {**environ, **{name: ":".join(filter(None, (environ.get(name), value))) for name, value in options.items()}}


def is_in(program):
    """Was it built with a sanitizer? What it has freed then stays for a while, so its size says nothing."""
    with open(program, "rb") as stream:
        data = stream.read()
    return b"__asan_init" in data or b"__tsan_init" in data


def has_report(line):
    return bool(REPORT.search(line))


def explain(text):
    """The text with functions and places for the addresses in it, as far as a symbolizer is there to ask."""
    symbolizer = shutil.which("llvm-symbolizer") or shutil.which("llvm-symbolizer-14")
    if symbolizer is None:
        return text
    frames = sorted(set(FRAME.findall(text)))
    done = subprocess.run([symbolizer, "-f", "-s", "-p", "--no-inlines"], input="".join(f"{path} 0x{at}\n" for path, at in frames),
                          capture_output=True, text=True, check=False)
    places = [line for line in done.stdout.split("\n") if line]
    if len(places) != len(frames):
        return text
    names = dict(zip(frames, places))
    return FRAME.sub(lambda found: names[found.groups()], text)


def reports(text):
    """The parts of a log that are reports, explained: from a report's first line to its summary, a line of `=`, or the log's next line."""
    found, lines = [], None
    for line in text.split("\n"):
        if has_report(line) and lines is None:
            lines = []
        if lines is not None:
            lines.append(line)
            if line.startswith("SUMMARY:") or len(lines) > 200:
                found.append("\n".join(lines))
                lines = None
    if lines:
        found.append("\n".join(lines))
    return [explain(report) for report in found]
