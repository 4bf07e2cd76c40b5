// SPDX-License-Identifier: GPL-2.0
//! `xfdctl doctor` on whatever machine runs the tests.

use std::process::Command;

#[test]
fn a_program_that_cannot_be_run_hides_nothing() {
    let doctor = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_xfdctl")).arg("doctor").args(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (status, out, err) = doctor(&["--", "/no/such/program"]);
    let is_wrong = out.lines().any(|line| line.starts_with("WRONG"));
    assert_eq!(status, Some(if is_wrong { 1 } else { 3 }), "{out}");
    assert!(err.starts_with("xfdctl: cannot run /no/such/program: ") && err.lines().count() == 1, "{err}");
    if is_wrong {
        assert_eq!(doctor(&[]).0, Some(1));
    }
}
