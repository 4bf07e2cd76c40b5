// SPDX-License-Identifier: GPL-2.0
//! The test of the architecture on the host's own processor, where that has AMX: the same program and the
//! same recorded answers as in the machine, on silicon.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::ktap::{self, Count};

/// The program, by its name in `/tests`.
pub const PROGRAM: &str = "xarch";

/// Runs `program` on the host and counts its answers; without usable AMX it says so and is skipped.
pub fn run(program: &Path) -> Result<Count> {
    let output = Command::new(program)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    // A signal ends it like a failure would.
    let status = output.status.code().unwrap_or(1);
    Ok(ktap::count(PROGRAM, &String::from_utf8_lossy(&output.stdout), Some(status)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn outcome(script: &str) -> (usize, usize, usize) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let Count { passed, failed, skipped, .. } = run(&path).unwrap();
        (passed, failed, skipped)
    }

    #[test]
    fn without_amx_it_is_skipped_and_with_it_counted() {
        assert_eq!(outcome("echo '1..0 # SKIP no AMX'; exit 4"), (0, 0, 1));
        assert_eq!(outcome("echo 1..2; echo ok 1 a; echo ok 2 b"), (2, 0, 0));
        assert_eq!(outcome("echo 1..2; echo ok 1 a; echo not ok 2 b; exit 1"), (1, 1, 0));
        let (_, failed, _) = outcome("echo 1..1; echo ok 1 a; kill -SEGV $$");
        assert!(failed > 0);
    }
}
