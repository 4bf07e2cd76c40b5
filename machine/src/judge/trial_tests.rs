// SPDX-License-Identifier: GPL-2.0
//! Unit tests of trial.rs.

use super::*;
use crate::boot::klog::{Kind, Problem};
use crate::judge::scenario::Test;
use crate::judge::style::Style;

fn scenario(module: bool) -> Scenario {
    Scenario {
        builtin: false,
        saved: false,
        name: "s".into(),
        cpus: 1,
        module: if module { Module::Loaded } else { Module::Absent },
        installed: false,
        software: Vec::new(),
        with: Vec::new(),
        without: Vec::new(),
        expected_log: Vec::new(),
        long: false,
        kvm: false,
        cmdline: String::new(),
        suites: Vec::new(),
        uncompared: Vec::new(),
        tests: vec![Test { name: "a".into(), style: Style::Ktap, guest_only: false }],
        nothing_skipped: false,
        quiet_seconds: 1,
        total_seconds: 1,
        parts: 1,
        memory_mib: 1,
        linux_guest: None,
        debug: Default::default(),
        every_kernel: false,
        upstream: None,
    }
}

fn report(end: End, problems: Vec<Problem>) -> Report {
    Report { end, problems, log: "log".into(), name: "name".into() }
}

fn heard(module: bool) -> Heard {
    let mut heard = Heard::default();
    let loaded = module.then_some(Event::Loaded);
    let unloaded = if module { vec![Event::Unloaded, Event::Areas(2, 2)] } else { vec![] };
    let test = [Event::Begin("a".into()), Event::Output(b"1..1\nok 1 x\n".to_vec()), Event::End("a".into(), 0)];
    for event in loaded.into_iter().chain(test).chain(unloaded) {
        heard.take(event);
    }
    heard
}

fn numbers(scenario: &Scenario, heard: &Heard, report: &Report) -> (usize, usize) {
    let count = judge(scenario, heard, report, |_| true);
    (count.passed, count.failed)
}

#[test]
fn a_job_that_cannot_start_is_a_failure() {
    let mut heard = heard(false);
    heard.take(Event::NoJob("no space".into()));
    assert_eq!(numbers(&scenario(false), &heard, &report(End::Orderly, vec![])), (2, 1));
}

#[test]
fn a_good_boot_passes() {
    assert_eq!(numbers(&scenario(false), &heard(false), &report(End::Orderly, vec![])), (2, 0));
    assert_eq!(numbers(&scenario(true), &heard(true), &report(End::Orderly, vec![])), (4, 0));
}

#[test]
fn a_skip_fails_a_boot_that_must_not_skip() {
    let mut heard = Heard::default();
    let output = Event::Output(b"1..1\nok 1 x # SKIP not here\n".to_vec());
    for event in [Event::Begin("a".into()), output, Event::End("a".into(), 0)] {
        heard.take(event);
    }
    let numbers = |nothing_skipped| {
        numbers(&Scenario { nothing_skipped, ..scenario(false) }, &heard, &report(End::Orderly, vec![]))
    };
    assert_eq!(numbers(false), (1, 0));
    assert_eq!(numbers(true), (1, 1));
}

#[test]
fn a_warning_fails_the_boot_but_not_its_tests() {
    let warn = vec![Problem { kind: Kind::Warn, line: "WARNING: x".into() }];
    assert_eq!(numbers(&scenario(false), &heard(false), &report(End::Orderly, warn)), (1, 1));
}

#[test]
fn an_expected_warning_must_appear_and_excuses_no_other() {
    let mut scenario = scenario(false);
    scenario.expected_log = vec!["at f+".into()];
    let warn = |line: &str| Problem { kind: Kind::Warn, line: line.into() };
    let judged = |problems| numbers(&scenario, &heard(false), &report(End::Orderly, problems));
    assert_eq!(judged(vec![warn("WARNING: x at f+0x1")]), (2, 0));
    assert_eq!(judged(vec![]), (2, 1));
    assert_eq!(judged(vec![warn("WARNING: x at f+0x1"), warn("WARNING: y at g+0x1")]), (1, 1));
}

#[test]
fn tests_that_never_ran_or_are_unknown_fail() {
    let hang = report(End::Hang("quiet".into()), vec![]);
    assert_eq!(numbers(&scenario(false), &Heard::default(), &hang), (0, 2));
    let count = judge(&scenario(false), &Heard::default(), &report(End::Orderly, vec![]), |_| false);
    assert_eq!(count.remarks, ["a: there is no such test program"]);
}

#[test]
fn a_module_that_stays_loaded_or_leaks_fails() {
    let good = report(End::Orderly, vec![]);
    let mut leak = heard(true);
    leak.take(Event::Areas(2, 3));
    assert_eq!(numbers(&scenario(true), &leak, &good), (3, 1));
    let mut stays = heard(true);
    stays.take(Event::UnloadFailed("busy".into()));
    assert_eq!(numbers(&scenario(true), &stays, &good), (3, 1));
    assert_eq!(numbers(&scenario(true), &heard(false), &good), (2, 2));
}
