// SPDX-License-Identifier: GPL-2.0
//! Unit tests of ktap.rs.

use super::*;

fn numbers(output: &str, status: Option<i32>) -> (usize, usize, usize) {
    let count = count("prog", output, status);
    assert!(count.remarks.len() <= count.failed + count.skipped);
    (count.passed, count.failed, count.skipped)
}

#[test]
fn results_and_directives() {
    let output = "TAP version 13\n1..6\nok 1 a\nnot ok 2 - b\nok 3 c # SKIP no AMX\nnot ok 4 d # XFAIL known\n\
                  # a comment: not ok\nnot ok 5 e # TIMEOUT 45 seconds\nok 6\n";
    assert_eq!(numbers(output, Some(1)), (3, 2, 1));
}

#[test]
fn remarks_name_program_test_and_reason() {
    let count = count("prog", "1..2\nnot ok 1 - b # exit=3\nok 2 c # SKIP no AMX\n", Some(1));
    assert_eq!(count.remarks, ["prog: b (exit=3)", "prog: c: skipped (SKIP no AMX)"]);
}

#[test]
fn results_must_match_the_plan() {
    assert_eq!(numbers("TAP version 13\n1..3\nok 1 a\n", Some(0)), (1, 2, 0));
    assert_eq!(numbers("TAP version 13\n1..1\nok 1 a\nok 2 b\n", Some(0)), (2, 1, 0));
    assert_eq!(numbers("TAP version 13\nok 1 a\n", Some(0)), (1, 1, 0));
    assert_eq!(numbers("ok 1 a\nok 2 b\n1..2\n", Some(0)), (2, 0, 0));
}

#[test]
fn no_output_is_a_failure() {
    assert_eq!(numbers("", Some(0)), (0, 1, 0));
    assert_eq!(numbers("hello\nworld\n", Some(0)), (0, 1, 0));
    assert_eq!(numbers("TAP version 13\n1..0\n", Some(0)), (0, 1, 0));
}

#[test]
fn all_skipped_is_a_skip() {
    assert_eq!(numbers("TAP version 13\n1..0 # SKIP no AMX here\n", Some(4)), (0, 0, 1));
}

#[test]
fn a_program_that_dies_or_never_ends_fails() {
    assert_eq!(numbers("1..1\nok 1 a\n", Some(139)), (1, 1, 0));
    assert_eq!(numbers("1..2\nok 1 a\n", Some(139)), (1, 1, 0));
    assert_eq!(numbers("1..1\nok 1 a\n", None), (1, 1, 0));
    assert_eq!(numbers("1..2\nok 1 a\nok 2 b", Some(1)), (2, 1, 0));
}

#[test]
fn a_result_out_of_order_is_a_failure() {
    assert_eq!(numbers("1..2\nok 1 a\nok 3 b\n", Some(0)), (2, 1, 0));
    assert_eq!(numbers("1..2\nok 1 a\nok 1 a\n", Some(0)), (2, 1, 0));
}

#[test]
fn bail_out_is_one_failure() {
    assert_eq!(numbers("TAP version 13\n1..5\nok 1 a\nBail out! no memory\n", Some(1)), (1, 1, 0));
}

#[test]
fn nested_results_count_by_their_leaves() {
    let output =
        "KTAP version 1\n1..2\n  KTAP version 1\n  1..2\n  ok 1 x\n  not ok 2 y\nnot ok 1 suite\nok 2 flat\n";
    assert_eq!(numbers(output, Some(1)), (2, 1, 0));
    let deep = "1..1\n  1..1\n    1..2\n    ok 1 a\n    ok 2 b # SKIP x\n  ok 1 mid\nok 1 top\n";
    assert_eq!(numbers(deep, Some(0)), (1, 0, 1));
}

#[test]
fn a_parent_may_fail_without_a_failed_child() {
    let output = "1..1\n  1..1\n  ok 1 x\nnot ok 1 suite\n";
    assert_eq!(numbers(output, Some(1)), (1, 1, 0));
}

#[test]
fn nested_results_must_match_their_plans() {
    assert_eq!(numbers("1..1\n  1..3\n  ok 1 x\nok 1 suite\n", Some(0)), (1, 2, 0));
    // Truncated inside the subtests: the missing subtest and the missing parent result are both reported.
    let (passed, failed, _) = numbers("1..1\n  1..2\n  ok 1 x\n", Some(137));
    assert_eq!(passed, 1);
    assert!(failed >= 2);
}

#[test]
fn look_alikes_are_not_results() {
    assert_eq!(numbers("1..1\nokay\nnot okay\nok 1 a\n", Some(0)), (1, 0, 0));
    assert_eq!(numbers("1..x\n1..1\nok 1 a\n", Some(0)), (1, 0, 0));
    assert_eq!(numbers("1..1\nok 1 a#b\n", Some(0)), (1, 0, 0));
}
