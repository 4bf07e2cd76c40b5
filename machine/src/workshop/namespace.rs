// SPDX-License-Identifier: GPL-2.0
//! Runs commands as root of a private namespace: the only way into the toolchain root.
//!
//! Each command has its own mount namespace, and its processes have a PID namespace that dies with it, so nothing stays
//! behind on the host however the command ends. An ordinary user gets a user namespace in which root is that user.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{bail, Context, Result};

use crate::workshop::child::require;

const ENTER: &str = include_str!("../../steps/enter.sh");

/// A command that runs `program` as root in a namespace of its own, on the host's files.
pub fn namespaced(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--map-root-user", "--map-auto"]);
    }
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]).arg(program);
    command
}

/// Fails, with advice, if namespaces cannot be created.
pub fn check() -> Result<()> {
    let output = match namespaced("/bin/true").stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(e) if e.kind() == ErrorKind::NotFound => return require("unshare"),
        Err(e) => return Err(e).context("cannot run unshare"),
    };
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("no reason given").to_owned();
    if nix::unistd::geteuid().is_root() {
        bail!("cannot create a mount namespace ({why}); this container needs the right to mount");
    }
    require("newuidmap")?;
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    let user = user.map_or_else(|| nix::unistd::getuid().to_string(), |user| user.name);
    let advice = advice(Path::new("/"), &user, nix::unistd::getuid().as_raw());
    bail!("cannot create a user namespace ({why}); {advice}");
}

/// What an ordinary user has to do, judging by the files below `root`.
fn advice(root: &Path, user: &str, uid: u32) -> String {
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap_or_default();
    for (file, off) in [
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
        ("user/max_user_namespaces", "0"),
    ] {
        if read(&format!("proc/sys/{file}")).trim() == off {
            let (name, on) = (file.replace('/', "."), if off == "1" { "0" } else { "1" });
            let on = if file.starts_with("user/") { "10000" } else { on };
            return format!("allow them: sysctl -w {name}={on} as root; or run as root");
        }
    }
    let has_range = |file: &str| {
        read(file).lines().any(|line| {
            let mut fields = line.split(':');
            let who = fields.next().unwrap_or_default();
            (who == user || who == uid.to_string()) && fields.count() == 2
        })
    };
    if !has_range("etc/subuid") || !has_range("etc/subgid") {
        return format!(
            "give {user} a range in /etc/subuid and /etc/subgid: as root \
             usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}; or run as root"
        );
    }
    "allow unprivileged user namespaces, or run as root".into()
}

/// Builds a command that runs inside a root.
pub struct Inside {
    root: PathBuf,
    binds: Vec<(&'static str, PathBuf, String)>,
    dir: String,
}

impl Inside {
    /// No bind mounts, working directory `/`.
    pub fn new(root: &Path) -> Inside {
        Inside { root: root.to_path_buf(), binds: Vec::new(), dir: "/".into() }
    }

    /// Shows `host` at the path `inside`, read-only.
    pub fn read(mut self, host: &Path, inside: &str) -> Inside {
        self.binds.push(("ro", host.to_path_buf(), inside.into()));
        self
    }

    /// Shows `host` at the path `inside`, writable.
    pub fn write(mut self, host: &Path, inside: &str) -> Inside {
        self.binds.push(("rw", host.to_path_buf(), inside.into()));
        self
    }

    /// Sets the working directory.
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

    /// The command that runs a bash script with arguments `$1`, `$2`, …; it stops at the first error, also within a
    /// pipe.
    pub fn script(self, text: &str, args: &[&str]) -> Command {
        let mut command = self.command("/bin/bash");
        command.args(["-euo", "pipefail", "-c", text, "step"]).args(args);
        command
    }
}

/// Removes a folder with everything in it, including files of users that exist only in our namespaces. A missing folder
/// is a success.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_user_is_told_what_is_missing() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let said = || advice(root.path(), "ann", 1000);
        assert!(said().contains("usermod --add-subuids 100000-165535"), "{}", said());
        write("etc/subuid", "ben:100000:65536\nann:165536:65536\n");
        assert!(said().contains("/etc/subgid"), "{}", said());
        write("etc/subgid", "1000:165536:65536\n");
        assert!(said().starts_with("allow unprivileged"), "{}", said());
        write("proc/sys/user/max_user_namespaces", "0\n");
        assert!(said().contains("sysctl -w user.max_user_namespaces=10000"), "{}", said());
        write("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
        assert!(said().contains("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"), "{}", said());
        write("proc/sys/kernel/unprivileged_userns_clone", "0\n");
        assert!(said().contains("sysctl -w kernel.unprivileged_userns_clone=1"), "{}", said());
    }
}
