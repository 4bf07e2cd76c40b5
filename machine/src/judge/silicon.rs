// SPDX-License-Identifier: GPL-2.0
//! Runs the suites on the host's own processor, if it has AMX and its kernel lets programs use it: the same programs as
//! in the machine. Nothing depends on this.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::judge::rows::{self, Rows};
use crate::judge::scenario::{Suite, Test};
use crate::piece::programs::Programs;
use crate::workshop::cache::Cache;
use crate::workshop::child::spawn;
use crate::workshop::count::Count;
use crate::workshop::progress::Step;

/// uapi/asm/prctl.h
const ARCH_GET_XCOMP_SUPP: nix::libc::c_int = 0x1021;
const TILE_DATA: u64 = 1 << 18;
/// The time limit for one program, in seconds.
const LIMIT: &str = "600";

/// The results on the host's processor.
#[derive(Default)]
pub struct Host {
    pub count: Count,
    /// Program -> rows; empty without AMX.
    pub rows: BTreeMap<String, Rows>,
}

/// Runs the suites' tests that can run on any machine; without usable AMX this counts as one skipped test.
pub fn run(cache: &Cache, programs: &Programs, suites: &[&Suite]) -> Result<Host> {
    let mut host = Host::default();
    if !has_amx() {
        host.count.skip("no AMX that this host's kernel lets programs use");
        return Ok(host);
    }
    let step = Step::start("host", "running the suites on this processor");
    // Programs look for each other in their own folder.
    let scratch = cache.scratch("host")?;
    for name in programs.for_tests(&[]) {
        if let Some(path) = programs.get(name) {
            std::fs::copy(path, scratch.path().join(name)).with_context(|| format!("cannot copy {name}"))?;
        }
    }
    for test in suites.iter().flat_map(|suite| &suite.tests).filter(|test| !test.guest_only) {
        step.now(&test.name);
        let path = scratch.path().join(&test.name);
        if path.exists() {
            host.take(test, &path)?;
        }
    }
    Ok(host)
}

impl Host {
    /// Runs and counts one program. If it skips all its tests it adds no rows.
    fn take(&mut self, test: &Test, path: &Path) -> Result<()> {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", LIMIT]).arg(path).current_dir(path.parent().unwrap_or(Path::new("/")));
        command.env_remove("XFD_MODULE").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let output = spawn(&mut command)?.wait_with_output()?;
        // Count death by a signal as a failure.
        let status = Some(output.status.code().unwrap_or(1));
        let text = String::from_utf8_lossy(&output.stdout);
        self.count.add(test.style.count(&test.name, &text, status));
        let rows = rows::of(test.style, &text, status);
        if !rows.iter().any(|(name, _)| name == rows::ALL) {
            self.rows.insert(test.name.clone(), rows);
        }
        Ok(())
    }
}

/// Whether the kernel supports tile data on this processor, which implies XFD.
pub fn has_amx() -> bool {
    let mut supported = 0u64;
    // SAFETY: ARCH_GET_XCOMP_SUPP writes one u64 to the address that it is given, and nothing else.
    let failed = unsafe { nix::libc::syscall(nix::libc::SYS_arch_prctl, ARCH_GET_XCOMP_SUPP, &raw mut supported) };
    failed == 0 && supported & TILE_DATA != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::style::Style;
    use std::os::unix::fs::PermissionsExt;

    fn outcome(script: &str) -> ((usize, usize, usize), usize) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut host = Host::default();
        let test = Test { name: "program".into(), style: Style::Ktap, guest_only: false };
        host.take(&test, &path).unwrap();
        let Count { passed, failed, skipped, .. } = host.count;
        ((passed, failed, skipped), host.rows.get("program").map_or(0, Vec::len))
    }

    #[test]
    fn without_amx_it_is_skipped_and_with_it_counted() {
        assert_eq!(outcome("echo '1..0 # SKIP no AMX'; exit 4"), ((0, 0, 1), 0));
        assert_eq!(outcome("echo 1..2; echo ok 1 a; echo ok 2 b; echo '# answer x 1'"), ((2, 0, 0), 3));
        assert_eq!(outcome("echo 1..2; echo ok 1 a; echo not ok 2 b; exit 1"), ((1, 1, 0), 2));
        let ((_, failed, _), _) = outcome("echo 1..1; echo ok 1 a; kill -SEGV $$");
        assert!(failed > 0);
    }
}
