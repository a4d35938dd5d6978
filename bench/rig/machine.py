# SPDX-License-Identifier: Apache-2.0
"""What is read from the system: CPU of a group of processes, their memory, how busy the machine is.

Each part of a side (slapd, posthouse-mta, ...) is a control group of its own: its counter includes processes that have ended, which a
walk over /proc does not. Without control groups /proc it is, in ticks of 10 ms.
"""
import os
import signal
import time

GROUPS = "/sys/fs/cgroup/cpuacct" if os.path.isdir("/sys/fs/cgroup/cpuacct") else "/sys/fs/cgroup"  # version 1, 2
PREFIX = "posthouse-bench-"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def read(path):
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def wait(deadline_s, condition, what):
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {deadline_s} s in vain for {what}")
        time.sleep(0.02)


def parent_of(pid):
    stat = read(f"/proc/{pid}/stat")
    return int(stat.rsplit(")", 1)[1].split()[1]) if ")" in stat else 0


class Group:
    """Processes that are counted together."""
    mains = {}  # main process to its group: without control groups a process belongs to the nearest of these above it

    def __init__(self, name):
        self.name, self.main = name, None
        self.path = os.path.join(GROUPS, f"{PREFIX}{os.getpid()}-{name}")
        try:
            os.mkdir(self.path)
        except OSError:
            self.path = None

    def add(self, pid):
        """pid and what it will start; safe between fork and exec."""
        if os.getpid() != pid:
            self.is_led_by(pid)
        if self.path:
            with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="ascii") as stream:
                stream.write(str(pid))

    def is_led_by(self, pid):
        self.main = pid
        self.mains[pid] = self

    def pids(self):
        if self.path:
            return [int(pid) for pid in read(os.path.join(self.path, "cgroup.procs")).split()]
        parents = {int(pid): parent_of(pid) for pid in os.listdir("/proc") if pid.isdigit()}

        def group_of(pid):
            while pid > 1 and pid not in self.mains:
                pid = parents.get(pid, 0)
            return self.mains.get(pid)
        return [pid for pid in parents if group_of(pid) is self]

    def cpu_s(self):
        if self.path:
            usage = read(os.path.join(self.path, "cpuacct.usage"))
            if usage:
                return int(usage) / 1e9
            return int(read(os.path.join(self.path, "cpu.stat")).split()[1]) / 1e6
        fields = (read(f"/proc/{pid}/stat").rsplit(")", 1)[-1].split() for pid in self.pids())
        return sum(sum(map(int, f[11:15])) for f in fields if len(f) > 14) * TICK_S

    def usage_file(self):
        """What mailload --usage reads; none without control groups."""
        names = (os.path.join(self.path, name) for name in ("cpuacct.usage", "cpu.stat")) if self.path else ()
        return [name for name in names if os.path.exists(name)][:1]

    def pss_kib(self):
        lines = (line for pid in self.pids() for line in read(f"/proc/{pid}/smaps_rollup").splitlines())
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))

    def end(self):
        """The main process is told first, and ends its children; what is left then is killed. All of it was started by us."""
        for sign, whom, patience_s in ((signal.SIGTERM, lambda: [self.main], 15), (signal.SIGTERM, self.pids, 5), (signal.SIGKILL, self.pids, 5)):
            for pid in set(whom()) & set(self.pids()):
                try:
                    os.kill(pid, sign)
                except ProcessLookupError:
                    pass
            try:
                wait(patience_s, lambda: not self.pids(), f"{self.name} to end")
                break
            except TimeoutError:
                pass
        self.mains.pop(self.main, None)
        self.main = None

    def remove(self):
        if self.path:
            try:
                os.rmdir(self.path)
            except OSError:
                pass


def end_leftovers(holds):
    """Processes of a run that was killed: those of which holds(pid) is true are ended, and waited for."""
    def found():
        return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid() and holds(pid)]
    for pid in found():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait(10, lambda: not found(), "processes of an earlier run to end")
    for name in os.listdir(GROUPS) if os.path.isdir(GROUPS) else ():
        if name.startswith(PREFIX) and not os.path.exists("/proc/" + name.removeprefix(PREFIX).split("-")[0]):
            try:
                os.rmdir(os.path.join(GROUPS, name))
            except OSError:
                pass  # somebody is in it


def link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def cpu_of_machine():
    """Seconds of all cores together: busy and in all."""
    fields = [int(f) for f in read("/proc/stat").split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) * TICK_S, sum(fields) * TICK_S


def is_in_memory(folder):
    """A file system without a disk, where a flush costs nothing and proves nothing."""
    best = max((line.split() for line in read("/proc/mounts").splitlines() if os.path.commonpath((line.split()[1], folder)) == line.split()[1]),
               key=lambda mount: len(mount[1]), default=None)
    return bool(best) and best[2] in ("tmpfs", "ramfs")


def describe():
    model = next((line.split(":", 1)[1].strip() for line in read("/proc/cpuinfo").splitlines() if line.startswith("model name")), "?")
    memory = int(read("/proc/meminfo").split()[1]) // (1 << 20)
    return f"{len(os.sched_getaffinity(0))} cores of {model}, {memory} GiB, Linux {'.'.join(os.uname().release.split('.')[:2])}"
