// SPDX-License-Identifier: GPL-2.0
//! What runs in the virtual machine: a small program that carries out a list of operations, each
//! about one instruction long, and records how each of them ended.
//!
//! The host writes the list into the vCPU's block (`layout.rs`). At the end of the list the guest
//! writes to a port, exiting to the host, and continues with the next list. An exception ends its
//! operation and is recorded; #NM after [`serve_nm`] is instead handled like a first use in a kernel.
#![expect(unsafe_code, reason = "the guest program is assembly")]

use std::arch::global_asm;

/// Size in bytes of an operation, and of a result.
pub const RECORD: usize = 32;
/// The port at the end of a list.
pub const PORT: u16 = 0x10;

/// One operation, as laid out in memory.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    code: Code,
    a: u64,
    b: u64,
}

impl Op {
    /// The operation's bytes in memory.
    #[must_use]
    pub fn bytes(self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        for (place, word) in bytes
            .chunks_exact_mut(8)
            .zip([self.code as u64, self.a, self.b])
        {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// Defines the operations: their numbers, and the guest's code for each. R8 and R9 hold the two operands,
/// R15 the block, RBX and R12 the addresses of operation and result; RAX is the final value.
macro_rules! operations {
    ($($name:ident = $code:literal;)*) => {
        #[derive(Clone, Copy, Debug)]
        #[repr(u64)]
        enum Code { $($name),* }

        global_asm!(
            ".pushsection .rodata.kvm_guest, \"a\"",
            ".balign 16",
            ".globl kvm_guest_begin, kvm_guest_exceptions, kvm_guest_end",
            "kvm_guest_begin:",
            // Only R15 is set on entry.
            "lea rsp, [r15 + 0x4000]",
            "kvm_guest_list:",
            "lea rbx, [r15 + 0x1000]",
            "lea r12, [r15 + 0x2000]",
            "kvm_guest_step:",
            "mov qword ptr [r12], -1",
            "mov qword ptr [r12 + 8], 0",
            "mov rax, [rbx]",
            "mov r8, [rbx + 8]",
            "mov r9, [rbx + 16]",
            "lea rdx, [rip + kvm_guest_table]",
            "movsxd rax, dword ptr [rdx + 4 * rax]",
            "add rdx, rax",
            "jmp rdx",
            "kvm_guest_done:",
            "mov [r12 + 8], rax",
            "kvm_guest_next:",
            "add rbx, 32",
            "add r12, 32",
            "jmp kvm_guest_step",
            $(concat!("kvm_guest_", stringify!($name), ":\n", $code, "\njmp kvm_guest_done"),)*
            ".balign 4",
            "kvm_guest_table:",
            $(concat!(".long kvm_guest_", stringify!($name), " - kvm_guest_table"),)*
            // A 16-byte stub per exception pushes an error code, if the CPU does not, and the number.
            ".balign 16",
            "kvm_guest_exceptions:",
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            ".balign 16",
            ".if (\\n == 8) || ((\\n >= 10) && (\\n <= 14)) || (\\n == 17) || (\\n == 21)",
            ".else",
            "push 0",
            ".endif",
            "push \\n",
            "jmp kvm_guest_exception",
            ".endr",
            "kvm_guest_exception:",
            "cmp qword ptr [rsp], 7",
            "jne 2f",
            "inc qword ptr [r15 + 0x08]",
            "cmp qword ptr [r15], 0",
            "je 2f",
            // As a kernel does: read XFD_ERR, clear it, clear XFD.
            "mov ecx, 0x1c5",
            "rdmsr",
            "mov [r15 + 0x10], eax",
            "xor eax, eax",
            "xor edx, edx",
            "wrmsr",
            "mov ecx, 0x1c4",
            "wrmsr",
            "add rsp, 16",
            // Restart the operation from the beginning, since the registers it set have changed.
            "lea rax, [rip + kvm_guest_step]",
            "mov [rsp], rax",
            "iretq",
            "2:",
            "pop qword ptr [r12]",
            "pop qword ptr [r12 + 16]",
            "mov rax, [rsp]",
            "mov [r12 + 24], rax",
            "lea rax, [rip + kvm_guest_next]",
            "mov [rsp], rax",
            "iretq",
            "kvm_guest_end:",
            ".popsection",
        );
    };
}

operations! {
    End = "out 0x10, al; jmp kvm_guest_list";
    Rdmsr = "mov ecx, r8d; rdmsr; shl rdx, 32; or rax, rdx";
    Wrmsr = "mov ecx, r8d; mov eax, r9d; mov rdx, r9; shr rdx, 32; wrmsr";
    Xgetbv = "mov ecx, r8d; xgetbv; shl rdx, 32; or rax, rdx";
    Xsetbv = "mov ecx, r8d; mov eax, r9d; mov rdx, r9; shr rdx, 32; xsetbv";
    Cr0 = "mov rax, cr0; and rax, r8; or rax, r9; mov cr0, rax";
    Cr4 = "mov rax, cr4; and rax, r8; or rax, r9; mov cr4, rax";
    Cpuid = "push rbx; mov eax, r8d; mov ecx, r9d; cpuid; shl rbx, 32; or rax, rbx; pop rbx";
    Fnop = "fnop";
    Configure = "ldtilecfg [r15 + 0x4000]";
    Release = "tilerelease";
    Zero = "tilezero tmm0";
    Load = "mov eax, 64; lea rcx, [r15 + 0x6000]
            tileloadd tmm0, [rcx + rax]; tileloadd tmm1, [rcx + rax + 0x400]
            tileloadd tmm2, [rcx + rax + 0x800]; tileloadd tmm3, [rcx + rax + 0xc00]
            tileloadd tmm4, [rcx + rax + 0x1000]; tileloadd tmm5, [rcx + rax + 0x1400]
            tileloadd tmm6, [rcx + rax + 0x1800]; tileloadd tmm7, [rcx + rax + 0x1c00]";
    Check = "mov eax, 64; lea rcx, [r15 + 0x8000]
             tilestored [rcx + rax], tmm0; tilestored [rcx + rax + 0x400], tmm1
             tilestored [rcx + rax + 0x800], tmm2; tilestored [rcx + rax + 0xc00], tmm3
             tilestored [rcx + rax + 0x1000], tmm4; tilestored [rcx + rax + 0x1400], tmm5
             tilestored [rcx + rax + 0x1800], tmm6; tilestored [rcx + rax + 0x1c00], tmm7
             mov rdi, rcx; lea rsi, [r15 + 0x6000]; mov ecx, 1024; repe cmpsq
             setne al; movzx eax, al; add [r15 + 0x28], rax";
    LoadXmm = "movups xmm0, [r15 + 0x6000]; movups xmm7, [r15 + 0x6010]; movups xmm15, [r15 + 0x6020]";
    CheckXmm = "movups [r15 + 0x8000], xmm0; movups [r15 + 0x8010], xmm7; movups [r15 + 0x8020], xmm15
                lea rdi, [r15 + 0x8000]; lea rsi, [r15 + 0x6000]; mov ecx, 6; repe cmpsq
                setne al; movzx eax, al; add [r15 + 0x28], rax";
    Xsaves = "mov eax, r8d; xor edx, edx; xsaves64 [r15 + 0xa000]";
    Xrstors = "mov eax, r8d; xor edx, edx; xrstors64 [r15 + 0xa000]";
    ServeNm = "mov [r15], r8";
    Repeat = "inc qword ptr [r15 + 0x20]; dec qword ptr [rbx + 8]; jz kvm_guest_done
              sub rbx, r9; sub r12, r9; jmp kvm_guest_step";
    UntilStopped = "inc qword ptr [r15 + 0x20]; cmp qword ptr [r15 + 0x18], 0; jne kvm_guest_done
                    sub rbx, r9; sub r12, r9; jmp kvm_guest_step";
}

extern "C" {
    static kvm_guest_begin: u8;
    static kvm_guest_exceptions: u8;
    static kvm_guest_end: u8;
}

/// The program's bytes, starting with its first instruction.
#[must_use]
pub fn code() -> &'static [u8] {
    let (begin, end) = (&raw const kvm_guest_begin, &raw const kvm_guest_end);
    // SAFETY: the two labels surround the program's code, which is never written.
    unsafe { std::slice::from_raw_parts(begin, end.addr() - begin.addr()) }
}

/// The program offset of the handler for exception `number`.
#[must_use]
pub fn exception(number: u64) -> u64 {
    let (begin, table) = (&raw const kvm_guest_begin, &raw const kvm_guest_exceptions);
    (table.addr() - begin.addr()) as u64 + 16 * number
}

const fn op(code: Code, a: u64, b: u64) -> Op {
    Op { code, a, b }
}

/// Ends the list: an exit to the host.
#[must_use]
pub const fn end() -> Op {
    op(Code::End, 0, 0)
}

/// RDMSR. The value is the MSR's.
#[must_use]
pub const fn rdmsr(msr: u32) -> Op {
    op(Code::Rdmsr, msr as u64, 0)
}

/// WRMSR.
#[must_use]
pub const fn wrmsr(msr: u32, value: u64) -> Op {
    op(Code::Wrmsr, msr as u64, value)
}

/// XGETBV: 0 is XCR0, 1 is XINUSE.
#[must_use]
pub const fn xgetbv(number: u32) -> Op {
    op(Code::Xgetbv, number as u64, 0)
}

/// XSETBV of XCR0.
#[must_use]
pub const fn xsetbv(value: u64) -> Op {
    op(Code::Xsetbv, 0, value)
}

/// Sets bits of CR0.
#[must_use]
pub const fn set_cr0(bits: u64) -> Op {
    op(Code::Cr0, u64::MAX, bits)
}

/// Clears bits of CR0.
#[must_use]
pub const fn clear_cr0(bits: u64) -> Op {
    op(Code::Cr0, !bits, 0)
}

/// Sets bits of CR4.
#[must_use]
pub const fn set_cr4(bits: u64) -> Op {
    op(Code::Cr4, u64::MAX, bits)
}

/// CPUID: EAX, and EBX in the upper half. Exits, and the host kernel serves it.
#[must_use]
pub const fn cpuid(leaf: u32, subleaf: u32) -> Op {
    op(Code::Cpuid, leaf as u64, subleaf as u64)
}

/// FNOP: #NM if CR0.TS is set.
#[must_use]
pub const fn fnop() -> Op {
    op(Code::Fnop, 0, 0)
}

/// LDTILECFG: eight full-size tiles.
#[must_use]
pub const fn configure() -> Op {
    op(Code::Configure, 0, 0)
}

/// TILERELEASE.
#[must_use]
pub const fn release() -> Op {
    op(Code::Release, 0, 0)
}

/// TILEZERO of one tile.
#[must_use]
pub const fn zero() -> Op {
    op(Code::Zero, 0, 0)
}

/// TILELOADD of all tiles, from [`super::layout::LOADED`].
#[must_use]
pub const fn load() -> Op {
    op(Code::Load, 0, 0)
}

/// TILESTORED of all tiles. The value is 1 if they differ from what [`load`] loads, and 0 if not.
#[must_use]
pub const fn check() -> Op {
    op(Code::Check, 0, 0)
}

/// Loads some XMM registers, from [`super::layout::LOADED`].
#[must_use]
pub const fn load_xmm() -> Op {
    op(Code::LoadXmm, 0, 0)
}

/// [`check`] for those registers.
#[must_use]
pub const fn check_xmm() -> Op {
    op(Code::CheckXmm, 0, 0)
}

/// XSAVES of the components in `mask`, to [`super::layout::AREA`].
#[must_use]
pub const fn xsaves(mask: u32) -> Op {
    op(Code::Xsaves, mask as u64, 0)
}

/// XRSTORS of those components.
#[must_use]
pub const fn xrstors(mask: u32) -> Op {
    op(Code::Xrstors, mask as u64, 0)
}

/// Whether #NM is served from here on: XFD_ERR is read and cleared, XFD cleared, and the operation repeated.
#[must_use]
pub const fn serve_nm(yes: bool) -> Op {
    op(Code::ServeNm, yes as u64, 0)
}

/// Repeats the last `back` operations until they have been done `times` times.
#[must_use]
pub const fn repeat(back: usize, times: u64) -> Op {
    op(Code::Repeat, times, (back * RECORD) as u64)
}

/// Repeats the last `back` operations until the host sets [`super::layout::STOP`].
#[must_use]
pub const fn until_stopped(back: usize) -> Op {
    op(Code::UntilStopped, 0, (back * RECORD) as u64)
}
