// SPDX-License-Identifier: GPL-2.0
//! A folder with the files that the kernel and the module export, and an xfdctl that reads them.
#![expect(dead_code, reason = "no test uses all of it")]

pub mod terminal;

use std::fs;
use std::os::unix::fs::{symlink, MetadataExt};
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

pub const COLUMNS: &str = "pid tid state permitted guest_permitted bytes guest_bytes since_ms cgroup comm";

pub struct Tree(TempDir);

impl Tree {
    /// The files of a kernel without the module.
    pub fn bare() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        tree.write("proc/sys/kernel/osrelease", "7.3.4\n");
        tree.write("proc/uptime", "1000.00 5.00\n");
        tree.write("proc/self/status", "Name:\txfdctl\nCapEff:\t000001ffffffffff\n");
        fs::create_dir(tree.path().join("proc/self/ns")).unwrap();
        symlink("user:[4026531837]", tree.path().join("proc/self/ns/user")).unwrap();
        symlink("pid:[4026531836]", tree.path().join("proc/self/ns/pid")).unwrap();
        tree.write("sys/fs/cgroup/cgroup.procs", "");
        tree.write("sys/fs/cgroup/a.slice/b.service/cgroup.procs", "");
        tree
    }

    /// The same with the module, and four threads.
    pub fn loaded() -> Self {
        let tree = Self::bare();
        tree.write("sys/module/xfd/version", "0.1.0\n");
        tree.write("sys/module/xfd/notes/.note.gnu.build-id", "\x04\0\0\0\x02\0\0\0\x03\0\0\0GNU\0\x12\x34");
        tree.write("sys/module/xfd/parameters/reclaim_ms", "1000\n");
        tree.write("sys/module/xfd/parameters/pool", "64\n");
        tree.write("sys/kernel/livepatch/xfd/enabled", "1\n");
        tree.write("sys/kernel/livepatch/xfd/transition", "0\n");
        tree.counters(&[("first_uses", 90), ("reclaimed", 3), ("denied", 0), ("pooled", 2), ("news", 5)]);
        let cgroup = tree.cgroup("a.slice/b.service");
        tree.threads(&[
            format!("70 70 permitted 0x602e7 0x202e7 0 0 12 {cgroup} infer"),
            format!("70 71 live 0x602e7 0x202e7 12288 0 3 {cgroup} worker 1"),
            format!("70 72 idle 0x602e7 0x202e7 12288 0 5300 {cgroup} gr\\303\\274n"),
            "90 91 reclaimed 0x202e7 0x602e7 0 16384 535300 1 CPU 0/KVM".into(),
        ]);
        tree
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Atomically, as the kernel's files change.
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// Writes the counters of a module that took over 10 s after boot.
    pub fn counters(&self, numbers: &[(&str, i64)]) {
        let lines: Vec<_> = numbers.iter().map(|(name, value)| format!("{name} {value}")).collect();
        self.write("proc/xfd/counters", &format!("{}\nin_charge_since_ms 10000\n", lines.join("\n")));
    }

    pub fn threads(&self, lines: &[String]) {
        self.write("proc/xfd/tasks", &format!("{COLUMNS}\n{}\n", lines.join("\n")).replace("\n\n", "\n"));
    }

    pub fn cgroup(&self, folder: &str) -> u64 {
        fs::metadata(self.path().join("sys/fs/cgroup").join(folder)).unwrap().ino()
    }

    /// Removes the module.
    pub fn unload(&self) {
        fs::remove_dir_all(self.path().join("sys/module/xfd")).unwrap();
        fs::remove_dir_all(self.path().join("proc/xfd")).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xfdctl"));
        command.args(arguments).arg("--root").arg(self.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it prints. It must exit with this status and print no errors.
    #[track_caller]
    pub fn text(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.as_str()), (Some(status), ""), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    pub fn json(&self, status: i32, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.text(status, arguments)).unwrap()
    }
}

/// Waits until `is_so`.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !is_so() {
        assert!(begin.elapsed().as_secs() < 60, "waited in vain for: {what}");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
