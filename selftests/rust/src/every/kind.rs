// SPDX-License-Identifier: GPL-2.0
//! What can be done to a process paused between two instructions.

/// A kind of disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A higher-priority process wakes on its CPU, with live tiles and different data in all registers.
    Preempt,
    /// The same, and the process must continue on the other CPU.
    Migrate,
    /// SIGKILL.
    Kill,
    /// It is stopped and traced; its registers are read and written back.
    Trace,
    /// The kernel's shrinkers run.
    Shrink,
    /// A process on the other CPU has its first use, exits, and leaves its buffer to the next user.
    FirstUse,
    /// Its CPU takes an NMI that walks the stack, as perf does.
    Nmi,
    /// Its CPU takes an interrupt that uses the FPU, if allowed.
    FpuInIrq,
    /// The kernel's own threads get time on the other CPU, and reclaim runs every millisecond.
    Wait,
    /// The path's victim continues on the other CPU, and does its part to the end.
    Wake,
    /// The other CPU reads /proc/xfd/tasks to the end.
    Read,
    /// The module is disabled and unloaded.
    Unload,
    /// The same, while another process has the task's CPU until the module is gone, or for a long time: the task stays
    /// inside the module in the meantime.
    UnloadMeanwhile,
}

/// When the stopped CPU may continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Once the disturbance has started, and is waiting for that CPU or done.
    Begun,
    /// Once the disturbance is done.
    Done,
    /// When the pause times out.
    TimeIsOver,
}

impl Kind {
    /// All kinds.
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

    /// Its name.
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

    /// The maximum number of trigger ticks for which its victim's CPU is paused. If it waits for a lock that
    /// the victim holds, it is late.
    #[must_use]
    pub fn ticks(self) -> u64 {
        match self {
            Kind::Shrink => 20_000_000,
            // A pass is requested, and runs within two ticks of 4 ms each.
            Kind::Wait => 24_000_000,
            Kind::Unload | Kind::UnloadMeanwhile => 500_000,
            _ => 3_000_000,
        }
    }

    /// Whether it happens to a victim, or unloads the module underneath it.
    #[must_use]
    pub fn meets_victim(self) -> bool {
        matches!(self, Kind::Kill | Kind::Trace | Kind::Wake) || self.unloads()
    }

    /// When its victim's CPU may continue. `victim_waits` says whether the path waits for a victim on another CPU to be
    /// killed or traced.
    #[must_use]
    pub fn until(self, victim_waits: bool) -> Until {
        match self {
            Kind::Kill | Kind::Trace if victim_waits => Until::Done,
            Kind::Preempt | Kind::Migrate | Kind::Kill | Kind::Trace => Until::Begun,
            Kind::Nmi | Kind::FpuInIrq | Kind::Unload | Kind::UnloadMeanwhile => Until::Begun,
            Kind::Shrink | Kind::FirstUse | Kind::Wake | Kind::Read => Until::Done,
            Kind::Wait => Until::TimeIsOver,
        }
    }

    /// Whether it leaves everything as it was, so that it can happen several times on a path and the next time is like
    /// the first. After a shrink the pool is empty, and after another use of the FPU the registers have been saved.
    #[must_use]
    pub fn repeats(self) -> bool {
        matches!(self, Kind::FirstUse | Kind::Nmi | Kind::Read)
    }

    /// Whether it unloads the module. That takes long and matters to nothing else in the kernel, so it is done only at
    /// the module's own instructions.
    #[must_use]
    pub fn unloads(self) -> bool {
        matches!(self, Kind::Unload | Kind::UnloadMeanwhile)
    }
}

/// A set of kinds.
#[derive(Clone, Copy)]
pub struct Kinds(u16);

impl Kinds {
    /// All kinds.
    pub const ALL: Kinds = Kinds::of(&Kind::ALL);
    /// Those that apply to any task's path.
    pub const USUAL: Kinds = Kinds::ALL.without(Kind::Wake).without_unloading();

    /// The set of these kinds.
    #[must_use]
    pub const fn of(kinds: &[Kind]) -> Self {
        let (mut set, mut i) = (Kinds(0), 0);
        while i < kinds.len() {
            set = set.with(kinds[i]);
            i += 1;
        }
        set
    }

    /// The same plus this one.
    #[must_use]
    pub const fn with(self, kind: Kind) -> Self {
        Kinds(self.0 | 1 << kind as u16)
    }

    /// The same without this one.
    #[must_use]
    pub const fn without(self, kind: Kind) -> Self {
        Kinds(self.0 & !(1 << kind as u16))
    }

    /// The same without those that unload the module.
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
