// SPDX-License-Identifier: GPL-2.0
//! What `xfdctl status`, `top` and `metrics` print, and how they exit.

mod support;

use serde_json::json;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use support::{until, Tree};

const WATCHES: [&[&str]; 3] = [&["status"], &["top"], &["metrics"]];

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn status_as_text() {
    let text = Tree::loaded().text(0, &["status"]);
    has(
        &text,
        &[
            "xfd         0.1.0, on Linux 7.3.4\n",
            "build ID    1234\n",
            "for 16m 30s\n",
            "livepatch   enabled\n",
            "parameters  pool 64, reclaim_ms 1000\n",
            "counters    since the module was loaded; --interval SECONDS adds rates\n",
            "first_uses    90 first uses served",
            "pooled         2 now: buffers kept",
            "news           5 not known to this xfdctl\n",
        ],
    );
    let text = Tree::loaded().text(0, &["status", "--interval", "0.01"]);
    has(
        &text,
        &["loaded; rates are of this interval\n", "COUNT RATE/S", "first_uses    90      0 first uses served"],
    );
    assert!(!text.contains('\u{1b}'), "no colours in a pipe");
}

#[test]
fn status_as_json() {
    let status = Tree::loaded().json(0, &["status", "--json"]);
    assert_eq!(status["version"], "0.1.0");
    assert_eq!(status["build_id"], "1234");
    assert_eq!(status["in_charge_seconds"], 990.0);
    assert_eq!(status["livepatch"], json!({ "enabled": true, "transition": false }));
    assert_eq!(status["parameters"], json!({ "pool": "64", "reclaim_ms": "1000" }));
    assert_eq!(
        (&status["counters"]["first_uses"]["value"], &status["counters"]["news"]["kind"]),
        (&json!(90), &json!("unknown"))
    );
}

#[test]
fn the_kernels_own_code_in_charge() {
    let tree = Tree::loaded();
    tree.write("proc/xfd/counters", "first_uses 9\nin_charge_since_ms 0\n");
    tree.write("sys/kernel/livepatch/xfd/enabled", "0\n");
    has(&tree.text(1, &["status"]), &["in charge   no: the kernel's own code is\n", "disabled"]);
    assert_eq!(tree.json(1, &["status", "--json"])["in_charge"], false);
    has(&tree.text(0, &["top"]), &["not in charge: the kernel's own code is"]);
}

#[test]
fn without_the_module() {
    let tree = Tree::bare();
    for watch in ["status", "top"] {
        let text = tree.text(4, &[watch]);
        has(
            &text,
            &[
                "xfd is not loaded: the kernel's own code handles first uses",
                "load it (modprobe xfd); xfdctl doctor says whether",
            ],
        );
        assert_eq!(text.lines().count(), 1);
        assert_eq!(tree.json(4, &[watch, "--json"])["loaded"], false);
    }
    assert!(tree.text(0, &["metrics"]).ends_with("xfd_up 0\n"));
}

#[test]
fn an_unreadable_file_is_one_line() {
    let broken = Tree::loaded();
    broken.write("proc/xfd/counters", "first_uses many\n");
    let halfway = Tree::loaded();
    std::fs::remove_dir_all(halfway.path().join("proc/xfd")).unwrap();
    for (tree, why) in [(broken, "line 1: \"first_uses many\""), (halfway, "being loaded or removed (try again)")] {
        for watch in WATCHES {
            let output = tree.run(watch);
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0));
            has(&error, &["xfdctl: ", why]);
            assert_eq!(error.lines().count(), 1);
        }
    }
}

/// The code is built into the kernel: there is no module that could be loaded or removed.
#[test]
fn built_into_the_kernel() {
    let tree = Tree::bare();
    tree.write("sys/module/xfd/parameters/enable", "Y\n");
    let file = tree.path().join("xfd.prom");
    let says = |counters: &str| {
        for watch in
            [WATCHES[0], WATCHES[1], WATCHES[2], &["metrics", "--watch", "9", "--output", file.to_str().unwrap()]]
        {
            let output = tree.run(watch);
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(
                (output.status.code(), output.stdout.len(), error.lines().count()),
                (Some(3), 0, 1),
                "{error}"
            );
            has(&error, &["xfdctl: xfd is built into this kernel, ", counters, " /sys/kernel/debug/xfd", "doctor"]);
        }
    };
    says("root may find its counters in");
    std::fs::create_dir_all(tree.path().join("sys/kernel/debug/xfd")).unwrap();
    says("its counters are in");
    assert!(!file.exists());
}

#[test]
fn wrong_use() {
    let tree = Tree::loaded();
    for (wrong, why) in [
        (&["top", "--by", "cgroup", "--sort", "comm"][..], "this table has no such column; it has threads, running"),
        (&["top", "--interval", "0"], "0.01 or more"),
        (&["top", "-n", "0"], "0 is not in"),
        (&["status", "--interval", "nan"], "0.01 or more"),
        (&["metrics", "--watch", "1"], "--output"),
    ] {
        let output = tree.run(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        has(&String::from_utf8(output.stderr).unwrap(), &[why]);
    }
}

#[test]
fn top_by_thread() {
    let text = Tree::loaded().text(0, &["top", "--once"]);
    has(
        &text,
        &[
            "xfd 0.1.0 on Linux 7.3.4, in charge for 16m 30s\n",
            "first uses 90, reclaimed 3, regrown 0, denied 0\n",
            "4 threads: 1 live, 1 idle, 1 reclaimed, 1 permitted; buffers 24.0 KiB, of vCPUs 16.0 KiB\n",
            "\nPID TID STATE     SINCE BUFFER  VCPU COMM      CGROUP\n",
            "\n 70  71 live        3ms  12.0K     - worker 1  /a.slice/b.service\n",
            "\n 70  72 idle         5s  12.0K     - grün      /a.slice/b.service\n",
            "\n 90  91 reclaimed    8m      - 16.0K CPU 0/KVM #1\n",
        ],
    );
    assert!(!text.contains("Only"));
    let sorted = Tree::loaded().text(0, &["top", "--sort", "since"]);
    let first = sorted.lines().skip_while(|line| !line.starts_with("PID")).nth(1).unwrap();
    assert!(first.contains("CPU 0/KVM"), "{sorted}");
}

#[test]
fn top_by_process_and_cgroup() {
    let tree = Tree::loaded();
    has(
        &tree.text(0, &["top", "--by", "process"]),
        &[
            "\nPID THREADS RUNNING LIVE IDLE RECLAIMED SINCE BUFFER  VCPU COMM\n",
            "\n 70       3       0    1    1         0   3ms  24.0K     - infer\n",
        ],
    );
    let cgroups = tree.json(0, &["top", "--by", "cgroup", "--json"]);
    assert_eq!(cgroups["cgroups"][0]["cgroup_path"], "/a.slice/b.service");
    assert_eq!(cgroups["cgroups"][0]["states"], json!({ "permitted": 1, "live": 1, "idle": 1 }));
    let threads = tree.json(0, &["top", "--json"]);
    assert_eq!((&threads["sees"], &threads["counters"]["news"]), (&json!("all"), &json!(5)));
    assert_eq!(threads["threads"].as_array().unwrap().len(), 4);
    assert_eq!(threads["threads"][3]["permitted"], "0x202e7");
}

#[test]
fn an_ordinary_user_is_told_what_is_missing() {
    let tree = Tree::loaded();
    tree.write("proc/self/status", "CapEff:\t0000000000000000\n");
    tree.threads(&[]);
    has(&tree.text(0, &["top"]), &["\n0 threads; buffers 0 B", "\nOnly your own threads are shown"]);
    assert_eq!(tree.json(0, &["top", "--json"])["sees"], "own");
    has(&tree.text(0, &["metrics"]), &["xfd_sees_all_threads 0\n"]);
}

/// The second reading has the rates for the time in between.
#[test]
fn rates_of_an_interval() {
    let tree = Tree::loaded();
    let mut command = tree.command(&["top", "--json", "-n", "100000", "--interval", "0.01"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut look = || serde_json::from_str::<serde_json::Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(look()["rates"]["of_interval"], false);
    assert_eq!(look()["rates"]["per_second"]["first_uses"], 0.0);
    tree.counters(&[("first_uses", 1090), ("reclaimed", 3)]);
    until("a rate", || {
        let rates = &look()["rates"];
        let rate = rates["per_second"]["first_uses"].as_f64().unwrap();
        assert_eq!(rates["of_interval"], true);
        // 1000 in at least the interval.
        assert!((0.0..=100_000.0).contains(&rate), "{rate}");
        rate > 0.0
    });
    // Nobody is reading any more.
    drop(lines);
    child.wait().unwrap();
}

#[test]
fn a_closed_pipe_is_no_error_message() {
    let tree = Tree::loaded();
    for arguments in [&["status"][..], &["status", "--json"], &["top"], &["top", "--json", "-n", "9"], &["metrics"]] {
        let (ours, theirs) = std::io::pipe().unwrap();
        drop(ours);
        let output = tree.command(arguments).stdout(theirs).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
    }
}

#[test]
fn thousands_of_threads() {
    let tree = Tree::loaded();
    let line = |tid| format!("{} {tid} live 0x602e7 0x202e7 12288 0 3 1 t{tid}", tid / 10 * 10);
    tree.threads(&(1000..6000).map(line).collect::<Vec<_>>());
    assert_eq!(tree.json(0, &["top", "--json"])["threads"].as_array().unwrap().len(), 5000);
    let processes = tree.json(0, &["top", "--json", "--by", "process", "--sort", "pid"]);
    assert_eq!(processes["processes"].as_array().unwrap().len(), 500);
    assert_eq!(processes["processes"][7]["threads"], 10);
    has(&tree.text(0, &["metrics"]), &["xfd_buffer_bytes{kind=\"thread\"} 61440000\n"]);
}
