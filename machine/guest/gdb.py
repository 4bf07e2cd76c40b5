# SPDX-License-Identifier: GPL-2.0
"""Backtraces in gdb through the kernel, which has no debug information; only its symbols are known.

The kernel's own unwinder uses its ORC tables (arch/x86/kernel/unwind_orc.c), and so does this one. gdb unwinds the
module's frames itself, by their debug information.
"""
import bisect
import struct
import traceback

import gdb
import gdb.unwinder

# Registers and types of struct orc_entry.
AX, DX, SP, BP, DI, R10, R13, PREV_SP, SP_INDIRECT, BP_INDIRECT = range(1, 11)
CALL, REGS, REGS_PARTIAL = 2, 3, 4
REGISTERS = {AX: "rax", DX: "rdx", SP: "rsp", BP: "rbp", DI: "rdi", R10: "r10", R13: "r13",
             SP_INDIRECT: "rsp", BP_INDIRECT: "rbp"}
# The registers of struct pt_regs, None for those that are not needed.
PT_REGS = ["r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi", None,
           "rip", None, None, "rsp"]
IRET = {"rip": 0, "rsp": 24}


def read(address, length):
    return bytes(gdb.selected_inferior().read_memory(address, length))


def word(address):
    return struct.unpack("<Q", read(address, 8))[0]


def symbol(name):
    return int(gdb.parse_and_eval("(unsigned long) &" + name)) & (1 << 64) - 1


class Orc:
    """The kernel's ORC tables."""

    def __init__(self):
        begin, end = symbol("__start_orc_unwind_ip"), symbol("__stop_orc_unwind_ip")
        offsets = struct.unpack("<%di" % ((end - begin) // 4), read(begin, end - begin))
        self.addresses = [begin + 4 * i + offset for i, offset in enumerate(offsets)]
        self.entries = read(symbol("__start_orc_unwind"), 6 * len(offsets))

    def find(self, pc):
        """Returns sp_offset, bp_offset, sp_reg, bp_reg and type for the code at `pc`."""
        i = bisect.bisect_right(self.addresses, pc) - 1
        if i < 0:
            return None
        sp_offset, bp_offset, bits = struct.unpack_from("<hhH", self.entries, 6 * i)
        return sp_offset, bp_offset, bits & 15, bits >> 4 & 15, bits >> 8 & 7


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


class Unwinder(gdb.unwinder.Unwinder):
    def __init__(self):
        super().__init__("xfd-orc")
        self.text, self.orc = None, None
        # Stack pointers of frames that were interrupted: their address does not follow a call.
        self.interrupted = set()
        gdb.events.cont.connect(lambda event: self.interrupted.clear())

    def __call__(self, frame):
        def register(name):
            return int(frame.read_register(name)) & (1 << 64) - 1

        try:
            pc, sp = register("rip"), register("rsp")
            if self.text is None:
                self.text = symbol("_text"), symbol("_einittext")
            if not self.text[0] <= pc < self.text[1]:
                return None
            if self.orc is None:
                self.orc = Orc()
            exact = sp in self.interrupted or frame.level() == 0
            found = self.orc.find(pc if exact else pc - 1)
            return found and self.unwind(frame, register, pc, *found)
        except (gdb.error, gdb.MemoryError, AttributeError, TypeError, ValueError):
            if gdb.parameter("verbose"):
                traceback.print_exc()
            return None

    def unwind(self, frame, register, pc, sp_offset, bp_offset, sp_reg, bp_reg, kind):
        if sp_reg not in REGISTERS or kind not in (CALL, REGS, REGS_PARTIAL):
            return None
        cfa = register(REGISTERS[sp_reg])
        if sp_reg == SP_INDIRECT:
            cfa = word(cfa) + sp_offset
        elif sp_reg == BP_INDIRECT:
            cfa = word(cfa + sp_offset)
        else:
            cfa += sp_offset
        saved = {}
        if kind == CALL:
            saved = {"rip": word(cfa - 8), "rsp": cfa}
        elif kind == REGS:
            values = struct.unpack("<%dQ" % len(PT_REGS), read(cfa, 8 * len(PT_REGS)))
            saved = {name: value for name, value in zip(PT_REGS, values) if name}
        else:
            saved = {name: word(cfa + offset) for name, offset in IRET.items()}
        if kind != CALL:
            self.interrupted.add(saved["rsp"])
        if "rbp" not in saved:
            if bp_reg == PREV_SP:
                saved["rbp"] = word(cfa + bp_offset)
            elif bp_reg == BP:
                saved["rbp"] = word(register("rbp") + bp_offset)
            else:
                saved["rbp"] = register("rbp")
        def value(name, number):
            return gdb.Value(number).cast(frame.read_register(name).type)

        info = frame.create_unwind_info(FrameId(value("rsp", cfa), value("rip", pc)))
        for name, number in saved.items():
            info.add_saved_register(name, value(name, number))
        return info


gdb.unwinder.register_unwinder(None, Unwinder(), replace=True)
