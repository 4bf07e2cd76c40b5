// SPDX-License-Identifier: GPL-2.0
//! The life of a process, as any bytes tell it: requests, first uses, fork, exec. After each step
//! the invariants of the whole are looked at. For the fuzzer, for its corpus, and for proptest.

use xstate::arming;
use xstate::buffer::{self, Masks, Need};
use xstate::layout::{Component, Format, Layout, FIXED_REGION};
use xstate::nm_event::NmEvent;
use xstate::permission::{self, Answer, Audience, Permission, Refusal, GUEST_LOCKED};
use xstate::xfeature::Xfeatures;

const TILES: Xfeatures = Xfeatures::USER_DYNAMIC;
/// Linux's defaults on a Sapphire Rapids: user components, and CET's supervisor ones.
const DEFAULT: Xfeatures = Xfeatures::from_bits(0x21ae7);
const USER: Xfeatures = Xfeatures::from_bits(0x602e7);

/// A thread's buffer: what it says, and the bytes that were allocated for it.
#[derive(Clone, Copy)]
struct Thread {
    masks: Masks,
    bytes: u32,
    user_bytes: u32,
}

/// What a CPU holds, and what the kernel remembers of it.
#[derive(Clone, Copy)]
struct Cpu {
    msr: Xfeatures,
    copy: Xfeatures,
}

struct Process {
    layout: Layout,
    host: Permission,
    guest: Permission,
    threads: Vec<Thread>,
    cpu: Cpu,
}

/// Lives through the history that `data` tells; its end is the end of the history.
///
/// # Panics
///
/// An invariant does not hold.
pub fn run(data: &[u8]) {
    let mut data = data.iter().copied();
    let mut next = || data.next();
    let Some(format) = next() else { return };
    let mut process = Process::new(layout(format, &mut next));
    while let (Some(what), Some(value)) = (next(), next()) {
        let thread = usize::from(what >> 4) % process.threads.len();
        match what & 7 {
            0 => process.request(idx(value), Audience::Host),
            1 => process.request(idx(value), Audience::Guest),
            2 | 3 => process.nm(thread, xfd_err(value)),
            4 => process.new_thread(),
            5 => process.fork(),
            6 => process.exec(),
            _ => process.guest.xfeatures = process.guest.xfeatures | GUEST_LOCKED,
        }
        process.check();
    }
}

/// Mostly 18, but anything.
fn idx(value: u8) -> u64 {
    match value {
        0..=127 => 18,
        128..=191 => u64::from(value - 128),
        _ => u64::MAX << (value - 192),
    }
}

fn xfd_err(value: u8) -> u64 {
    match value {
        0..=127 => 1 << 18,
        _ => 1 << (value & 63) | u64::from(value & 64) << 12,
    }
}

/// Sizes and alignment that CPUID could report, the offsets as the standard format needs them.
fn layout(format: u8, next: &mut impl FnMut() -> Option<u8>) -> Layout {
    let kernel = if format & 1 == 0 {
        Format::Compacted
    } else {
        Format::Standard
    };
    let mut components = [Component::default(); 20];
    let mut end = FIXED_REGION;
    for component in &mut components[2..] {
        let byte = u32::from(next().unwrap_or(0));
        let size = 8 * (byte >> 1);
        let aligned64 = byte & 1 != 0;
        *component = Component {
            size,
            offset: end.next_multiple_of(64),
            aligned64,
        };
        end = component.offset + size;
    }
    Layout::new(kernel, |i| components[i as usize])
}

impl Process {
    fn new(layout: Layout) -> Self {
        let permission = Permission {
            xfeatures: DEFAULT,
            kernel_size: layout.size(DEFAULT, layout.kernel_format()),
            user_size: layout.size(DEFAULT & USER, Format::Standard),
        };
        let mut process = Process {
            layout,
            host: permission,
            guest: permission,
            threads: Vec::new(),
            cpu: Cpu {
                msr: Xfeatures::NONE,
                copy: Xfeatures::NONE,
            },
        };
        process.new_thread();
        process
    }

    /// Every thread starts with the built-in buffer, armed.
    fn small(&self) -> Thread {
        Thread {
            masks: Masks {
                xfeatures: DEFAULT,
                user_xfeatures: DEFAULT & USER,
                xfd: TILES,
            },
            bytes: self.layout.size(DEFAULT, self.layout.kernel_format()),
            user_bytes: self.layout.size(DEFAULT & USER, Format::Standard),
        }
    }

    fn new_thread(&mut self) {
        if self.threads.len() < 8 {
            self.threads.push(self.small());
        }
    }

    fn fork(&mut self) {
        self.threads = vec![self.small()];
    }

    fn exec(&mut self) {
        *self = Process::new(self.layout);
    }

    fn request(&mut self, idx: u64, audience: Audience) {
        let before = match audience {
            Audience::Host => self.host,
            Audience::Guest => self.guest,
        };
        let requested = match permission::facility(idx, USER) {
            Ok(requested) => requested,
            Err(Refusal::NoSuchXfeature) => return assert!(idx >= 20),
            Err(refusal) => return assert!(idx < 20 && idx != 18, "{idx}: {refusal:?}"),
        };
        assert_eq!((idx, requested), (18, TILES));
        let answer = permission::request(before.xfeatures, requested, audience, USER, &self.layout);
        match answer {
            Ok(Answer::Already) => assert!(before.xfeatures.contains(TILES)),
            Ok(Answer::Grant(granted)) => {
                // Exactly what was asked for is added, and no size shrinks.
                assert_eq!(granted.xfeatures, before.xfeatures | TILES);
                assert!(granted.kernel_size >= before.kernel_size);
                assert!(granted.user_size >= before.user_size);
                match audience {
                    Audience::Host => self.host = granted,
                    Audience::Guest => self.guest = granted,
                }
            }
            Err(refusal) => {
                assert_eq!((refusal, audience), (Refusal::GuestLocked, Audience::Guest));
                assert!(before.xfeatures.contains(GUEST_LOCKED));
                assert!(!before.xfeatures.contains(TILES));
            }
        }
    }

    /// An #NM of a thread, as the module handles it.
    fn nm(&mut self, thread: usize, xfd_err: u64) {
        let thread = &mut self.threads[thread];
        // The context switch: the CPU runs the thread with its value.
        arm(&mut self.cpu, thread.masks.xfd);
        let used = match NmEvent::from_xfd_err(xfd_err) {
            NmEvent::FirstUse(used) => used,
            NmEvent::Unknown(raised) => return assert!((raised & TILES).is_empty()),
            NmEvent::Ordinary => return assert_eq!(xfd_err, 0),
        };
        assert_eq!(used, TILES);
        if !permission::allows(self.host.xfeatures, used) {
            return;
        }
        match buffer::need(thread.masks, used, &self.host) {
            Need::NothingButArming => assert!((thread.masks.xfd & used).is_empty()),
            Need::Enlarge {
                kernel_size,
                user_size,
            } => {
                thread.masks = buffer::commit(thread.masks, used);
                (thread.bytes, thread.user_bytes) = (kernel_size, user_size);
            }
        }
        arm(&mut self.cpu, thread.masks.xfd);
        assert!(
            (self.cpu.msr & used).is_empty(),
            "the instruction would trap again"
        );
    }

    fn check(&self) {
        assert_eq!(self.cpu.msr, self.cpu.copy);
        assert!(self.host.xfeatures.contains(DEFAULT));
        assert!(!self.host.xfeatures.contains(GUEST_LOCKED));
        for Thread {
            masks,
            bytes,
            user_bytes,
        } in &self.threads
        {
            assert!(
                self.host.xfeatures.contains(masks.xfeatures),
                "more than is permitted"
            );
            assert!(masks.xfeatures.contains(masks.user_xfeatures));
            assert!(
                masks.xfeatures.contains(TILES & !masks.xfd),
                "disarmed without room"
            );
            // A save writes the components of `xfeatures`, and nothing behind the buffer's end.
            let saved = self
                .layout
                .size(masks.xfeatures, self.layout.kernel_format());
            assert!(saved <= *bytes, "{saved} bytes are saved into {bytes}");
            let shown = self.layout.size(masks.user_xfeatures, Format::Standard);
            assert!(
                shown <= *user_bytes,
                "{shown} bytes in a frame of {user_bytes}"
            );
        }
    }
}

fn arm(cpu: &mut Cpu, wanted: Xfeatures) {
    if let Some(value) = arming::write_needed(cpu.copy, wanted) {
        (cpu.msr, cpu.copy) = (value, value);
    }
    assert_eq!(cpu.msr, wanted);
}
