// SPDX-License-Identifier: GPL-2.0
//! Counts the output of the kernel's KVM selftests. Some print KTAP. For the others the exit status is the verdict: 0
//! is a pass, 4 a skip, and anything else a failure (a failed assertion ends with 254).

use crate::judge::style::ktap;
use crate::workshop::count::Count;

/// The exit status of a kselftest that was skipped.
const SKIPPED: i32 = 4;

/// The verdict on a program that does not print KTAP.
pub enum Verdict {
    Passed,
    /// With the last line that it printed.
    Skipped(String),
    /// With the reason.
    Failed(String),
}

/// Counts the output of the program `name`, which ended with `status`; `None` if it did not end.
pub fn count(name: &str, output: &str, status: Option<i32>) -> Count {
    let mut count = Count::default();
    match verdict(output, status) {
        None => return ktap::count(name, output, status),
        Some(Verdict::Passed) => count.pass_of(name),
        Some(Verdict::Skipped(why)) => count.skip(format!("{name}: skipped: {why}")),
        Some(Verdict::Failed(why)) => count.fail(format!("{name}: {why}")),
    }
    count
}

/// The verdict by the exit status; `None` for a program that prints KTAP.
pub fn verdict(output: &str, status: Option<i32>) -> Option<Verdict> {
    if ktap::is_spoken(output) {
        return None;
    }
    Some(match status {
        None => Verdict::Failed("did not end".into()),
        Some(0) => Verdict::Passed,
        Some(SKIPPED) => {
            let said = output.lines().map(str::trim).rfind(|line| !line.is_empty());
            Verdict::Skipped(said.unwrap_or("it does not say why").to_owned())
        }
        Some(status) => Verdict::Failed(format!("exit status {status}{}", assertion(output))),
    })
}

/// The failed assertion: the place from the line after the heading, and the message, which is the last line.
fn assertion(output: &str) -> String {
    let mut lines = output.lines().map(str::trim).skip_while(|line| !line.contains("Test Assertion Failure"));
    let Some(place) = lines.nth(1) else { return String::new() };
    match lines.filter(|line| !line.is_empty()).last() {
        Some(message) => format!(": {place}: {message}"),
        None => format!(": {place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(output: &str, status: Option<i32>) -> ((usize, usize, usize), String) {
        let count = count("t", output, status);
        ((count.passed, count.failed, count.skipped), count.remarks.join("; "))
    }

    #[test]
    fn the_exit_status_is_the_verdict() {
        assert_eq!(counted("", Some(0)), ((1, 0, 0), "".into()));
        assert_eq!(counted("Testing guest mode\n", Some(0)), ((1, 0, 0), "".into()));
        let skipped = counted("x\nnested is off, skipping test\n\n", Some(4));
        assert_eq!(skipped, ((0, 0, 1), "t: skipped: nested is off, skipping test".into()));
        assert_eq!(counted("", Some(4)), ((0, 0, 1), "t: skipped: it does not say why".into()));
        assert_eq!(counted("x\n", Some(139)), ((0, 1, 0), "t: exit status 139".into()));
        assert_eq!(counted("x\n", None), ((0, 1, 0), "t: did not end".into()));
    }

    #[test]
    fn a_failed_assertion_is_quoted() {
        let output = "start\n==== Test Assertion Failure ====\n  x86/a.c:12: r == 0\n  pid=1 tid=1 errno=5 - E\n  \
                      sh: addr2line: not found\n  KVM_RUN failed\n\n";
        assert_eq!(counted(output, Some(254)).1, "t: exit status 254: x86/a.c:12: r == 0: KVM_RUN failed");
        assert_eq!(counted("==== Test Assertion Failure ====\n", Some(254)).1, "t: exit status 254");
    }

    #[test]
    fn ktap_is_heard() {
        assert_eq!(counted("TAP version 13\n1..2\nok 1 a\nnot ok 2 b\n", Some(1)).0, (1, 1, 0));
        assert_eq!(counted("1..0 # SKIP - no VMX\n", Some(4)), ((0, 0, 1), "t: skipped: - no VMX".into()));
        assert_eq!(counted("1..2\nok 1 a\n", Some(254)).0, (1, 1, 0));
        assert_eq!(counted("1..1\nok 1 a\n", Some(254)).0, (1, 1, 0));
    }
}
