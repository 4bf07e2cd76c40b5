// SPDX-License-Identifier: GPL-2.0
//! Registers with every byte known before a system call, and read back after it.
#![expect(unsafe_code, reason = "inline assembly")]

use crate::tile;
use std::arch::asm;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

/// The bytes in an area, more than the components need; the rest is [`Area::extra`].
const BYTES: usize = 16 << 10;
/// The offset of the header.
pub(super) const HEADER: usize = 512;

/// A standard-format XSAVE area.
#[repr(C, align(64))]
pub struct Area {
    bytes: [u8; BYTES],
    /// What ARCH_GET_XCOMP_PERM wrote.
    pub permitted: u64,
    /// Nonzero once everything else is written.
    pub done: AtomicU32,
}

/// Components whose contents are compared: SSE, AVX, AVX-512, tiles. Not PKRU, which would deny the
/// program access to its memory.
pub const COMPARED: u64 = 0x600e6;
pub(super) const TILES: u64 = 0x60000;

impl Area {
    /// An empty area.
    #[must_use]
    pub fn zero() -> Box<Self> {
        Box::new(Area {
            bytes: [0; BYTES],
            permitted: 0,
            done: AtomicU32::new(0),
        })
    }

    /// Contents for every component in use, different from any other thread's in the program; tiles
    /// are initial unless `live`.
    #[must_use]
    pub fn prepared(live: bool) -> Box<Self> {
        let mut area = Self::zero();
        save(&mut area);
        let available = area.number(HEADER) & COMPARED | supported() & COMPARED;
        let in_use = if live { available } else { available & !TILES };
        for component in components(in_use & !TILES) {
            for (i, byte) in area.bytes[component].iter_mut().enumerate() {
                *byte = (i * 7 + 1) as u8;
            }
        }
        if live {
            // Palette 1, eight tiles of 16 rows of 64 bytes.
            let config = crate::sys::xstate_offset(17);
            area.bytes[config] = 1;
            for t in 0..8 {
                area.bytes[config + 16 + 2 * t] = 64;
                area.bytes[config + 48 + t] = 16;
            }
            let data = crate::sys::xstate_offset(18);
            let content = tile::content(11);
            for (place, byte) in area.bytes[data..]
                .iter_mut()
                .zip(content.iter().flat_map(|t| t.0))
            {
                *place = byte;
            }
        }
        area.bytes[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
        area.bytes[HEADER..HEADER + 64].fill(0);
        area.bytes[HEADER..HEADER + 8].copy_from_slice(&in_use.to_le_bytes());
        area
    }

    /// All bytes, for ptrace.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn number(&self, at: usize) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|i| self.bytes[at + i]))
    }
}

/// The parts of an area that are compared: whether tiles are in use (XSTATE_BV[18:17]), MXCSR, and
/// hashes of TILECFG, TILEDATA, and the rest.
impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_use = self.number(HEADER) & TILES;
        let mxcsr = self.number(24) as u32;
        let sum = |mask| {
            let bytes = components(mask & supported()).flat_map(|c| &self.bytes[c]);
            digest(bytes.copied()) as u32
        };
        let (config, data, rest) = (sum(1 << 17), sum(1 << 18), sum(COMPARED & !TILES));
        write!(
            f,
            "bv={in_use:#x} mxcsr={mxcsr:#x} cfg={config:08x} data={data:08x} rest={rest:08x}"
        )
    }
}

/// FNV-1a.
#[must_use]
pub fn digest(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Where these components are.
pub(super) fn components(mask: u64) -> impl Iterator<Item = std::ops::Range<usize>> {
    (1..64)
        .filter(move |i| mask & 1 << i != 0)
        .map(|i| match i {
            1 => 160..416,
            _ => crate::sys::xstate_range(i),
        })
}

/// XCR0.
#[must_use]
pub fn supported() -> u64 {
    // SAFETY: every CPU with XSAVE has XCR0, and user mode may read it.
    unsafe { crate::sys::xgetbv(0) }
}

fn save(to: &mut Area) {
    // SAFETY: the area has space for every component, and is aligned.
    unsafe {
        asm!("xsave64 [{}]", in(reg) to, in("eax") -1, in("edx") -1, options(nostack));
    }
}

/// Loads the compared components from `before`, makes one system call, and stores everything to
/// `after`. Returns the call's result.
///
/// # Safety
///
/// The call must not do anything to this process's memory behind Rust's back.
pub unsafe fn around(before: &Area, after: &mut Area, call: i64, arguments: [u64; 3]) -> i64 {
    let result;
    // SAFETY: both areas have space for every component and are aligned. Afterwards x87 and MXCSR
    // are as the ABI requires, and all other registers are declared as clobbered. The caller
    // vouches for the call.
    unsafe {
        asm!(
            "mov rax, {mask}",
            "mov rdx, {mask}",
            "shr rdx, 32",
            "xrstor64 [r8]",
            "mov rax, r13",
            "mov rdx, r14",
            "syscall",
            "mov r13, rax",
            "mov eax, -1",
            "mov edx, -1",
            "xsave64 [r9]",
            "fninit",
            "ldmxcsr [r15]",
            mask = const COMPARED,
            in("r8") before, in("r9") after, in("r15") &0x1f80_u32,
            inout("r13") call => result, in("r14") arguments[2],
            inout("rdi") arguments[0] => _, inout("rsi") arguments[1] => _,
            clobber_abi("sysv64"),
        );
    }
    result
}

/// Like [`around`], for clone: the parent stores to `after`; the child stores to `child`, along
/// with its permission, and exits. The child has no stack and needs none.
///
/// # Safety
///
/// `child` must live until it is done, and `flags` must not use pointers.
pub unsafe fn around_clone(before: &Area, after: &mut Area, child: &mut Area, flags: u64) -> i64 {
    let result;
    let places = [&raw mut child.permitted as u64, child.done.as_ptr() as u64];
    // SAFETY: as in `around`. The child accesses only its area, no stack and no other memory, and
    // ends with exit, which leaves the other threads alone.
    unsafe {
        asm!(
            "mov rax, {mask}",
            "mov rdx, {mask}",
            "shr rdx, 32",
            "xrstor64 [r8]",
            "mov eax, {clone}",
            "xor esi, esi",
            "xor edx, edx",
            "mov r13, r10",
            "xor r10d, r10d",
            "mov r14, r8",
            "xor r8d, r8d",
            "syscall",
            "mov r8, r14",
            "test rax, rax",
            "mov r14, rax",
            "mov eax, -1",
            "mov edx, -1",
            "jz 2f",
            "xsave64 [r9]",
            "jmp 3f",
            // The child. r12: its area; r13: where its permission and its done mark go.
            "2:",
            "xsave64 [r12]",
            "mov edi, 0x1022",
            "mov rsi, [r13]",
            "mov eax, {arch_prctl}",
            "syscall",
            "mov rsi, [r13 + 8]",
            "mov dword ptr [rsi], 1",
            "mov eax, {exit}",
            "xor edi, edi",
            "syscall",
            "ud2",
            "3:",
            "fninit",
            "ldmxcsr [r15]",
            mask = const COMPARED, clone = const libc::SYS_clone,
            arch_prctl = const libc::SYS_arch_prctl, exit = const libc::SYS_exit,
            in("r8") before, in("r9") after, in("r12") child, inout("r10") &places => _,
            in("r15") &0x1f80_u32, out("r13") _, out("r14") result,
            inout("rdi") flags => _, out("rsi") _,
            clobber_abi("sysv64"),
        );
    }
    result
}

/// Whether the child of [`around_clone`] is done.
#[must_use]
pub fn is_done(area: &Area) -> bool {
    area.done.load(Ordering::Acquire) != 0
}
