// SPDX-License-Identifier: GPL-2.0
//! `xfdctl trace`, `record` and `report` on the command line: errors when something is missing, and reports on files.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn xfdctl(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xfdctl")).args(args).current_dir(folder).output().unwrap()
}

/// The exit status, output and errors.
fn said(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = xfdctl(folder, args);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn events(count: u64) -> String {
    let event = |n: u64| {
        let (comm, verdict) = if n % 3 == 0 { ("a\\u001b[31m", "sigill") } else { ("amx_load", "resume") };
        let size_after = if n % 3 == 0 { 2560 } else { 10752 };
        format!(
            "{{\"ns\":{},\"cpu\":0,\"tid\":{n},\"tgid\":7,\"comm\":\"{comm}\",\"cgroup\":\"/a\",\
             \"event\":\"xfd_first_use\",\"xfd_err\":262144,\"xfd_err_after\":0,\"permitted\":396007,\
             \"size_before\":2560,\"size_after\":{size_after},\"xfd_before\":262144,\"xfd_after\":0,\
             \"verdict\":\"{verdict}\",\"tsc\":{}}}\n",
            1_000_000_000 + n * 1000,
            100 + n
        )
    };
    (0..count).map(event).collect()
}

const HEADER: &str =
    "{\"xfd_record\":1,\"xfdctl\":\"0.0.9\",\"kernel\":\"7.3.4\",\"module\":\"0.1\",\"cpus\":2,\"new\":[1]}\n";
const END: &str = "{\"end\":{\"events\":4,\"lost\":0,\"unidentified\":2}}\n";

fn folder(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("xfdctl.record"), text).unwrap();
    folder
}

#[test]
fn a_record_is_summarized() {
    let folder = folder(&[HEADER, &events(4), END].concat());
    let (status, out, err) = said(folder.path(), &["report", "--by", "comm"]);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let lines: Vec<Vec<_>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0].join(" "), "4 events in 0.000003 s; Linux 7.3.4, xfd 0.1, 2 CPUs");
    assert_eq!(lines[1].join(" "), "2 events are left out: their threads had ended before they could be looked up");
    assert_eq!(lines[3].join(" "), "name first uses granted denied ticks min median max bytes");
    assert_eq!(lines[4].join(" "), "a\\u{1b}[31m 2 0 2 100 100 103 0");
    assert_eq!(lines[5].join(" "), "amx_load 2 2 0 101 101 102 16384");
    let (_, out, _) = said(folder.path(), &["report", "--by", "comm", "--sort", "bytes", "--json"]);
    let objects: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&objects[0]["cut"], &objects[0]["record"]["kernel"]), (&false.into(), &"7.3.4".into()));
    assert_eq!((&objects[1]["comm"], &objects[1]["bytes"]), (&"amx_load".into(), &16384.into()));
}

#[test]
fn when_it_happened() {
    let folder = folder(&[HEADER, &events(40), END].concat());
    let (status, out, _) = said(folder.path(), &["report", "--timeline", "xfdctl.record"]);
    let bars: Vec<_> = out.lines().filter(|line| line.contains('#')).collect();
    assert_eq!((status, bars.len()), (Some(0), 20));
    assert!(out.lines().all(|line| line.len() <= 80), "{out}");
    let (_, out, _) = said(folder.path(), &["report", "--timeline", "--json"]);
    assert!(out.lines().nth(1).unwrap().starts_with("{\"after_ns\":0,\"first_uses\":2,\"refused\":1,"), "{out}");
}

#[test]
fn a_record_that_was_cut_short_is_shown() {
    let whole = [HEADER, &events(4), END].concat();
    let folder = folder(&whole[..whole.len() - END.len() - 10]);
    let (status, out, err) = said(folder.path(), &["report"]);
    assert_eq!(
        (status, err.as_str()),
        (Some(1), "xfdctl: xfdctl.record: it was cut short: it has no end, and what it has is shown\n")
    );
    assert!(out.starts_with("3 events"), "{out}");
    let (status, out, _) = said(folder.path(), &["report", "--json"]);
    assert!(status == Some(1) && out.lines().next().unwrap().ends_with("\"cut\":true}"), "{out}");
}

#[test]
fn a_file_that_is_not_a_record_is_one_line() {
    let wrong = |text: &str| {
        let (status, out, err) = said(folder(text).path(), &["report"]);
        assert_eq!((status, out.as_str(), err.lines().count()), (Some(3), "", 1), "{err}");
        err
    };
    assert_eq!(wrong("hello\n"), "xfdctl: xfdctl.record: line 1: this is not a record of xfdctl\n");
    assert!(wrong(&[HEADER, "hello\n", END].concat())
        .starts_with("xfdctl: xfdctl.record: line 2: this is not an event: "));
    let (status, _, err) = said(Path::new("/"), &["report", "/no/such/file"]);
    assert_eq!(
        (status, err.as_str()),
        (Some(3), "xfdctl: cannot open /no/such/file: No such file or directory (os error 2)\n")
    );
}

#[test]
fn a_closed_pipe_is_no_error_message() {
    let folder = folder(&[HEADER, &events(20_000), END].concat());
    let mut child = Command::new(env!("CARGO_BIN_EXE_xfdctl"))
        .arg("report")
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn what_tracing_lacks_is_named() {
    let root = tempfile::tempdir().unwrap();
    let at = |command: &str, rest: &[&str]| {
        let args = [&[command, "--root", root.path().to_str().unwrap()], rest].concat();
        said(root.path(), &args)
    };
    let not_loaded = "xfdctl: xfd is not loaded, so there is nothing to trace (modprobe xfd)\n";
    let no_tracefs = "xfdctl: tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing\n";
    for why in [not_loaded, no_tracefs] {
        assert_eq!(at("trace", &[]), (Some(3), String::new(), why.into()));
        assert_eq!(at("record", &[]), (Some(3), String::new(), why.into()));
        // With a program the status is this one, and the program is not run.
        assert_eq!(at("trace", &["--", "touch", "begun"]), (Some(125), String::new(), why.into()));
        fs::create_dir_all(root.path().join("sys/module/xfd")).unwrap();
    }
    fs::create_dir_all(root.path().join("sys/kernel/tracing/instances")).unwrap();
    let (status, _, err) = at("record", &["--", "touch", "begun"]);
    assert_eq!(status, Some(125));
    assert!(err.contains("sys/kernel/tracing/events/xfd is missing"), "{err}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "no record, and no program");
    assert_eq!(at("trace", &["--verdict", "sigfpe"]).0, Some(2));
}
