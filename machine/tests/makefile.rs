// SPDX-License-Identifier: GPL-2.0
//! Tests the Makefile: its help text, the options that it passes on, and that make and cargo build into the same
//! folder.

use std::path::PathBuf;
use std::process::{Command, Output};

fn project() -> PathBuf {
    // Relative to cargo's working directory, because two checkouts may share a target folder.
    std::env::current_dir().unwrap().parent().unwrap().to_path_buf()
}

fn command(args: &[&str]) -> Command {
    let mut make = Command::new("make");
    make.arg("-C").arg(project()).args(["--no-print-directory"]).args(args);
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    make
}

fn make(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

#[test]
fn help_fits_on_a_screen_and_names_each_target() {
    let help = String::from_utf8(make(&["help"]).stdout).unwrap();
    assert!(help.lines().count() > 10 && help.lines().count() < 24, "{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    let text = std::fs::read_to_string(project().join("Makefile")).unwrap();
    let targets: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix(".PHONY: ")).flat_map(str::split_whitespace).collect();
    assert!(targets.len() > 20, "{targets:?}");
    let words: Vec<_> = help.split([' ', ';', ':', '\n']).collect();
    let named = |target: &str| {
        let of_debug = target.strip_prefix("check-debug").filter(|rest| rest.starts_with('-'));
        words.contains(&of_debug.unwrap_or(target))
    };
    // The first one shows the help; the others are only prerequisites.
    for target in targets.into_iter().filter(|target| *target != "help" && !target.starts_with("need-")) {
        assert!(named(target), "{target} is not in the help:\n{help}");
    }
}

#[test]
fn a_run_without_a_program_says_how_to_name_one() {
    let output = make(&["run"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.starts_with("xfd: no program: make run P="), "{said}");
}

#[test]
fn options_and_program_are_passed_on() {
    let output = make(&["-n", "run", "OPTIONS=--cpus 2", "P=prog 'a b' c"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.trim_end().ends_with(" -- run --cpus 2 prog 'a b' c"), "{said}");
    let said = String::from_utf8(make(&["-n", "shell"]).stdout).unwrap();
    assert!(said.trim_end().ends_with(" -- shell --module"), "{said}");
    let said = String::from_utf8(make(&["-n", "check-kvm", "OPTIONS=--tap t"]).stdout).unwrap();
    assert!(said.trim_end().ends_with(" -- check --kvm --tap t"), "{said}");
    let said = String::from_utf8(make(&["-n", "check"]).stdout).unwrap();
    assert!(said.trim_end().ends_with(" -- check"), "{said}");
}

#[test]
fn the_environment_has_no_options() {
    for (options, program) in [("", ""), ("--tap t", "prog")] {
        let make = |target: &str| {
            let output = command(&["-n", target]).env("OPTIONS", options).env("P", program).output();
            String::from_utf8(output.unwrap().stdout).unwrap()
        };
        let said = make("shell");
        assert!(said.trim_end().ends_with(" -- shell --module"), "{said}");
        let said = make("check");
        assert!(said.trim_end().ends_with(" -- check"), "{said}");
        let said = make("run");
        assert!(said.contains("no program"), "{said}");
    }
}

#[test]
fn what_a_recipe_runs_does_not_inherit_the_options() {
    let recipe = String::from_utf8(make(&["-n", "check", "OPTIONS=--tap t"]).stdout).unwrap();
    let (before, _) = recipe.split_once("machine/ready.sh").unwrap();
    // As make starts a recipe.
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{before} exec make --no-print-directory -n shell")).current_dir(project());
    let output = shell.env("MAKEFLAGS", " -- OPTIONS=--tap\\ t").env("MAKELEVEL", "1").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.trim_end().ends_with(" -- shell --module"), "{said}");
}

#[test]
fn make_and_cargo_build_into_one_folder() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path", "machine/Cargo.toml"]);
    let output = cargo.current_dir(project()).env_remove("CARGO_TARGET_DIR").output().unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of_cargo = metadata["target_directory"].as_str().unwrap().to_owned();
    let output = Command::new("make").arg("-C").arg(project()).args(["-pn", "help"]).env_remove("XFD_CACHE").output();
    let database = String::from_utf8_lossy(&output.unwrap().stdout).into_owned();
    let line = database.lines().find_map(|line| line.split_once("CARGO_TARGET_DIR := ")).unwrap();
    assert_eq!(of_cargo, line.1);
}
