// SPDX-License-Identifier: GPL-2.0
//! Every schedule of a first use and of an exec, by exhaustive search: the task is preempted
//! wherever it can be, something else runs in between, and the task resumes on either CPU. The
//! steps are those of `FpstateBuffer::install()` and `xfd_fpu_flush_thread()`, around this crate's
//! decisions.

use xstate::arming;
use xstate::buffer::{self, Masks, Need};
use xstate::capacity::{Capacities, Capacity};
use xstate::layout::{Component, Format, Layout};
use xstate::xfeature::Xfeatures;

const ARMED: Xfeatures = Xfeatures::USER_DYNAMIC;
const NONE: Xfeatures = Xfeatures::NONE;
const SMALL: Masks = Masks {
    xfeatures: Xfeatures::from_bits(0x202e7),
    user_xfeatures: Xfeatures::from_bits(0x202e7),
    xfd: ARMED,
};

const ALL: Xfeatures = Xfeatures::from_bits(0x602e7);

/// The capacity that a thread with the small buffer allocates at its first use.
fn capacity() -> Capacity {
    let layout = Layout::new(Format::Compacted, |_| Component::default());
    let capacities = Capacities::new(layout, ALL, [ALL, NONE]);
    match buffer::need(SMALL, ARMED, ALL, &capacities) {
        Need::Enlarge(capacity) => capacity,
        Need::StaleXfd => panic!("an armed thread needs a buffer"),
    }
}

/// What the task does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Program {
    FirstUse,
    Exec,
}

/// The step to leave out, to check that the search notices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Broken {
    Nothing,
    /// The registers are not locked.
    Lock,
    /// The contents of the old buffer are not loaded before the exchange.
    Load,
    /// IA32_XFD is not written.
    Msr,
    /// The per-CPU copy is not written.
    Copy,
    /// exec does not mark the registers as being in memory.
    Mark,
}

#[derive(Clone, Copy)]
struct Cpu {
    msr: Xfeatures,
    copy: Xfeatures,
}

/// Register contents: the task's own, initial ones (after exec), or another task's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Content {
    Own,
    Initial,
    Foreign,
}

#[derive(Clone, Copy)]
struct World {
    program: Program,
    broken: Broken,
    cpus: [Cpu; 2],
    /// The CPU that the task runs on.
    on: usize,
    registers: Content,
    /// The contents of its buffer.
    buffer: Content,
    masks: Masks,
    /// The buffer that it has allocated, before that buffer is installed.
    allocated: Option<Capacity>,
    /// TIF_NEED_FPU_LOAD.
    in_memory: bool,
}

impl World {
    fn cpu(&mut self) -> &mut Cpu {
        &mut self.cpus[self.on]
    }

    /// `xfd_update_state()`, arch/x86/kernel/fpu/xstate.h:189.
    fn update(cpu: &mut Cpu, wanted: Xfeatures) {
        if let Some(value) = arming::write_needed(cpu.copy, wanted) {
            *cpu = Cpu {
                msr: value,
                copy: value,
            };
        }
    }

    /// `fpregs_restore_userregs()`: loads the registers on the way to user mode.
    fn load(&mut self) {
        if self.in_memory {
            let wanted = self.masks.xfd;
            Self::update(self.cpu(), wanted);
            self.registers = self.buffer;
            self.in_memory = false;
        }
    }

    /// The task leaves this CPU, another one may run there, and the task returns on `to`.
    fn preempted(mut self, other: Option<Xfeatures>, to: usize) -> Self {
        if !self.in_memory {
            // What xfd_validate_state() checks before a save.
            assert_eq!(
                self.cpus[self.on].msr, self.masks.xfd,
                "a save with another task's XFD"
            );
            self.buffer = self.registers;
            self.in_memory = true;
        }
        if let Some(xfd) = other {
            Self::update(self.cpu(), xfd);
        }
        self.on = to;
        self.registers = Content::Foreign;
        self
    }

    /// Runs one step. Returns false if there is no step with this number.
    fn step(&mut self, number: usize) -> bool {
        match (self.program, number) {
            // `need()`. The allocation that follows sleeps.
            (Program::FirstUse, 0) => self.allocated = Some(capacity()),
            // Steps 1 to 3 are between fpregs_lock() and fpregs_unlock().
            (Program::FirstUse, 1) => {
                if self.broken != Broken::Load {
                    self.load();
                }
            }
            (Program::FirstUse, 2) => {
                let capacity = self.allocated.expect("an allocated buffer");
                self.masks = buffer::commit(self.masks, ARMED, &capacity).expect("enough capacity");
                // The new buffer has a different layout and is zeroed.
                self.buffer = Content::Initial;
            }
            (Program::FirstUse, 3) => {
                let (broken, wanted) = (self.broken, self.masks.xfd);
                let cpu = self.cpu();
                if let Some(value) = arming::write_needed(cpu.copy, wanted) {
                    if broken != Broken::Msr {
                        cpu.msr = value;
                    }
                    if broken != Broken::Copy {
                        cpu.copy = value;
                    }
                }
            }
            (Program::Exec, 0) => {}
            // Steps 1 and 2 hold the lock.
            (Program::Exec, 1) => {
                self.masks = SMALL;
                self.buffer = Content::Initial;
            }
            (Program::Exec, 2) => {
                if self.broken != Broken::Mark {
                    self.in_memory = true;
                }
            }
            (Program::Exec, 3) => {}
            _ => return false,
        }
        true
    }

    /// Whether the task may be preempted before this step.
    fn preemptible(&self, before: usize) -> bool {
        let locked = match self.program {
            Program::FirstUse => 2..=3,
            Program::Exec => 2..=2,
        };
        self.broken == Broken::Lock || !locked.contains(&before)
    }

    fn check(&self) {
        for cpu in &self.cpus {
            assert_eq!(cpu.msr, cpu.copy, "IA32_XFD and its copy differ");
        }
    }

    fn check_end(&self) {
        self.check();
        let (xfd, content) = match self.program {
            Program::FirstUse => (NONE, Content::Own),
            Program::Exec => (ARMED, Content::Initial),
        };
        assert_eq!(self.cpus[self.on].msr, xfd, "IA32_XFD in user mode");
        assert_eq!(self.registers, content, "the registers");
    }
}

/// Runs every schedule from here on. Returns how many there are.
fn explore(world: World, step: usize, preemptions: u32) -> usize {
    let mut ends = 0;
    if world.preemptible(step) {
        world.check();
        if preemptions > 0 {
            for other in [None, Some(ARMED), Some(NONE)] {
                for to in [0, 1] {
                    ends += explore(world.preempted(other, to), step, preemptions - 1);
                }
            }
        }
    }
    let mut next = world;
    if next.step(step) {
        ends + explore(next, step + 1, preemptions)
    } else {
        // The task returns to user mode.
        next.load();
        next.check_end();
        ends + 1
    }
}

fn all_schedules(program: Program, broken: Broken) -> usize {
    let masks = match program {
        Program::FirstUse => SMALL,
        Program::Exec => buffer::commit(SMALL, ARMED, &capacity()).expect("enough capacity"),
    };
    let running = Cpu {
        msr: masks.xfd,
        copy: masks.xfd,
    };
    let mut ends = 0;
    for other_cpu in [ARMED, NONE] {
        let world = World {
            program,
            broken,
            cpus: [
                running,
                Cpu {
                    msr: other_cpu,
                    copy: other_cpu,
                },
            ],
            on: 0,
            registers: Content::Own,
            buffer: Content::Foreign,
            masks,
            allocated: None,
            in_memory: false,
        };
        ends += explore(world, 0, 3);
    }
    ends
}

#[test]
fn three_copies_agree_and_contents_survive() {
    assert!(all_schedules(Program::FirstUse, Broken::Nothing) > 1000);
    assert!(all_schedules(Program::Exec, Broken::Nothing) > 1000);
}

#[test]
fn what_is_left_out_is_missed() {
    for (program, broken) in [
        (Program::FirstUse, Broken::Lock),
        (Program::FirstUse, Broken::Load),
        (Program::FirstUse, Broken::Msr),
        (Program::FirstUse, Broken::Copy),
        (Program::Exec, Broken::Lock),
        (Program::Exec, Broken::Mark),
    ] {
        let found = std::panic::catch_unwind(|| all_schedules(program, broken));
        assert!(found.is_err(), "{program:?} without {broken:?} went well");
    }
}
