// SPDX-License-Identifier: GPL-2.0
//! The life of a process, as any bytes tell it: requests, first uses, fork, exec, reclaim, and a
//! virtual CPU. After each step the invariants of the whole are looked at. For the fuzzer, for its corpus, and for proptest.

use xstate::arming;
use xstate::buffer::{self, Masks, Need};
use xstate::facility;
use xstate::guest::{self, Enabling, XfdUpdate};
use xstate::idle::{look, Clock, Look, Note};
use xstate::layout::{Component, Format, Layout, FIXED_REGION};
use xstate::nm_event::NmEvent;
use xstate::permission::{self, Answer, Audience, Permission, Refusal, GUEST_LOCKED};
use xstate::room::{Room, Rooms};
use xstate::xfeature::Xfeatures;

const TILES: Xfeatures = Xfeatures::USER_DYNAMIC;
/// Linux's defaults on a Sapphire Rapids: user components, and CET's supervisor ones.
const DEFAULT: Xfeatures = Xfeatures::from_bits(0x21ae7);
const USER: Xfeatures = Xfeatures::from_bits(0x602e7);

/// A buffer: what it says, and the bytes that were allocated for it.
#[derive(Clone, Copy)]
struct Buffer {
    masks: Masks,
    bytes: u32,
    user_bytes: u32,
}

/// A thread and its buffer.
#[derive(Clone, Copy)]
struct Thread {
    buffer: Buffer,
    /// Whether its tiles are in use.
    live: bool,
    /// A word beside the buffer.
    note: u64,
    switches: u32,
    /// Since when it has been blocked.
    blocked_at: u64,
    /// Whether its buffer was reclaimed, and not given back yet.
    reclaimed: bool,
}

/// A virtual CPU: what the hypervisor enabled, its buffer, and XSTATE_BV of the saved image.
#[derive(Clone, Copy)]
struct Vcpu {
    enabled: Xfeatures,
    buffer: Buffer,
    image: Xfeatures,
}

/// What a CPU holds, and what the kernel remembers of it.
#[derive(Clone, Copy)]
struct Cpu {
    msr: Xfeatures,
    copy: Xfeatures,
}

struct Process {
    rooms: Rooms,
    host: Permission,
    guest: Permission,
    threads: Vec<Thread>,
    vcpu: Option<Vcpu>,
    cpu: Cpu,
    /// Milliseconds.
    now: u64,
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
    let mut process = Process::new(Rooms::new(
        layout(format, &mut next),
        USER,
        [DEFAULT | TILES, DEFAULT],
    ));
    while let (Some(what), Some(value)) = (next(), next()) {
        let thread = usize::from(what >> 4) % process.threads.len();
        process.now += u64::from(value);
        match what & 15 {
            8 => process.set_cpuid(value),
            9 => process.write_guest_xfd(value),
            10 => process.reclaim(thread, value),
            11 => process.release(thread),
            _ => process.step(what & 7, thread, value),
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
    fn step(&mut self, what: u8, thread: usize, value: u8) {
        match what {
            0 => self.request(idx(value), Audience::Host),
            1 => self.request(idx(value), Audience::Guest),
            2 | 3 => self.nm(thread, xfd_err(value)),
            4 => self.new_thread(),
            5 => self.fork(),
            6 => self.exec(),
            _ => self.new_vcpu(),
        }
    }

    fn new(rooms: Rooms) -> Self {
        let room = rooms.with(DEFAULT);
        let permission = Permission {
            xfeatures: DEFAULT,
            kernel_size: room.kernel_size(),
            user_size: room.user_size(),
        };
        let mut process = Process {
            rooms,
            host: permission,
            guest: permission,
            threads: Vec::new(),
            vcpu: None,
            cpu: Cpu {
                msr: Xfeatures::NONE,
                copy: Xfeatures::NONE,
            },
            now: 0,
        };
        process.new_thread();
        process
    }

    /// The buffer without dynamic components, with `xfd` armed.
    fn small(&self, xfd: Xfeatures) -> Buffer {
        let room = self.rooms.with(DEFAULT);
        Buffer {
            masks: Masks {
                xfeatures: DEFAULT,
                user_xfeatures: DEFAULT & USER,
                xfd,
            },
            bytes: room.kernel_size(),
            user_bytes: room.user_size(),
        }
    }

    /// Every thread starts with the built-in buffer, armed.
    fn thread(&self) -> Thread {
        Thread {
            buffer: self.small(TILES),
            live: false,
            note: 0,
            switches: 0,
            blocked_at: self.now,
            reclaimed: false,
        }
    }

    fn new_thread(&mut self) {
        if self.threads.len() < 8 {
            self.threads.push(self.thread());
        }
    }

    /// The first virtual CPU settles what its kind may have.
    fn new_vcpu(&mut self) {
        self.guest.xfeatures = self.guest.xfeatures | GUEST_LOCKED;
        self.vcpu = Some(Vcpu {
            enabled: DEFAULT & USER,
            buffer: self.small(Xfeatures::NONE),
            image: Xfeatures::NONE,
        });
    }

    fn fork(&mut self) {
        self.threads = vec![self.thread()];
    }

    fn exec(&mut self) {
        *self = Process::new(self.rooms);
    }

    fn request(&mut self, idx: u64, audience: Audience) {
        let before = match audience {
            Audience::Host => self.host,
            Audience::Guest => self.guest,
        };
        let requested = match facility::requested(idx, USER) {
            Ok(requested) => requested,
            Err(Refusal::NoSuchXfeature) => return assert!(idx >= 20),
            Err(refusal) => return assert!(idx < 20 && idx != 18, "{idx}: {refusal:?}"),
        };
        assert_eq!((idx, requested), (18, TILES));
        let answer = permission::request(before.xfeatures, requested, audience, &self.rooms);
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
        let permitted = self.host.xfeatures;
        self.run(thread);
        let thread = &mut self.threads[thread];
        // The context switch: the CPU runs the thread with its value.
        arm(&mut self.cpu, thread.buffer.masks.xfd);
        let used = match NmEvent::from_xfd_err(xfd_err) {
            NmEvent::FirstUse(used) => used,
            NmEvent::Unknown(raised) => return assert!((raised & TILES).is_empty()),
            NmEvent::Ordinary => return assert_eq!(xfd_err, 0),
        };
        assert_eq!(used, TILES);
        if !permission::allows(permitted, used) {
            return;
        }
        match buffer::need(thread.buffer.masks, used, permitted, &self.rooms) {
            Need::NothingButArming => assert!((thread.buffer.masks.xfd & used).is_empty()),
            Need::Enlarge(room) => thread.buffer.enlarge(used, &room),
        }
        thread.live = true;
        arm(&mut self.cpu, thread.buffer.masks.xfd);
        assert!(
            (self.cpu.msr & used).is_empty(),
            "the instruction would trap again"
        );
    }

    /// A thread runs, and is blocked again. A reclaimed buffer is given back before it does.
    fn run(&mut self, thread: usize) {
        let permitted = self.host.xfeatures;
        let thread = &mut self.threads[thread];
        thread.switches = thread.switches.wrapping_add(2);
        thread.blocked_at = self.now;
        if thread.reclaimed {
            match buffer::need(thread.buffer.masks, TILES, permitted, &self.rooms) {
                Need::Enlarge(room) => thread.buffer.enlarge(TILES, &room),
                Need::NothingButArming => panic!("a reclaimed buffer is still there"),
            }
            thread.reclaimed = false;
        }
    }

    /// TILERELEASE.
    fn release(&mut self, thread: usize) {
        self.run(thread);
        self.threads[thread].live = false;
    }

    /// A look of the pass that reclaims buffers, at a blocked thread.
    fn reclaim(&mut self, thread: usize, interval: u8) {
        let small = self.small(TILES);
        let thread = &mut self.threads[thread];
        if !thread.buffer.masks.xfeatures.contains(TILES) {
            return;
        }
        let in_use = if thread.live {
            DEFAULT | TILES
        } else {
            DEFAULT
        };
        let noted = Note::from_word(thread.note);
        let now = Clock::at(self.now);
        match look(in_use, noted, now, u32::from(interval), thread.switches) {
            Look::InUse => thread.note = 0,
            Look::IdleSince(note) => thread.note = note.word(),
            Look::Spare => {
                assert!(!thread.live, "live tiles are lost");
                let blocked = self.now - thread.blocked_at;
                assert!(blocked + 1 >= u64::from(interval), "too early");
                // Frames keep their size.
                thread.buffer = Buffer {
                    user_bytes: thread.buffer.user_bytes,
                    ..small
                };
                (thread.reclaimed, thread.note) = (true, 0);
            }
        }
    }

    /// KVM_SET_CPUID2: with tiles, or without.
    fn set_cpuid(&mut self, value: u8) {
        let permitted = self.guest.xfeatures;
        let Some(vcpu) = &mut self.vcpu else { return };
        let requested = if value & 1 == 0 { USER } else { DEFAULT & USER };
        match guest::enable(requested, vcpu.enabled, permitted) {
            Enabling::Kept => assert!((requested & TILES & !vcpu.enabled).is_empty()),
            Enabling::Refused => assert!(!permitted.contains(TILES)),
            Enabling::Enlarge(more) => {
                assert_eq!(more, TILES);
                let old = vcpu.buffer.masks;
                let all = old.xfeatures | permitted;
                let room = self.rooms.with(all);
                vcpu.buffer.masks = buffer::enlarged_for_guest(old, more, &room).expect("room");
                (vcpu.buffer.bytes, vcpu.buffer.user_bytes) =
                    (room.kernel_size(), room.user_size());
                vcpu.enabled = vcpu.enabled | more;
            }
        }
    }

    /// KVM_SET_XSAVE as far as the guest may, then a value for its IA32_XFD.
    fn write_guest_xfd(&mut self, value: u8) {
        let Some(vcpu) = &mut self.vcpu else { return };
        vcpu.image = vcpu.enabled & !vcpu.buffer.masks.xfd;
        let xfd = if value & 1 == 0 {
            vcpu.enabled & TILES
        } else {
            Xfeatures::NONE
        };
        let update = guest::update_xfd(xfd, value & 2 != 0, value & 4 != 0);
        vcpu.buffer.masks.xfd = xfd;
        match update {
            // The next save leaves out what is disabled.
            XfdUpdate::InRegisters => vcpu.image = vcpu.image & !xfd,
            XfdUpdate::InMemory { drop } => vcpu.image = vcpu.image & !drop,
        }
        assert!((vcpu.image & xfd).is_empty(), "#NM in the host");
    }

    fn check(&self) {
        assert_eq!(self.cpu.msr, self.cpu.copy);
        assert!(self.host.xfeatures.contains(DEFAULT));
        assert!(!self.host.xfeatures.contains(GUEST_LOCKED));
        for thread in &self.threads {
            let masks = thread.buffer.masks;
            assert!(
                self.host.xfeatures.contains(masks.xfeatures),
                "more than is permitted"
            );
            assert!(
                masks.xfeatures.contains(TILES & !masks.xfd),
                "disarmed without room"
            );
            thread.buffer.check(self.rooms.layout());
        }
        if let Some(vcpu) = &self.vcpu {
            let masks = vcpu.buffer.masks;
            assert!(
                self.guest.xfeatures.contains(masks.xfeatures),
                "more than is permitted"
            );
            assert!(masks.xfeatures.contains(vcpu.enabled), "enabled, no room");
            assert!(masks.xfeatures.contains(vcpu.image), "saved, no room");
            vcpu.buffer.check(self.rooms.layout());
        }
    }
}

impl Buffer {
    /// One with `room` takes over.
    fn enlarge(&mut self, used: Xfeatures, room: &Room) {
        self.masks = buffer::commit(self.masks, used, room).expect("room");
        (self.bytes, self.user_bytes) = (room.kernel_size(), room.user_size());
    }

    /// A save writes the components of `xfeatures`, and nothing behind the buffer's end.
    fn check(&self, layout: &Layout) {
        let masks = self.masks;
        assert!(masks.xfeatures.contains(masks.user_xfeatures));
        let saved = layout.size(masks.xfeatures, layout.kernel_format());
        assert!(
            saved <= self.bytes,
            "{saved} bytes are saved into {}",
            self.bytes
        );
        let shown = layout.size(masks.user_xfeatures, Format::Standard);
        assert!(
            shown <= self.user_bytes,
            "{shown} bytes in a frame of {}",
            self.user_bytes
        );
    }
}

fn arm(cpu: &mut Cpu, wanted: Xfeatures) {
    if let Some(value) = arming::write_needed(cpu.copy, wanted) {
        (cpu.msr, cpu.copy) = (value, value);
    }
    assert_eq!(cpu.msr, wanted);
}
