// SPDX-License-Identifier: GPL-2.0
//! Counts the output of the kernel's x86 selftests, which is not KTAP: `[OK]`, `[FAIL]` and `[SKIP]` at the beginning
//! of a line. Their exit status can hide failures, so only a nonzero one means anything.

use crate::workshop::count::Count;

/// Counts the output of the program `name`, which ended with `status`; `None` if it did not end.
pub fn count(name: &str, output: &str, status: Option<i32>) -> Count {
    let mut count = Count::default();
    for line in output.lines().map(str::trim) {
        if let Some(what) = line.strip_prefix("[OK]") {
            count.pass_of(format!("{name}: {}", what.trim()));
        // err(3) puts the program's name before the message.
        } else if line.contains("[FAIL]") || line.starts_with("Bail out!") || line.starts_with("not ok") {
            count.fail(format!("{name}: {line}"));
        } else if line.starts_with("[SKIP]") {
            count.skip(format!("{name}: {line}"));
        } else if line.contains("does not support") || line.contains("no AMX support") {
            count.fail(format!("{name}: {line}"));
        }
    }
    match status {
        None => count.fail(format!("{name}: did not end")),
        Some(0) if count.total() == 0 => count.fail(format!("{name}: printed no result")),
        Some(0) => {}
        Some(_) if count.failed > 0 => {}
        Some(status) => count.fail(format!("{name}: exit status {status} although it printed no failure")),
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(output: &str, status: Option<i32>) -> (usize, usize, usize) {
        let count = count("amx_64", output, status);
        (count.passed, count.failed, count.skipped)
    }

    #[test]
    fn marks_are_counted_whatever_the_status() {
        let output = "[RUN]\tCheck\n\tnote\n[OK]\tgood\n[FAIL]\tbad\n[SKIP]\tno\namx_64: [FAIL]\tfork: x\n";
        assert_eq!(numbers(output, Some(0)), (1, 2, 1));
    }

    #[test]
    fn dying_hanging_and_silence_fail() {
        assert_eq!(numbers("[OK]\tgood\n", Some(139)), (1, 1, 0));
        assert_eq!(numbers("[OK]\tgood\n", None), (1, 1, 0));
        assert_eq!(numbers("[RUN]\tx\n", Some(0)), (0, 1, 0));
        assert_eq!(numbers("# no AMX support\n", Some(4)), (0, 1, 0));
        assert_eq!(numbers("Bail out! failed to allocate XSAVE buffer\n", Some(1)), (0, 1, 0));
    }
}
