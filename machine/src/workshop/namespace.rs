// SPDX-License-Identifier: GPL-2.0
//! Running as root of a private namespace: the one way into the toolchain root.
//!
//! Mounts are made in a mount namespace of the command's own, and its processes in a PID namespace that
//! dies with it, so nothing stays on the host however the command ends. An ordinary user gets a user
//! namespace in which root is that user.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{bail, Context, Result};

const ENTER: &str = include_str!("../../steps/enter.sh");

/// A program with its arguments, as root in a namespace of its own, on the host's files.
pub fn namespaced(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--map-root-user", "--map-auto"]);
    }
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]).arg(program);
    command
}

/// Fails with what to do if namespaces cannot be had.
pub fn check() -> Result<()> {
    let output = match namespaced("/bin/true").stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(e) if e.kind() == ErrorKind::NotFound => bail!("the program unshare is missing; install util-linux"),
        Err(e) => return Err(e).context("cannot run unshare"),
    };
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("no reason given").to_owned();
    if nix::unistd::geteuid().is_root() {
        bail!("cannot create a mount namespace ({why}); give this container the right to mount");
    }
    bail!(
        "cannot create a user namespace ({why}); install uidmap, give this user a range in /etc/subuid and \
         /etc/subgid, allow unprivileged user namespaces, or run as root"
    );
}

/// A command inside a root, in the making.
pub struct Inside {
    root: PathBuf,
    binds: Vec<(&'static str, PathBuf, String)>,
    dir: String,
}

impl Inside {
    /// Nothing bound, working directory `/`.
    pub fn new(root: &Path) -> Inside {
        Inside { root: root.to_path_buf(), binds: Vec::new(), dir: "/".into() }
    }

    /// Shows `host` at the path `inside` for reading.
    pub fn read(mut self, host: &Path, inside: &str) -> Inside {
        self.binds.push(("ro", host.to_path_buf(), inside.into()));
        self
    }

    /// Shows `host` at the path `inside` for reading and writing.
    pub fn write(mut self, host: &Path, inside: &str) -> Inside {
        self.binds.push(("rw", host.to_path_buf(), inside.into()));
        self
    }

    /// The working directory.
    pub fn dir(mut self, inside: &str) -> Inside {
        self.dir = inside.into();
        self
    }

    /// The command that runs `program`; its arguments can be added as usual.
    pub fn command(self, program: &str) -> Command {
        let mut command = namespaced("/bin/sh");
        command.args(["-c", ENTER, "enter"]).arg(&self.root).arg(&self.dir);
        for (mode, host, inside) in &self.binds {
            command.arg(mode).arg(host).arg(inside);
        }
        command.arg("--").arg(program).stdin(Stdio::null()).env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs([("HOME", "/root"), ("LC_ALL", "C.UTF-8"), ("DEBIAN_FRONTEND", "noninteractive")]);
        for name in ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "TERM"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// The command that runs a bash script with arguments `$1`, `$2`, …; it stops at the first error, also in a pipe.
    pub fn script(self, text: &str, args: &[&str]) -> Command {
        let mut command = self.command("/bin/bash");
        command.args(["-euo", "pipefail", "-c", text, "step"]).args(args);
        command
    }
}

/// Removes a folder with all in it, also files of users that exist only in our namespaces. Not being
/// there is success.
pub fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound && !path.exists() => Ok(()),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            let done = namespaced("rm").args(["-rf", "--one-file-system", "--"]).arg(path).status();
            if done.map(|status| status.success()).unwrap_or(false) {
                return Ok(());
            }
            Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        Err(e) => Err(e).with_context(|| format!("cannot remove {}", path.display())),
    }
}
