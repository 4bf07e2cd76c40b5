// SPDX-License-Identifier: GPL-2.0
//! `xfdctl top` on a terminal: what it shows, what the keys do, and that it restores the terminal.

mod support;

use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use support::terminal::Terminal;
use support::Tree;

const TAKES: &str = "\u{1b}[?1049h";
const GIVES_BACK: &str = "\u{1b}[?1049l";
/// An interval that is longer than any test.
const NEVER: &str = "3600";

fn start(tree: &Tree, interval: &str) -> Terminal {
    let mut terminal = Terminal::start(tree.command(&["top", "--interval", interval]));
    terminal.expect("sort: buffer");
    assert!(terminal.is_taken() && terminal.shown.contains(TAKES));
    terminal
}

#[track_caller]
fn expect_given_back(terminal: &Terminal) {
    terminal.expect_as_before();
    let end = &terminal.shown[terminal.shown.rfind(TAKES).unwrap()..];
    assert!(end.contains(GIVES_BACK) && end.contains("\u{1b}[?25h"), "{end:?}");
}

#[test]
fn keys() {
    let tree = Tree::loaded();
    let mut terminal = start(&tree, NEVER);
    terminal.expect("PID TID STATE");
    terminal.expect(" 70  71 live        3ms  12.0K     - worker 1  /a.slice/b.service");
    terminal.type_keys("p");
    terminal.expect("PID THREADS RUNNING");
    terminal.type_keys("ss");
    terminal.expect("sort: comm");
    terminal.type_keys("c");
    terminal.expect("RECLAIMED SINCE BUFFER  VCPU CGROUP");
    terminal.expect("sort: buffer");
    terminal.type_keys("t");
    terminal.expect("PID TID STATE");
    terminal.type_keys("q");
    assert_eq!(terminal.end().code(), Some(0));
    expect_given_back(&terminal);
}

#[test]
fn more_lines_than_fit() {
    let tree = Tree::loaded();
    let line = |tid| format!("1000 {tid} live 0x602e7 0x202e7 12288 0 3 1 t{tid}.");
    tree.threads(&(1000..4000).map(line).collect::<Vec<_>>());
    let mut terminal = start(&tree, NEVER);
    terminal.expect("t1000.");
    terminal.expect("more below");
    terminal.type_keys("\u{1b}[B\u{1b}[B\u{1b}[A");
    terminal.expect_gone("t1000.");
    assert!(terminal.screen().contains("t1001."));
    terminal.type_keys("\u{1b}[F");
    terminal.expect("t3999.");
    assert!(!terminal.screen().contains("below"));
    terminal.type_keys("q");
    assert!(terminal.end().success());
}

#[test]
fn ctrl_c_ends_it() {
    let tree = Tree::loaded();
    let mut terminal = start(&tree, NEVER);
    terminal.type_keys("\u{3}");
    assert_eq!(terminal.end().code(), Some(0));
    expect_given_back(&terminal);
}

#[test]
fn signals_end_it() {
    let tree = Tree::loaded();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut terminal = start(&tree, NEVER);
        terminal.signal(signal);
        assert_eq!(terminal.end().signal(), Some(signal as i32));
        expect_given_back(&terminal);
    }
}

/// After Ctrl-S, or on a stalled connection, signals and keys still end it.
#[test]
fn nobody_reads_what_it_draws() {
    let tree = Tree::loaded();
    let line = |tid| format!("1000 {tid} live 0x602e7 0x202e7 12288 0 3 1 t{tid}.");
    tree.threads(&(1000..4000).map(line).collect::<Vec<_>>());
    let ends: [(fn(&Terminal), _); 3] = [
        (|terminal| terminal.signal(Signal::SIGTERM), Some(Signal::SIGTERM as i32)),
        (|terminal| terminal.signal(Signal::SIGHUP), Some(Signal::SIGHUP as i32)),
        (|terminal| terminal.type_keys("\u{3}"), None),
    ];
    for (end, signal) in ends {
        let mut terminal = start(&tree, NEVER);
        // More than a terminal buffers.
        terminal.resize(80, 2000);
        terminal.fill();
        end(&terminal);
        assert_eq!(terminal.end_unread().signal(), signal);
        terminal.expect_as_before();
    }
}

/// Whoever starts reading again gets the whole frame.
#[test]
fn a_frame_that_was_interrupted_is_completed() {
    let tree = Tree::loaded();
    let line = |tid| format!("1000 {tid} live 0x602e7 0x202e7 12288 0 3 1 t{tid}.");
    tree.threads(&(1000..4000).map(line).collect::<Vec<_>>());
    let mut terminal = start(&tree, NEVER);
    terminal.resize(80, 2000);
    terminal.fill();
    terminal.type_keys("p");
    terminal.resize(80, 24);
    terminal.expect("PID THREADS RUNNING");
    terminal.expect("1000    3000");
    assert!(terminal.shown.contains("t2900."));
    assert_eq!(terminal.screen().lines().filter(|line| line.contains("1000")).count(), 1);
    terminal.type_keys("q");
    assert!(terminal.end().success());
}

/// When it is stopped by Ctrl-Z, the shell gets its terminal back as it was; `fg` resumes it.
#[test]
fn it_is_stopped_and_continued() {
    let tree = Tree::loaded();
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"set -m; "$@"; stty -a; echo "stopped: $?"; read -r go; fg; stty -a; echo ended: $?"#, "sh"]);
    let top = tree.command(&["top", "--interval", NEVER]);
    shell.arg(top.get_program()).args(top.get_args());
    let mut terminal = Terminal::start(shell);
    terminal.expect("sort: buffer");
    terminal.type_keys("\u{1a}");
    terminal.expect("stopped: 0");
    let before = terminal.shown.len();
    assert!(terminal.shown.contains(" icanon") && terminal.shown.contains(GIVES_BACK));
    terminal.type_keys("\n");
    terminal.expect("sort: buffer");
    assert!(terminal.is_taken() && terminal.shown[before..].contains(TAKES));
    terminal.type_keys("q");
    terminal.expect("ended: 0");
    assert!(terminal.end().success());
    assert!(terminal.shown[before..].contains(" icanon"));
}

#[test]
fn its_window_is_closed() {
    for interval in ["0.01", NEVER] {
        let tree = Tree::loaded();
        let status = start(&tree, interval).hang_up();
        // Either because of the signal, or because it could not draw.
        assert!(status.signal() == Some(Signal::SIGHUP as i32) || status.code() == Some(3), "{status}");
    }
}

#[test]
fn numbers_sizes_and_the_module_change() {
    let tree = Tree::loaded();
    let mut terminal = start(&tree, "0.05");
    tree.counters(&[("first_uses", 777_777)]);
    terminal.expect("777777");
    let line = |tid| format!("1000 {tid} live 0x602e7 0x202e7 12288 0 3 1 t{tid}.");
    tree.threads(&(1000..4000).map(line).collect::<Vec<_>>());
    terminal.expect("more below");
    terminal.type_keys("\u{1b}[F");
    terminal.expect("t3999.");
    tree.threads(&(1000..1003).map(line).collect::<Vec<_>>());
    terminal.expect("t1002.");
    terminal.expect("t1000.");
    tree.unload();
    terminal.expect("not loaded");
    terminal.type_keys("q");
    assert_eq!(terminal.end().code(), Some(0));
    expect_given_back(&terminal);
}

/// While the module is being loaded, it is there, but its files are not.
#[test]
fn the_module_is_being_loaded() {
    let tree = Tree::loaded();
    let mut terminal = start(&tree, "0.05");
    let (files, away) = (tree.path().join("proc/xfd"), tree.path().join("proc/away"));
    for _ in 0..2 {
        std::fs::rename(&files, &away).unwrap();
        terminal.expect("xfd is loaded without");
        terminal.expect_gone("worker 1");
        std::fs::rename(&away, &files).unwrap();
        terminal.expect("worker 1");
        terminal.expect_gone("xfd is loaded without");
    }
    terminal.type_keys("q");
    assert_eq!(terminal.end().code(), Some(0));
    expect_given_back(&terminal);
}

#[test]
fn a_new_size_is_drawn_at_once() {
    let tree = Tree::loaded();
    let mut terminal = start(&tree, NEVER);
    let before = terminal.shown.len();
    terminal.resize(60, 10);
    while !terminal.shown[before..].contains("quit") {
        assert!(terminal.read(60_000), "it was not redrawn");
    }
    terminal.type_keys("q");
    assert!(terminal.end().success());
}

#[test]
fn colours_unless_they_are_unwanted() {
    let tree = Tree::loaded();
    let reversed = "\u{1b}[7m";
    assert!(start(&tree, NEVER).shown.contains(reversed));
    let mut command = Command::new("env");
    let top = tree.command(&["top"]);
    command.arg("NO_COLOR=1").arg(top.get_program()).args(top.get_args());
    let mut terminal = Terminal::start(command);
    terminal.expect("sort: buffer");
    assert!(!terminal.shown.contains(reversed));
}

#[test]
fn lines_fit_into_80_columns() {
    let tree = Tree::loaded();
    let deep = "a.slice/b.service/".to_owned() + &"deeper/".repeat(12) + "end";
    std::fs::create_dir_all(tree.path().join("sys/fs/cgroup").join(&deep)).unwrap();
    let cgroup = tree.cgroup(&deep);
    tree.threads(&[format!("2000000 2000001 reclaimed 0x602e7 0x202e7 0 16384 535300 {cgroup} fifteen letters")]);
    tree.counters(&[("first_uses", 123_456_789), ("reclaimed", 12_345_678), ("regrown", 12_345_677), ("denied", 99)]);
    for command in [&["top", "--once"][..], &["top", "--once", "--by", "process"], &["status"]] {
        let mut terminal = Terminal::start(tree.command(command));
        terminal.end();
        for line in terminal.shown.lines() {
            assert!(line.chars().count() <= 80, "{line:?}");
        }
        assert!(terminal.shown.contains("123456789"), "{}", terminal.shown);
        assert!(command.contains(&"process") || command[0] == "status" || terminal.shown.contains("…"));
    }
}

/// A terminal that cannot move its cursor gets plain text.
#[test]
fn a_dumb_terminal() {
    let tree = Tree::loaded();
    let mut command = Command::new("env");
    let top = tree.command(&["top"]);
    command.arg("TERM=dumb").arg(top.get_program()).args(top.get_args());
    let mut terminal = Terminal::start(command);
    assert_eq!(terminal.end().code(), Some(0));
    assert!(terminal.shown.contains("worker 1") && !terminal.shown.contains('\u{1b}'), "{}", terminal.shown);
}
