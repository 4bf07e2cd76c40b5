// SPDX-License-Identifier: GPL-2.0
//! Generates random cases: mostly close to what is valid, sometimes anything.

use super::case::{Call, Case, Edit, Size, Start};
use super::described::described;
use super::text::POINTERS;
use crate::stress::plan::Choice;

/// The next case.
pub fn case(choice: &mut Choice) -> Case {
    match choice.below(10) {
        0..=2 => Case::Calls((0..=choice.below(5)).map(|_| call(choice)).collect()),
        3..=5 => Case::Frame(start(choice), edits(choice, true)),
        6..=8 => {
            let size = match choice.below(8) {
                0 => Size::Read(8 * (choice.below(9) as i32 - 4)),
                1 => Size::Bytes(8 * choice.below(2048) as u32),
                2 => Size::Bytes(choice.below(16384) as u32),
                _ => Size::Read(0),
            };
            Case::Regset(start(choice), size, edits(choice, false))
        }
        _ => Case::Clone(start(choice), clone_flags(choice)),
    }
}

fn pick<T: Copy>(choice: &mut Choice, list: &[T]) -> T {
    list[choice.below(list.len() as u64) as usize]
}

fn start(choice: &mut Choice) -> Start {
    pick(
        choice,
        &[
            Start::None,
            Start::Permitted,
            Start::Live,
            Start::Live,
            Start::Released,
        ],
    )
}

fn call(choice: &mut Choice) -> Call {
    match choice.below(12) {
        0..=3 => {
            let to = pick(choice, &POINTERS).0;
            Call::Get(pick(choice, &described().queries), to)
        }
        4..=7 => {
            let facility = match choice.below(7) {
                0..=2 => described().components[0],
                3 => pick(choice, &described().components),
                4 => choice.below(70),
                5 => 1 << choice.below(64),
                _ => choice.number(),
            };
            Call::Prctl(pick(choice, &described().requests), facility)
        }
        // Around the five options; 7.2 has no others in that range.
        8 => Call::Prctl(
            pick(choice, &[0x1020, 0x1026, 0x1027, 0x1030, 0x10ff]),
            choice.below(20),
        ),
        9 | 10 => Call::Altstack(pick(
            choice,
            &[0, 2047, 2048, 3632, 4096, 8192, 11952, 16384],
        )),
        _ => Call::Use,
    }
}

/// Values that are meaningful for some field, or for none.
fn value(choice: &mut Choice) -> u64 {
    match choice.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << choice.below(64),
        3 => pick(
            choice,
            &[0x3, 0x7, 0xe7, 0x200e7, 0x202e7, 0x600e7, 0x602e7, 0x60000],
        ),
        4 => pick(
            choice,
            &[512, 575, 576, 832, 2688, 2752, 2816, 11008, 11012],
        ),
        5 => pick(
            choice,
            &[
                0x4650_5853,
                0x4650_5845,
                0x1f80,
                0xffff,
                0x8000_0000_0006_02e7,
            ],
        ),
        6 => choice.below(256),
        _ => choice.number(),
    }
}

fn edits(choice: &mut Choice, frame: bool) -> Vec<Edit> {
    (0..choice.below(4)).map(|_| edit(choice, frame)).collect()
}

fn edit(choice: &mut Choice, frame: bool) -> Edit {
    if frame && choice.below(25) == 0 {
        return Edit::Area(pick(
            choice,
            &[0, 1, 64, 0x7fff_ffff_f000, 1 << 63, u64::MAX << 12],
        ));
    }
    // magic1, extended_size, xfeatures, xstate_size; XSTATE_BV, XCOMP_BV, reserved; MXCSR;
    // magic2 without and with tiles; TILECFG; TILEDATA; the first component after the header.
    let (offset, bytes) = match choice.below(16) {
        0 => (464, 4),
        1 => (468, 4),
        2 => (472, 8),
        3 | 4 => (480, 4),
        5..=7 => (512, 8),
        8 => (520, 8),
        9 => (528 + 8 * choice.below(6) as u32, 8),
        10 => (24, 4),
        11 => (2816, 4),
        12 => (11008, 4),
        13 => (2752 + choice.below(64) as u32, 1),
        14 => (2816 + choice.below(8192) as u32, 1),
        _ => (576 + 8 * choice.below(1000) as u32, 8),
    };
    let mask = u64::MAX >> (64 - 8 * u32::from(bytes));
    Edit::Bytes(offset, bytes, value(choice) & mask)
}

fn clone_flags(choice: &mut Choice) -> u64 {
    // Omits flags that write through pointers, set the TLS, or create a namespace.
    const FLAGS: [i32; 11] = [
        libc::CLONE_VM,
        libc::CLONE_FS,
        libc::CLONE_FILES,
        libc::CLONE_SIGHAND,
        libc::CLONE_PTRACE,
        libc::CLONE_VFORK,
        libc::CLONE_PARENT,
        libc::CLONE_THREAD,
        libc::CLONE_SYSVSEM,
        libc::CLONE_UNTRACED,
        libc::CLONE_IO,
    ];
    let mut flags = pick(choice, &[0, libc::SIGCHLD, libc::SIGCHLD]) as u64;
    for flag in FLAGS {
        if choice.below(3) == 0 {
            flags |= u64::from(flag as u32);
        }
    }
    // Threads are rare among random flags.
    if choice.below(3) == 0 {
        flags |= (libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD) as u64;
    }
    flags
}
