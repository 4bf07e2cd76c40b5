// SPDX-License-Identifier: GPL-2.0
//! Unit tests of scenario.rs.

use super::*;

const COMPARED: &str = "[[suite]]\nname = 's'\ntests = ['x', { name = 'y', guest-only = true }]\n\
                        [[boot]]\nname = 'a'\nsuites = ['s']\ntests = ['z']\n\
                        [[boot]]\nname = 'b'\nmodule = 'loaded'\nsuites = ['s']\n";

#[test]
fn a_test_is_a_name_or_a_table() {
    let text = "[[boot]]\nname = 'a'\ntests = ['x', { name = 'amx_64', style = 'kernel-x86' }]\n\
                [[boot]]\nname = 'b'\ncpus = 4\nmodule = 'loaded'\ncmdline = 'nokprobes'\ntests = ['x']\nkvm = true\n";
    let list = parse(text).unwrap().boots;
    assert_eq!((list[0].cpus, list[0].module, list[0].quiet_seconds), (1, Module::Absent, 120));
    let classes = |boot: &Scenario| [Class::Usual, Class::Long, Class::Kvm].map(|class| boot.is_of(class));
    assert_eq!([classes(&list[0]), classes(&list[1])], [[true, false, false], [true, false, true]]);
    assert_eq!(list[0].tests[0], Test { name: "x".into(), style: Style::Ktap, guest_only: false });
    assert_eq!(list[0].tests[1].style, Style::KernelX86);
    assert_eq!((list[1].cpus, list[1].module, list[1].cmdline.as_str()), (4, Module::Loaded, "nokprobes"));
}

#[test]
fn a_suite_comes_before_the_boots_own_tests() {
    let list = parse(COMPARED).unwrap();
    let names = |boot: &Scenario| boot.tests.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&list.boots[0]), ["x", "y", "z"]);
    assert_eq!(names(list.boot_of("s", Module::Loaded).unwrap()), ["x", "y"]);
    assert_eq!(list.suites[0].tests.iter().map(|t| t.guest_only).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_boot_in_parts_becomes_one_boot_per_part() {
    let text = "[[boot]]\nname = 'a'\ncmdline = 'quiet'\nparts = 2\ntests = ['x']\n\
                [[boot]]\nname = 'b'\nparts = 2\ntests = ['x']\n";
    let list = parse(text).unwrap().boots;
    let seen: Vec<_> = list.iter().map(|boot| (boot.name.as_str(), boot.cmdline.as_str())).collect();
    let expected = [
        ("a-1of2", "quiet XFD_PART=1/2"),
        ("a-2of2", "quiet XFD_PART=2/2"),
        ("b-1of2", "XFD_PART=1/2"),
        ("b-2of2", "XFD_PART=2/2"),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn mistakes_are_refused() {
    for (text, why) in [
        ("[[boot]]\nname = 'a'\ntests = []\n", "no tests"),
        ("[[boot]]\nname = 'a'\nparts = 0\ntests = ['x']\n", "1 to 9"),
        ("[[boot]]\nname = 'a'\nparts = 10\ntests = ['x']\n", "1 to 9"),
        ("[[boot]]\nname = 'a'\nsaved = true\ncmdline = 'quiet'\ntests = ['x']\n", "`saved` cannot be combined"),
        ("[[boot]]\nname = 'a'\ncpus = 5\ntests = ['x']\n", "1 to 4"),
        ("[[boot]]\nname = 'a'\ntests = ['x', 'x']\n", "twice"),
        ("[[boot]]\nname = 'a b'\ntests = ['x']\n", "characters other"),
        ("[[boot]]\nname = 'a'\ntests = ['x']\n[[boot]]\nname = 'a'\ntests = ['x']\n", "twice"),
        ("[[boot]]\nname = 'a'\ntests = ['x;reboot']\n", "invalid characters"),
        ("[[boot]]\nname = 'a'\ntests = ['x']\ncpu = 2\n", "unknown field"),
        ("[[boot]]\nname = 'a'\ntests = [{ name = 'x', style = 'tap' }]\n", ""),
        ("[[boot]]\nname = 'a'\ntests = [{ name = 'x', guest_only = true }]\n", ""),
        ("[[boot]]\nname = 'a'\nsuites = ['s']\ntests = ['x']\n", "no suite s"),
        ("[[boot]]\nname = 'a'\ntests = ['x']\nlong = true\nkvm = true\n", "cannot be combined"),
        ("[[boot]]\nname = 'a'\ntests = ['x']\nlinux-guest = { tests = [] }\n", "guest has no tests"),
        ("[[boot]]\nname = 'a'\ntests = ['x']\nlinux-guest = { tests = ['y z'] }\n", "invalid characters"),
        ("[[boot]]\nname = 'a'\nuncompared = ['s']\ntests = ['x']\n", "no suite s"),
    ] {
        let e = format!("{:#}", parse(text).unwrap_err());
        assert!(e.contains(why), "{text}: {e}");
    }
}

#[test]
fn a_suite_must_be_comparable() {
    for (from, to, why) in [
        ("module = 'loaded'", "module = 'present'", "exactly one"),
        ("module = 'loaded'", "", "exactly one"),
        ("suites = ['s']\ntests = ['z']", "tests = ['z']", "exactly one"),
        ("tests = ['z']", "tests = ['z']\ncpus = 2", "different machines"),
        ("tests = ['z']", "tests = ['z']\ncmdline = 'quiet'", "different machines"),
        ("tests = ['z']", "tests = ['z']\nkvm = true", "different machines"),
        ("tests = ['z']", "tests = ['x']", "twice"),
    ] {
        let e = format!("{:#}", parse(&COMPARED.replacen(from, to, 1)).unwrap_err());
        assert!(e.contains(why), "{from} -> {to}: {e}");
    }
    let third = format!("{COMPARED}[[boot]]\nname = 'c'\nsuites = ['s']\n");
    assert!(parse(&third).is_err());
}

#[test]
fn a_suite_runs_uncompared_in_any_boot() {
    let third = "[[boot]]\nname = 'c'\ncpus = 4\nmodule = 'loaded'\nuncompared = ['s']\ntests = ['w']\n";
    for text in [format!("{COMPARED}{third}"), format!("{third}{COMPARED}")] {
        let list = parse(&text).unwrap();
        let boot = list.boots.iter().find(|boot| boot.name == "c").unwrap();
        assert_eq!(boot.tests.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["x", "y", "w"]);
        assert_eq!(list.boot_of("s", Module::Loaded).unwrap().name, "b");
    }
}

#[test]
fn the_shipped_list_is_valid() {
    let path = Path::new("scenarios.toml");
    let list = read(path).unwrap();
    assert!(!list.boots.is_empty() && !list.suites.is_empty());
}
