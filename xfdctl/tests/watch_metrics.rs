// SPDX-License-Identifier: GPL-2.0
//! `xfdctl metrics`: the files that it writes, and whether Prometheus accepts them.

mod support;

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use support::{until, Tree};

#[test]
#[cfg_attr(not(has_promtool), ignore = "promtool is not installed (Debian's package prometheus)")]
fn promtool_accepts_the_metrics() {
    let by_cgroup = Tree::loaded();
    by_cgroup.threads(&["1 1 live 0 0 12288 0 0 9 a".into()]);
    for text in [
        Tree::bare().text(0, &["metrics"]),
        Tree::loaded().text(0, &["metrics"]),
        by_cgroup.text(0, &["metrics", "--by", "cgroup"]),
    ] {
        let mut promtool = Command::new("promtool");
        promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut promtool = promtool.spawn().unwrap();
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.success(), said.as_str()), (true, ""), "of\n{text}");
    }
}

#[test]
fn a_file_is_replaced() {
    let (tree, folder) = (Tree::loaded(), tempfile::tempdir().unwrap());
    let path = folder.path().join("xfd.prom");
    fs::write(&path, "old").unwrap();
    assert_eq!(tree.text(0, &["metrics", "--output", path.to_str().unwrap()]), "");
    assert!(fs::read_to_string(&path).unwrap().contains("\nxfd_up 1\n"));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let output = tree.run(&["metrics", "--output", fifo.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    let expected = format!("xfdctl: cannot write {}: it exists and is not a regular file\n", fifo.display());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
}

/// A reader always finds a complete file, even while numbers change and the module is removed. Signals end the watch
/// and leave the file.
#[test]
fn a_watch_leaves_a_whole_file() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let (tree, folder) = (Tree::loaded(), tempfile::tempdir().unwrap());
        let path = folder.path().join("xfd.prom");
        let mut child = tree
            .command(&["metrics", "--watch", "0.01", "--output", path.to_str().unwrap()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let whole = || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            assert!(text.is_empty() || text.contains("\nxfd_up ") && text.ends_with('\n'), "{text}");
            text
        };
        until("the first file", || whole().contains("xfd_first_uses_total 90\n"));
        for count in 91..110 {
            tree.counters(&[("first_uses", count)]);
            until("a new number", || whole().contains(&format!("xfd_first_uses_total {count}\n")));
        }
        tree.unload();
        until("the end of the module", || whole().contains("xfd_up 0\n"));
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
        assert!(whole().contains("xfd_up 0\n"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

/// Waits for the second file: the first one is there before its folder has been synchronised, and must succeed.
fn until_second(path: &Path) {
    until("the first file", || path.exists());
    fs::remove_file(path).unwrap();
    until("the second file", || path.exists());
}

/// A watch reports a full disk or a missing folder, and carries on.
#[test]
fn a_watch_survives_write_errors() {
    let (tree, folder) = (Tree::loaded(), tempfile::tempdir().unwrap());
    let (inner, away) = (folder.path().join("inner"), folder.path().join("away"));
    fs::create_dir(&inner).unwrap();
    let path = inner.join("xfd.prom");
    let mut child = tree
        .command(&["metrics", "--watch", "0.01", "--output", path.to_str().unwrap()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until_second(&path);
    fs::rename(&inner, &away).unwrap();
    let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert!(line.contains("cannot write") && line.ends_with("; will try again\n"), "{line}");
    fs::create_dir(&inner).unwrap();
    until("another file", || path.exists());
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The same if the report cannot be written either: standard error is on the full disk, or nobody reads it.
#[test]
fn a_watch_survives_errors_that_it_cannot_report() {
    let (ours, closed) = std::io::pipe().unwrap();
    drop(ours);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    for stderr in [Stdio::from(full), Stdio::from(closed)] {
        let (tree, folder) = (Tree::loaded(), tempfile::tempdir().unwrap());
        let (inner, away) = (folder.path().join("inner"), folder.path().join("away"));
        fs::create_dir(&inner).unwrap();
        let path = inner.join("xfd.prom");
        let mut watch = tree.command(&["metrics", "--watch", "0.01", "--output", path.to_str().unwrap()]);
        let mut child = watch.stderr(stderr).spawn().unwrap();
        until_second(&path);
        fs::rename(&inner, &away).unwrap();
        // Several intervals.
        std::thread::sleep(std::time::Duration::from_millis(200));
        fs::create_dir(&inner).unwrap();
        until("another file, or the end", || path.exists() || child.try_wait().unwrap().is_some());
        assert_eq!(child.try_wait().unwrap(), None);
        kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
