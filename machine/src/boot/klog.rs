// SPDX-License-Identifier: GPL-2.0
//! Finds the lines of the kernel log that fail a run.

/// How serious a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// WARN, lockdep, RCU stall, hung task, sanitizer: the kernel continues.
    Warn,
    /// BUG or Oops.
    Oops,
    /// The kernel has stopped.
    Panic,
}

/// A line that fails the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub kind: Kind,
    pub line: String,
}

const PANIC: [&str; 1] = ["Kernel panic - not syncing"];
const OOPS: [&str; 5] = ["Oops: ", "Oops - ", "kernel BUG at ", "BUG: ", "Missing ENDBR"];
const WARN: [&str; 12] = [
    "WARNING: ",
    "INFO: possible ",
    "INFO: trying to register non-static key",
    "INFO: task ",
    "rcu: INFO: ",
    "INFO: rcu_",
    "UBSAN: ",
    "KASAN: ",
    "unchecked MSR access error",
    "Bad page ",
    "DEBUG_LOCKS_WARN_ON",
    "Bad FPU state detected",
];

/// The start of a KCSAN report, and the line that follows its stacks.
const RACE: &str = "BUG: KCSAN: ";
const END_OF_RACE: &str = "Reported by Kernel Concurrency Sanitizer on:";
/// Parts of the lines in a race's stacks that show that it concerns this project: the module, or the kernel's code for
/// extended states.
const CONCERNS: [&str; 4] = ["xfd", "fpu", "fpregs", "xstate"];

/// Judges the console line by line. A data race only counts if its stacks name code that concerns this project, because
/// the kernel has other races.
#[derive(Default)]
pub struct Judge {
    race: Option<Race>,
}

struct Race {
    problem: Problem,
    concerns: bool,
}

impl Judge {
    /// The problem that this line completes or shows, if any.
    pub fn push(&mut self, line: &str) -> Option<Problem> {
        let text = message(line);
        if text.contains(RACE) {
            let before = self.finish();
            let problem = Problem { kind: Kind::Warn, line: text.to_owned() };
            self.race = Some(Race { problem, concerns: concerns(text) });
            return before;
        }
        if text.contains(END_OF_RACE) {
            return self.finish();
        }
        if let Some(race) = &mut self.race {
            race.concerns |= concerns(text);
        }
        classify(line)
    }

    /// The problem that was still open at the last line, if any.
    pub fn finish(&mut self) -> Option<Problem> {
        self.race.take().filter(|race| race.concerns).map(|race| race.problem)
    }
}

fn concerns(line: &str) -> bool {
    CONCERNS.iter().any(|part| line.contains(part))
}

/// Judges one line of the console; `None` if it is harmless.
fn classify(line: &str) -> Option<Problem> {
    let message = message(line);
    let hit = |patterns: &[&str]| patterns.iter().any(|p| message.contains(p));
    let kind = if hit(&PANIC) {
        Kind::Panic
    } else if hit(&OOPS) {
        Kind::Oops
    } else if hit(&WARN) {
        Kind::Warn
    } else {
        return None;
    };
    Some(Problem { kind, line: message.to_owned() })
}

/// Whether this is the last line that the kernel prints after a panic.
pub fn is_end_of_panic(line: &str) -> bool {
    line.contains("end Kernel panic")
}

/// The line without timestamp, caller and carriage return.
fn message(line: &str) -> &str {
    let mut rest = line.trim();
    while let Some(inner) = rest.strip_prefix('[') {
        let Some((stamp, after)) = inner.split_once(']') else { break };
        let is_stamp = stamp.trim().starts_with(|c: char| c.is_ascii_digit() || c == 'T' || c == 'C')
            && stamp.trim().chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        if !is_stamp {
            break;
        }
        rest = after.trim_start();
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(line: &str) -> Option<Kind> {
        classify(line).map(|p| p.kind)
    }

    fn problems(log: &str) -> Vec<String> {
        let mut judge = Judge::default();
        let mut found: Vec<_> = log.lines().filter_map(|line| judge.push(line)).collect();
        found.extend(judge.finish());
        found.into_iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn a_race_counts_if_a_stack_names_our_code() {
        let race = |stack: &str| {
            format!(
                "[ 1.2] BUG: KCSAN: data-race in a / b\n[ 1.2] write to 0xff of 8 bytes by task 7 on cpu 1:\n\
                 [ 1.2]  a+0x1/0x2\n[ 1.2] {stack}\n[ 1.2] Reported by Kernel Concurrency Sanitizer on:\n"
            )
        };
        assert_eq!(problems(&race(" pass+0x1/0x2 [xfd]")), ["BUG: KCSAN: data-race in a / b"]);
        assert_eq!(problems(&race(" fpu_clone+0x1/0x2")), ["BUG: KCSAN: data-race in a / b"]);
        assert!(problems(&race(" tick_nohz_irq_exit+0x1/0x2")).is_empty());
        // Lines after the report, or in the middle of it, are judged as usual.
        let other = race(" x\n[ 1.2] WARNING: y") + "[ 1.3]  z+0x1/0x2 [xfd]\n";
        assert_eq!(problems(&other), ["WARNING: y"]);
    }

    #[test]
    fn a_race_whose_report_is_cut_short_counts() {
        assert_eq!(
            problems("BUG: KCSAN: data-race in xfd_a+0x1/0x2 [xfd]\n"),
            ["BUG: KCSAN: data-race in xfd_a+0x1/0x2 [xfd]"]
        );
        let two = "BUG: KCSAN: data-race in c / fpu_d\nBUG: KCSAN: data-race in e / f\n";
        assert_eq!(problems(two), ["BUG: KCSAN: data-race in c / fpu_d"]);
    }

    #[test]
    fn these_lines_fail_a_run() {
        assert_eq!(kind("[    1.2] WARNING: CPU: 0 PID: 1 at kernel/x.c:3 f+0x1/0x2"), Some(Kind::Warn));
        assert_eq!(
            kind("[    1.2] WARNING: arch/x86/kernel/fpu/xstate.h:1 at f+0x1/0x2, CPU#0: a/1"),
            Some(Kind::Warn)
        );
        assert_eq!(
            kind("[    1.2][    T1] WARNING: possible circular locking dependency detected"),
            Some(Kind::Warn)
        );
        assert_eq!(kind("[    1.2] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"), Some(Kind::Warn));
        assert_eq!(kind("[   91.2] INFO: task kworker:4 blocked for more than 120 seconds."), Some(Kind::Warn));
        assert_eq!(kind("unchecked MSR access error: WRMSR to 0x1c4"), Some(Kind::Warn));
        assert_eq!(kind("[    1.2] BUG: KASAN: use-after-free in f+0x1"), Some(Kind::Oops));
        assert_eq!(kind("[    1.2] BUG: unable to handle page fault for address: 0"), Some(Kind::Oops));
        assert_eq!(kind("[    1.2] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!"), Some(Kind::Oops));
        assert_eq!(
            kind("[    1.2] Oops: general protection fault, maybe for address 0x1: 0000 [#1] SMP"),
            Some(Kind::Oops)
        );
        assert_eq!(kind("[    1.2] kernel BUG at arch/x86/kernel/alternative.c:1!\r"), Some(Kind::Oops));
        assert_eq!(kind("[    1.2] Kernel panic - not syncing: Fatal exception"), Some(Kind::Panic));
    }

    #[test]
    fn these_lines_do_not_fail_a_run() {
        assert_eq!(kind("[    0.0] [Firmware Bug]: the BIOS has corrupted hw-PMU resources"), None);
        assert_eq!(kind("[    0.0] ACPI BIOS Warning (bug): 32/64X length mismatch"), None);
        assert_eq!(kind("[    2.0] traps: a.out[61] general protection fault ip:40 sp:7f error:0"), None);
        assert_eq!(kind("[    2.0] xfd: loading out-of-tree module taints kernel."), None);
        assert_eq!(kind(""), None);
        assert_eq!(kind("["), None);
    }

    #[test]
    fn the_line_is_shown_without_its_timestamp() {
        let problem = classify("[   12.345678][  T61] WARNING: x\r").unwrap();
        assert_eq!(problem.line, "WARNING: x");
        assert!(is_end_of_panic("[ 1.0] ---[ end Kernel panic - not syncing: x ]---"));
    }

    #[test]
    fn kinds_are_ordered_by_severity() {
        assert!(Kind::Warn < Kind::Oops && Kind::Oops < Kind::Panic);
    }
}
