// SPDX-License-Identifier: GPL-2.0
//! `machine host`: builds the module for this host's kernel or another release, and can load it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{bail, Result};

use crate::boot::machine::quote;
use crate::boot::verdict;
use crate::piece::kernel::{self};
use crate::piece::project::Project;
use crate::piece::release::{build, prepare, signer};
use crate::workshop::child::spawn;
use crate::workshop::progress::note;

/// Builds the module for `release`, or for the running kernel, and prints the command that loads it; with `load`, loads
/// it. The emulator is not needed for this.
///
/// # Errors
///
/// No archive of the recipe has the release; its compilers differ from the kernel's; the kernel has no Rust; the key
/// cannot sign; no network; no space. For loading also: no root and no sudo; the release is not the running one; the
/// module relies on functions of this kernel that nobody has reviewed (unless `unread`); insmod fails.
pub fn host(project: &Project, release: Option<&str>, load: bool, unread: bool) -> Result<u8> {
    project.refuse_kernel("host")?;
    let running = self::release(None)?;
    let release = release.unwrap_or(&running);
    let signer = signer()?;
    if load && release != running {
        bail!("cannot load a module for {release}: this host runs {running}");
    }
    if load {
        may_load(&project.dir)?;
    }
    let kernel = prepare(project, release)?;
    if !is_read(project, &kernel)? && load && !unread {
        bail!(
            "not loaded: the module relies on functions of {release} that nobody has reviewed, see above; load it \
                         anyway with `machine host --load --unread`"
        );
    }
    let ko = build(project, &kernel, "host", signer.as_ref())?;
    if signer.is_none() && is_locked_down() {
        note(
            "this host loads only signed modules: set XFD_SIGN_KEY and XFD_SIGN_CERT to a key that it trusts (mokutil \
                         --import enrolls one)",
        );
    }
    let root = nix::unistd::geteuid().is_root();
    let loader = project.dir.join("packaging/xfd-module");
    let words = [OsStr::new("sudo"), loader.as_os_str(), OsStr::new("load"), ko.as_os_str()];
    let words = &words[usize::from(root)..];
    if load {
        let loaded = spawn(Command::new(words[0]).args(&words[1..]))?.wait()?.success();
        return Ok(if loaded { verdict::PASS } else { verdict::FAIL });
    }
    println!("{}", command_line(words));
    Ok(verdict::PASS)
}

/// A command that can be pasted into a shell. Words are only quoted if they need it.
fn command_line(words: &[&OsStr]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    let word = |word: &&OsStr| {
        let text = word.to_string_lossy();
        if text.chars().all(plain) {
            text.into_owned()
        } else {
            quote(&text)
        }
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The release that was asked for, or that of the running kernel.
pub fn release(asked: Option<&str>) -> Result<String> {
    Ok(match asked {
        Some(release) => release.to_owned(),
        None => nix::sys::utsname::uname()?.release().to_string_lossy().into_owned(),
    })
}

/// Checks that this user can load the module. Root must own the checkout: the build would leave files of root in
/// another user's folder, who could then no longer build there.
fn may_load(project: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata(project)?.uid();
    let me = nix::unistd::geteuid();
    anyhow::ensure!(
        !me.is_root() || owner == 0,
        "{} does not belong to root: run this as its owner, who uses sudo to load the module",
        project.display()
    );
    anyhow::ensure!(
        me.is_root() || Command::new("sudo").arg("-V").output().is_ok_and(|output| output.status.success()),
        "loading a module needs root, and there is no sudo here: run this as root"
    );
    Ok(())
}

/// Whether everything in this kernel that the module relies on was reviewed, and its series is in the recipe; prints
/// what is missing.
fn is_read(project: &Project, kernel: &kernel::Kernel) -> Result<bool> {
    let unread = project.relied_on(kernel)?;
    for remark in &unread.remarks {
        note(remark);
    }
    let series = kernel::series(kernel.release());
    let known = project.recipe.kernel.iter().any(|known| known.series == series);
    if !known {
        note(&format!("the module was never tested on kernel {series}"));
    }
    Ok(known && unread.failed == 0)
}

/// Whether this host's kernel refuses unsigned modules: lockdown, or module.sig_enforce.
fn is_locked_down() -> bool {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let lockdown = text("/sys/kernel/security/lockdown");
    let locked = !lockdown.is_empty() && !lockdown.contains("[none]");
    locked || text("/sys/module/module/parameters/sig_enforce").trim() == "Y"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_gets_the_printed_words() {
        let words = ["printf", "%s|", "/a b/$HOME/x.ko", "it's `x`", "plain/a-1_+.ko"].map(OsStr::new);
        let line = command_line(&words);
        assert!(line.ends_with(" plain/a-1_+.ko"), "{line}");
        let output = Command::new("sh").arg("-c").arg(&line).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "/a b/$HOME/x.ko|it's `x`|plain/a-1_+.ko|");
    }
}
