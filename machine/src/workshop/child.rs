// SPDX-License-Identifier: GPL-2.0
//! Runs child processes: none outlives the runner, and their complete output is kept in a log.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{anyhow, bail, Context, Result};
use nix::errno::Errno;
use nix::sys::statvfs::statvfs;

/// Starts `command`. The kernel kills it when the calling thread ends.
pub fn spawn(command: &mut Command) -> Result<Child> {
    let parent = nix::unistd::getpid();
    // SAFETY: Between fork and exec the closure only makes the system calls prctl and getppid, which are
    // async-signal-safe. It allocates nothing and takes no lock.
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
        Err(e) if e.kind() == ErrorKind::NotFound && !program.contains('/') => missing(&program),
        Err(e) => Err(e).with_context(|| format!("cannot start {program}")),
    }
}

/// Fails with the Debian package that has the missing host program.
fn missing<T>(program: &str) -> Result<T> {
    let package = match program {
        "unshare" => "util-linux",
        "newuidmap" | "newgidmap" => "uidmap",
        "cc" => "gcc libc6-dev",
        "cargo" | "rustc" => "cargo (Rust 1.85 or later; elsewhere: rustup)",
        other => other,
    };
    bail!("the program {program} is missing; install it with apt-get install {package}")
}

/// Whether a host program is in PATH.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_executable =
        |path: &Path| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&path).any(|dir| is_executable(&dir.join(program)))
}

/// Fails with the package to install if a host program is not in PATH.
pub fn require(program: &str) -> Result<()> {
    if has(program) {
        return Ok(());
    }
    missing(program)
}

/// What to do on a full disk.
pub const NO_SPACE: &str =
    "free some (machine clean --list shows what can be removed), or set XFD_CACHE to a folder elsewhere";

/// Whether an error means that the disk is full.
pub fn is_full(error: &anyhow::Error) -> bool {
    let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| full.contains(&e.kind()))
            || cause.downcast_ref::<Errno>().is_some_and(|e| [Errno::ENOSPC, Errno::EDQUOT].contains(e))
    })
}

/// How many bytes this user can still write to the disk of a folder.
pub fn left(folder: &Path) -> Result<u64> {
    let disk = statvfs(folder).with_context(|| format!("cannot get the free space of {}", folder.display()))?;
    // Some file systems do not count files, and say 0 for both.
    let no_file = disk.files() > 0 && disk.files_available() == 0;
    Ok(if no_file { 0 } else { disk.blocks_available() * disk.fragment_size() })
}

/// The log of one step, with the output of each command.
pub struct Log {
    path: PathBuf,
}

impl Log {
    /// Starts an empty log.
    pub fn create(path: PathBuf) -> Result<Log> {
        File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Log { path })
    }

    /// The log's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `command` to its end with stdout and stderr in the log.
    ///
    /// # Errors
    ///
    /// It cannot be started, or its status is not 0. In that case the error is one line with `what`, the likely reason
    /// and the log's path.
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
        // There may not have been space for the message in the log itself.
        let full = left(&self.path).is_ok_and(|left| left < ALMOST_FULL);
        let reason = match full {
            true => Some(no_space()),
            false => reason(&String::from_utf8_lossy(&text)),
        };
        let reason = reason.unwrap_or_else(|| status.to_owned());
        anyhow!("{what} failed: {reason}; full log: {}", self.path.display())
    }
}

/// A disk with less space than this is full: a program that writes in blocks fails before nothing is left.
const ALMOST_FULL: u64 = 256 << 10;

fn no_space() -> String {
    format!("no space left on the device; {NO_SPACE}")
}

/// The likely reason for a failure, from what the failed command printed.
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
    if last(&["No space left on device", "enough free space", "exceeds free space on media", "Disk quota exceeded"])
        .is_some()
    {
        return Some(no_space());
    }
    if last(&["linker `cc` not found", "failed to find tool \"cc\""]).is_some() {
        return Some(
            "there is no C compiler, which Rust needs for linking; install one with apt-get install gcc libc6-dev"
                .into(),
        );
    }
    if let Some(line) =
        last(&["cannot find -l", "unable to find library -l", "cannot find crt1.o", "cannot open crt1.o"])
    {
        return Some(format!(
            "this host has no static C library ({line}); install it with apt-get install libc6-dev"
        ));
    }
    if let Some(line) = last(&[": command not found"]) {
        return Some(format!(
            "{line}: the toolchain root is incomplete; remove it with machine clean toolchain, and it is built again"
        ));
    }
    if let Some(line) = last(&network) {
        return Some(format!("the Debian archive cannot be reached ({line}); check the network, or set XFD_MIRROR"));
    }
    if let Some(line) = last(&["is expired (invalid since"]) {
        let line = line.trim_start_matches("E: ");
        return Some(format!(
            "{line} Set XFD_EXPIRED=1 if this is a snapshot, or a mirror that is no longer updated"
        ));
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
    fn missing_network_and_space_are_recognised() {
        let network = reason("Err:1 Temporary failure resolving 'x'\nE: Some index files failed").unwrap();
        assert!(network.starts_with("the Debian archive cannot be reached"), "{network}");
        let space = reason("tar: x: Cannot write: No space left on device\nError 2").unwrap();
        assert!(space.starts_with("no space left"), "{space}");
        let apt =
            reason("E: You don't have enough free space in /x/archives/.\nI: more\nE: mmdebstrap failed").unwrap();
        assert!(apt.starts_with("no space left"), "{apt}");
        let iso =
            reason("xorriso : FAILURE : Image size 11550s exceeds free space on media 1408s\nerror: x").unwrap();
        assert!(iso.starts_with("no space left"), "{iso}");
        let expired = reason("E: Release file for http://x is expired (invalid since 20d).\nE: it failed").unwrap();
        assert!(expired.starts_with("Release file") && expired.contains("XFD_EXPIRED"), "{expired}");
        assert_eq!(reason("all is well"), None);
    }

    #[test]
    fn missing_packages_are_named() {
        let cc = reason("error: linker `cc` not found\n  = note: No such file\nerror: could not compile").unwrap();
        assert!(cc.contains("apt-get install gcc libc6-dev"), "{cc}");
        let libc = reason("  /usr/bin/ld: cannot find -lc: No such file\nerror: linking failed").unwrap();
        assert!(libc.contains("apt-get install libc6-dev"), "{libc}");
        let grub = reason("step: line 4: grub-mkrescue: command not found\n").unwrap();
        assert!(grub.contains("machine clean toolchain"), "{grub}");
        for (program, package) in [("newuidmap", "uidmap"), ("unshare", "util-linux"), ("mmdebstrap", "mmdebstrap")] {
            let text = missing::<()>(program).unwrap_err().to_string();
            assert!(text.ends_with(&format!("apt-get install {package}")), "{text}");
        }
        let e = spawn(&mut Command::new("/no/such/folder/program")).unwrap_err().to_string();
        assert!(!e.contains("apt-get"), "{e}");
    }

    #[test]
    fn a_full_disk_is_recognised_by_its_error() {
        let full = anyhow::Error::new(std::io::Error::from_raw_os_error(28)).context("cannot write x");
        assert!(is_full(&full) && is_full(&anyhow::Error::new(Errno::EDQUOT)));
        assert!(!is_full(&anyhow!("cannot write x")) && !is_full(&anyhow::Error::new(Errno::EIO)));
        let mut file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert!(is_full(&std::io::Write::write_all(&mut file, b"x").unwrap_err().into()));
        assert!(left(Path::new("/")).is_ok());
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
