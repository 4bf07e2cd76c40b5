// SPDX-License-Identifier: GPL-2.0
//! Sub-commands: none outlives the runner, and their whole output is kept in a log.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{anyhow, bail, Context, Result};

/// Starts `command` so that the kernel kills it when the thread that called this ends.
pub fn spawn(command: &mut Command) -> Result<Child> {
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec the closure only makes the system calls prctl and getppid, which are
    // async-signal-safe; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            nix::libc::prctl(nix::libc::PR_SET_PDEATHSIG, nix::libc::SIGKILL);
            if nix::unistd::getppid() != parent {
                return Err(ErrorKind::Interrupted.into());
            }
            Ok(())
        });
    }
    let program = command.get_program().to_string_lossy().into_owned();
    match command.spawn() {
        Ok(child) => Ok(child),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            bail!("the program {program} is missing; {}", package_of(&program))
        }
        Err(e) => Err(e).with_context(|| format!("cannot start {program}")),
    }
}

/// Which Debian package has a host program.
fn package_of(program: &str) -> String {
    let package = match program {
        "unshare" => "util-linux",
        other => other,
    };
    format!("install it: apt-get install {package}")
}

/// Fails with the package to install if a host program is not in the path.
pub fn require(program: &str) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|dir| dir.join(program).is_file()) {
        return Ok(());
    }
    bail!("the program {program} is missing; {}", package_of(program))
}

/// The log of one step: every command's line and output.
pub struct Log {
    path: PathBuf,
}

impl Log {
    /// Starts an empty log.
    pub fn create(path: PathBuf) -> Result<Log> {
        File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Log { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `command` to its end with stdout and stderr in the log.
    ///
    /// # Errors
    ///
    /// It cannot be started, or its status is not 0: then one line with `what`, the likely reason and
    /// the log's path.
    pub fn run(&self, what: &str, command: &mut Command) -> Result<()> {
        let log = self.append()?;
        let start = log.metadata()?.len();
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let status = spawn(command)?.wait()?;
        if status.success() {
            return Ok(());
        }
        Err(self.failure(what, &status.to_string(), start))
    }

    /// Like [`Log::run`], with stdout returned; stderr goes to the log.
    pub fn output(&self, what: &str, command: &mut Command) -> Result<String> {
        let log = self.append()?;
        let start = log.metadata()?.len();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let Output { status, stdout, .. } = spawn(command)?.wait_with_output()?;
        if status.success() {
            return Ok(String::from_utf8_lossy(&stdout).into_owned());
        }
        Err(self.failure(what, &status.to_string(), start))
    }

    fn append(&self) -> Result<File> {
        let open = OpenOptions::new().append(true).open(&self.path);
        open.with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn failure(&self, what: &str, status: &str, start: u64) -> anyhow::Error {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(&self.path) {
            let _ = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_to_end(&mut text));
        }
        let reason = reason(&String::from_utf8_lossy(&text)).unwrap_or_else(|| status.to_owned());
        anyhow!("{what} failed: {reason}; full log: {}", self.path.display())
    }
}

/// The likely reason of a failure, from what the failed command printed.
pub fn reason(text: &str) -> Option<String> {
    let network = [
        "Could not resolve",
        "Temporary failure resolving",
        "Unable to connect",
        "Could not connect",
        "Failed to fetch",
        "Network is unreachable",
        "Could not handshake",
    ];
    let last = |patterns: &[&str]| {
        text.lines().rev().find(|line| patterns.iter().any(|p| line.contains(p))).map(|line| line.trim().to_owned())
    };
    if last(&["No space left on device", "enough free space"]).is_some() {
        return Some("no space left on the device; free some, or set XFD_CACHE to a folder elsewhere".into());
    }
    if let Some(line) = last(&network) {
        return Some(format!("the Debian archive cannot be reached ({line}); check the network, or set XFD_MIRROR"));
    }
    if let Some(line) = last(&["is expired (invalid since"]) {
        let line = line.trim_start_matches("E: ");
        return Some(format!("{line} Set XFD_EXPIRED=1 if that is a snapshot, or a mirror that stands still"));
    }
    last(&["rror:", "rror ", "E: ", "FAILED", "atal"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> (tempfile::TempDir, Log) {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::create(dir.path().join("step.log")).unwrap();
        (dir, log)
    }

    #[test]
    fn a_failure_names_reason_and_log() {
        let (_dir, log) = log();
        let mut command = Command::new("sh");
        let e = log.run("the step", command.args(["-c", "echo 'x.c:1: error: bad'; exit 3"])).unwrap_err();
        let text = e.to_string();
        assert!(text.starts_with("the step failed: x.c:1: error: bad"), "{text}");
        assert!(text.ends_with("step.log") && !text.contains('\n'), "{text}");
    }

    #[test]
    fn only_the_failed_command_is_searched() {
        let (_dir, log) = log();
        log.run("one", Command::new("sh").args(["-c", "echo 'error: harmless'"])).unwrap();
        let e = log.run("two", Command::new("sh").args(["-c", "exit 4"])).unwrap_err();
        assert!(e.to_string().contains("exit status: 4"), "{e}");
    }

    #[test]
    fn network_and_space_are_recognised() {
        let network = reason("Err:1 Temporary failure resolving 'x'\nE: Some index files failed").unwrap();
        assert!(network.starts_with("the Debian archive cannot be reached"), "{network}");
        let space = reason("tar: x: Cannot write: No space left on device\nError 2").unwrap();
        assert!(space.starts_with("no space left"), "{space}");
        let apt =
            reason("E: You don't have enough free space in /x/archives/.\nI: more\nE: mmdebstrap failed").unwrap();
        assert!(apt.starts_with("no space left"), "{apt}");
        let expired = reason("E: Release file for http://x is expired (invalid since 20d).\nE: it failed").unwrap();
        assert!(expired.starts_with("Release file") && expired.contains("XFD_EXPIRED"), "{expired}");
        assert_eq!(reason("all is well"), None);
    }

    #[test]
    fn a_missing_program_is_named() {
        let e = spawn(&mut Command::new("no-such-program-xfd")).unwrap_err();
        assert!(e.to_string().contains("no-such-program-xfd is missing"), "{e}");
        assert!(require("no-such-program-xfd").is_err());
        assert!(require("sh").is_ok());
    }

    #[test]
    fn output_is_returned_and_stderr_logged() {
        let (_dir, log) = log();
        let out = log.output("it", Command::new("sh").args(["-c", "echo out; echo err >&2"])).unwrap();
        assert_eq!(out, "out\n");
        assert_eq!(std::fs::read_to_string(log.path()).unwrap(), "err\n");
    }
}
