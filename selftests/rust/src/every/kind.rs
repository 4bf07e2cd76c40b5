// SPDX-License-Identifier: GPL-2.0
//! What can be done to a process that stands between two instructions.

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A process that runs first on its CPU wakes up: it has live tiles, and other data in all registers.
    Preempt,
    /// The same, and it has to go on on the other CPU.
    Migrate,
    /// SIGKILL.
    Kill,
    /// It is stopped and traced; its registers are read, and written back.
    Trace,
    /// The kernel's caches are asked for their memory.
    Shrink,
    /// A process on the other CPU has its first use, ends, and leaves its buffer to whoever comes next.
    FirstUse,
    /// Its CPU takes an NMI that looks at the stack, as perf does.
    Nmi,
    /// Its CPU takes an interrupt that uses the FPU, if it may there.
    FpuInIrq,
    /// The kernel's own threads have time on the other CPU, and reclaim makes a pass each millisecond.
    Wait,
    /// The path's victim goes on on the other CPU, and does what it has to, to its end.
    Wake,
    /// The other CPU reads /proc/xfd/tasks to its end.
    Read,
    /// The module is disabled and removed.
    Unload,
    /// The same, and somebody else has the task's CPU until the module has gone, or for long: it stands inside all the
    /// time.
    UnloadMeanwhile,
}

/// When its CPU may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When the disturbance has begun: it waits for that CPU, or is done.
    Begun,
    /// When it is done.
    Done,
    /// When the time is over.
    TimeIsOver,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 13] = [
        Kind::Preempt,
        Kind::Migrate,
        Kind::Kill,
        Kind::Trace,
        Kind::Shrink,
        Kind::FirstUse,
        Kind::Nmi,
        Kind::FpuInIrq,
        Kind::Wait,
        Kind::Wake,
        Kind::Read,
        Kind::Unload,
        Kind::UnloadMeanwhile,
    ];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Preempt => "preempt",
            Kind::Migrate => "migrate",
            Kind::Kill => "kill",
            Kind::Trace => "trace",
            Kind::Shrink => "shrink",
            Kind::FirstUse => "first_use",
            Kind::Nmi => "nmi",
            Kind::FpuInIrq => "fpu_in_irq",
            Kind::Wait => "wait",
            Kind::Wake => "wake",
            Kind::Read => "read",
            Kind::Unload => "unload",
            Kind::UnloadMeanwhile => "unload_meanwhile",
        }
    }

    /// For how many ticks of the trigger its victim's CPU stands still at most. If it waits for a lock that the victim
    /// holds, it is late.
    #[must_use]
    pub fn ticks(self) -> u64 {
        match self {
            Kind::Shrink => 20_000_000,
            // A pass is asked for, and comes with the next tick but one at the latest: 4 ms each.
            Kind::Wait => 24_000_000,
            Kind::Unload | Kind::UnloadMeanwhile => 500_000,
            _ => 3_000_000,
        }
    }

    /// Whether it happens to a victim, or takes the module away from under it.
    #[must_use]
    pub fn meets_victim(self) -> bool {
        matches!(self, Kind::Kill | Kind::Trace | Kind::Wake) || self.unloads()
    }

    /// When its victim's CPU may go on.
    #[must_use]
    pub fn until(self) -> Until {
        match self {
            Kind::Preempt | Kind::Migrate | Kind::Kill | Kind::Trace => Until::Begun,
            Kind::Nmi | Kind::FpuInIrq | Kind::Unload | Kind::UnloadMeanwhile => Until::Begun,
            Kind::Shrink | Kind::FirstUse | Kind::Wake | Kind::Read => Until::Done,
            Kind::Wait => Until::TimeIsOver,
        }
    }

    /// Whether the module goes: that is tried at its own instructions only, nothing else of the kernel's cares, and it
    /// takes long.
    #[must_use]
    pub fn unloads(self) -> bool {
        matches!(self, Kind::Unload | Kind::UnloadMeanwhile)
    }
}

/// A set of them.
#[derive(Clone, Copy)]
pub struct Kinds(u16);

impl Kinds {
    /// All of them.
    pub const ALL: Kinds = Kinds::of(&Kind::ALL);
    /// Those that any path of a task can meet.
    pub const USUAL: Kinds = Kinds::ALL.without(Kind::Wake).without_unloading();

    /// These.
    #[must_use]
    pub const fn of(kinds: &[Kind]) -> Self {
        let (mut set, mut i) = (Kinds(0), 0);
        while i < kinds.len() {
            set = set.with(kinds[i]);
            i += 1;
        }
        set
    }

    /// The same, and this one.
    #[must_use]
    pub const fn with(self, kind: Kind) -> Self {
        Kinds(self.0 | 1 << kind as u16)
    }

    /// The same, but for this one.
    #[must_use]
    pub const fn without(self, kind: Kind) -> Self {
        Kinds(self.0 & !(1 << kind as u16))
    }

    /// The same, but for those with which the module goes.
    #[must_use]
    pub const fn without_unloading(self) -> Self {
        self.without(Kind::Unload).without(Kind::UnloadMeanwhile)
    }

    /// In the order of [`Kind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        let has = move |kind: &Kind| self.0 & 1 << *kind as u16 != 0;
        Kind::ALL.into_iter().filter(has)
    }
}
