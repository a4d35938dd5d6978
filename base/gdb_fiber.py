# SPDX-License-Identifier: Apache-2.0
"""Fibers in gdb, of a running process or a core file.

    (gdb) source base/gdb_fiber.py
    (gdb) fibers                 all fibers of all schedulers: address, name, state, where it waits
    (gdb) fiber-bt ADDRESS       the stack of one that is not running

A fiber that is switched away has its registers on its stack, where fiber_swap_stacks (fiber_switch.c) put them. An unwinder makes them
the caller of whatever the selected thread does now, so that gdb walks from there as it would walk any stack.
"""
import gdb
import gdb.unwinder

WORD = 8
# Registers in the order in which fiber_swap_stacks leaves them, lowest address first, the program counter by its place; bytes saved.
LAYOUTS = {
    "x86-64": (["r15", "r14", "r13", "r12", "rbx", "rbp", "rip"], 7 * WORD, "rsp", "rip"),
    "aarch64": ([f"x{n}" for n in range(19, 30)] + ["pc"], 20 * WORD, "sp", "pc"),
}
STATES = {0: "ended", 1: "ready", 2: "running", 3: "parked"}


def layout():
    name = gdb.selected_frame().architecture().name()
    for key, value in LAYOUTS.items():
        if key in name:
            return value
    raise gdb.GdbError(f"fibers: unknown architecture {name}")


def read_word(address):
    return int.from_bytes(bytes(gdb.selected_inferior().read_memory(address, WORD)), "little")


class Identity:
    """What gdb calls a frame by."""

    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class FiberUnwinder(gdb.unwinder.Unwinder):
    def __init__(self):
        super().__init__("posthouse fibers")
        self.fiber_sp = None
        self.thread_sp = None

    def __call__(self, pending):
        if self.fiber_sp is None:
            return None
        names, saved, sp_name, pc_name = layout_in_use
        sp = pending.read_register(sp_name)
        if int(sp) != self.thread_sp:
            return None
        info = pending.create_unwind_info(Identity(sp, pending.read_register(pc_name)))
        word = gdb.lookup_type("unsigned long")
        for place, name in enumerate(names):
            info.add_saved_register(name, gdb.Value(read_word(self.fiber_sp + place * WORD)).cast(word))
        info.add_saved_register(sp_name, gdb.Value(self.fiber_sp + saved).cast(word))
        return info


unwinder = FiberUnwinder()
gdb.unwinder.register_unwinder(None, unwinder, replace=True)
layout_in_use = None


def frames_of(fiber):
    """(function, file:line) from the innermost frame outwards."""
    global layout_in_use
    layout_in_use = layout()
    gdb.newest_frame().select()
    unwinder.thread_sp = int(gdb.selected_frame().read_register(layout_in_use[2]))
    unwinder.fiber_sp = int(fiber["context"]["sp"])
    gdb.invalidate_cached_frames()
    found = []
    try:
        frame = gdb.newest_frame().older()
        while frame is not None and frame.is_valid() and frame.pc() != 0:
            where = frame.find_sal()
            place = f"{where.symtab.filename}:{where.line}" if where.symtab else hex(frame.pc())
            found.append((frame.name() or "?", place))
            frame = frame.older()
    finally:
        unwinder.fiber_sp = None
        gdb.invalidate_cached_frames()
    return found


class FiberBt(gdb.Command):
    """fiber-bt ADDRESS: the stack of a fiber that is not running."""

    def __init__(self):
        super().__init__("fiber-bt", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        fiber = gdb.parse_and_eval(f"(struct fiber *)({argument})").dereference()
        for number, (function, place) in enumerate(frames_of(fiber)):
            print(f"#{number:<3} {function} at {place}")


class Fibers(gdb.Command):
    """fibers: all fibers of all schedulers."""

    OWN = ("fiber_", "park", "conn_", "call_", "worker_run", "waitq_", "fill", "io_wait", "ssl_wait", "wait_on_fiber", "send_all")

    def __init__(self):
        super().__init__("fibers", gdb.COMMAND_STACK)

    def where(self, fiber):
        """The innermost frame that is not of base/'s own waiting."""
        if int(fiber["state"]) not in (1, 3):
            return ""
        frames = frames_of(fiber)
        for function, place in frames:
            if not function.startswith(self.OWN):
                return f"{function} at {place}"
        return frames[-1][0] if frames else "?"

    def invoke(self, argument, from_tty):
        selected = gdb.selected_thread()
        for thread in gdb.selected_inferior().threads():
            thread.switch()
            gdb.newest_frame().select()
            sched = gdb.parse_and_eval("sched_of_thread")
            if int(sched) == 0:
                continue
            print(f"thread {thread.num}: scheduler {hex(int(sched))}, {int(sched['fibers_n'])} fibers")
            fiber = sched["live_first"]
            while int(fiber):
                state = STATES.get(int(fiber["state"]), "?")
                name = fiber["name"].string(errors="replace")
                print(f"  {hex(int(fiber))} {name:<20} {state:<8} {self.where(fiber.dereference())}")
                fiber = fiber["live_next"]
        selected.switch()


FiberBt()
Fibers()
