# SPDX-License-Identifier: Apache-2.0
"""What is read from the system: CPU of a group of processes, their memory, how busy the machine is.

Each part of a side (slapd, posthouse-mta, ...) is a control group of its own: its counter includes processes that have ended, which a
walk over /proc does not. Without control groups /proc it is, in ticks of 10 ms.
"""
import os
import signal
import time

V1, V2 = "/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup"
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

    def __init__(self, name):
        self.name, self.main = name, None
        base = V1 if os.path.isdir(V1) else V2
        self.path = os.path.join(base, f"posthouse-bench-{os.getpid()}-{name}")
        try:
            os.mkdir(self.path)
        except OSError:
            self.path = None

    def add(self, pid):
        """pid and what it will start; safe between fork and exec."""
        self.main = self.main or pid
        if self.path:
            with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="ascii") as stream:
                stream.write(str(pid))

    def pids(self):
        if self.path:
            return [int(pid) for pid in read(os.path.join(self.path, "cgroup.procs")).split()]
        parents = {int(pid): parent_of(pid) for pid in os.listdir("/proc") if pid.isdigit()}

        def ours(pid):
            while pid > 1 and pid != self.main:
                pid = parents.get(pid, 0)
            return pid == self.main
        return [pid for pid in parents if ours(pid)]

    def cpu_s(self):
        if self.path:
            usage = read(os.path.join(self.path, "cpuacct.usage"))
            if usage:
                return int(usage) / 1e9
            return int(read(os.path.join(self.path, "cpu.stat")).split()[1]) / 1e6
        fields = (read(f"/proc/{pid}/stat").rsplit(")", 1)[-1].split() for pid in self.pids())
        return sum(sum(map(int, f[11:15])) for f in fields if len(f) > 14) * TICK_S

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
        self.main = None

    def remove(self):
        if self.path:
            try:
                os.rmdir(self.path)
            except OSError:
                pass


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
    return f"{len(os.sched_getaffinity(0))} cores of {model}, {memory} GiB, Linux {os.uname().release}"
