// SPDX-License-Identifier: GPL-2.0
//! The emulator's trigger: it stops a CPU between two instructions, or interrupts it there. See
//! Documentation/machine.rst.
#![expect(unsafe_code, reason = "CPUID by inline assembly")]

use std::arch::asm;
use std::ops::RangeInclusive;

const LEAF: u64 = 0x5846_4401;
/// What command 0 returns in EBX, ECX and EDX.
const SIGNATURE: [u64; 3] = [0x2064_6658, 0x6769_7274, 0x2e72_6567];

const SIGNS: u64 = 0;
const ARM: u64 = 1;
const LOOK: u64 = 2;
const LET_GO: u64 = 3;
const DISARM: u64 = 4;
const PAUSE_AGAIN: u64 = 5;

/// Where instruction counting starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Arming.
    Now,
    /// The CPU's next #NM.
    NextNm,
    /// Its next VM exit.
    NextVmExit,
    /// The CPU reaches this address, in any address space.
    Address(u64),
    /// The CPU enters the function at this address; counts only until the function returns.
    Function(u64),
}

/// What happens before the next instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The CPU executes nothing until let go.
    Pause {
        /// It continues by itself after this many instructions on the other CPUs.
        at_most: u64,
    },
    /// A non-maskable interrupt.
    Nmi,
    /// An interrupt with this vector, 32 or more, from the local APIC.
    Interrupt(u8),
}

/// The state of a trigger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Disarmed.
    #[default]
    Off,
    /// Waiting for its event.
    Awaits,
    /// Counting.
    Counts,
    /// Its CPU is paused.
    Paused,
    /// Fired.
    Fired,
    /// The function returned before it could fire.
    Returned,
}

/// A snapshot of a trigger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its state.
    pub state: State,
    /// Instructions since the event; once fired, the number requested.
    pub passed: u64,
    /// The address of the instruction before which it fired.
    pub at: u64,
    /// CPL (bits 0 and 1), IF (bit 2), whether the pause timed out (bit 3).
    pub flags: u64,
}

impl Seen {
    /// Whether the pause timed out.
    #[must_use]
    pub fn went_by_itself(&self) -> bool {
        self.flags & 1 << 3 != 0
    }
}

/// The rate of the machine's clock.
pub const TICKS_PER_NANOSECOND: u64 = 2;

/// Whether this is a CPU of the machine with a trigger. A guest of the machine's guest has none.
#[must_use]
pub fn is_there() -> bool {
    let [_, signature @ ..] = ask(SIGNS, 0, [0; 7]);
    signature == SIGNATURE
}

/// What to arm a trigger for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The CPU.
    pub cpu: usize,
    /// Where instruction counting starts.
    pub event: Event,
    /// The number of instructions after which it fires.
    pub after: u64,
    /// What happens then.
    pub action: Action,
    /// Only instructions at these addresses count.
    pub within: Option<RangeInclusive<u64>>,
}

impl Request {
    /// The registers for CPUID: RBX, RSI, RDI, and R8 to R12.
    #[must_use]
    pub fn words(&self) -> Words {
        let from = match self.event {
            Event::Now => 0,
            Event::NextNm => 1,
            Event::NextVmExit => 2,
            Event::Address(address) | Event::Function(address) => address,
        };
        let (action, at_most) = match self.action {
            Action::Pause { at_most } => (0, at_most),
            Action::Nmi => (1, 0),
            Action::Interrupt(vector) => (vector.into(), 0),
        };
        let until_return = matches!(self.event, Event::Function(_)).into();
        let within = self.within.clone().unwrap_or(0..=0);
        let (low, high) = within.into_inner();
        let cpu = self.cpu as u64;
        [
            self.after,
            from,
            action,
            at_most,
            until_return,
            cpu,
            low,
            high,
        ]
    }
}

/// A [`Request`] in registers.
pub type Words = [u64; 8];

/// Arms a trigger; false if there is no such CPU or action, or no other CPU to pause for.
#[must_use]
pub fn arm([after, more @ ..]: Words) -> bool {
    ask(ARM, after, more)[0] == 1
}

/// A CPU's trigger.
#[must_use]
pub fn look(cpu: usize) -> Seen {
    seen(LOOK, cpu)
}

/// Lets a paused CPU continue, and returns its trigger's previous state.
pub fn let_go(cpu: usize) -> Seen {
    seen(LET_GO, cpu)
}

/// Lets a paused CPU continue, and pauses it again `after` instructions later, at least one, for at most `at_most`
/// instructions on the other CPUs; false if it is not paused.
#[must_use]
pub fn pause_again(cpu: usize, after: u64, at_most: u64) -> bool {
    let words = [0, 0, at_most, 0, cpu as u64, 0, 0];
    ask(PAUSE_AGAIN, after, words)[0] == 1
}

/// Disarms a CPU's trigger, which lets a paused CPU continue, and returns its previous state.
pub fn disarm(cpu: usize) -> Seen {
    seen(DISARM, cpu)
}

fn seen(command: u64, cpu: usize) -> Seen {
    let [state, passed, at, flags] = ask(command, cpu as u64, [0; 7]);
    let state = match state {
        0 => State::Off,
        1 => State::Awaits,
        2 => State::Counts,
        3 => State::Paused,
        4 => State::Fired,
        _ => State::Returned,
    };
    Seen {
        state,
        passed,
        at,
        flags,
    }
}

/// Issues a command with its arguments in RBX, RSI, RDI, and R8 to R12.
fn ask(command: u64, b: u64, [si, di, r8, r9, r10, r11, r12]: [u64; 7]) -> [u64; 4] {
    let (a, rbx, c, d): (u64, u64, u64, u64);
    // SAFETY: every x86-64 processor has CPUID, which accesses no memory; RBX belongs to the compiler, and is restored.
    unsafe {
        asm!("xchg {b}, rbx", "cpuid", "xchg {b}, rbx", b = inout(reg) b => rbx,
             inout("rax") LEAF => a, inout("rcx") command => c, out("rdx") d, in("rsi") si, in("rdi") di,
             in("r8") r8, in("r9") r9, in("r10") r10, in("r11") r11, in("r12") r12, options(nostack));
    }
    [a, rbx, c, d]
}
