// SPDX-License-Identifier: GPL-2.0
//! `machine host`: builds the module for the kernel that runs on this host, or for another release.

use std::path::Path;
use std::process::Command;

use anyhow::{bail, Result};

use crate::boot::verdict;
use crate::piece::kernel::{self};
use crate::piece::project::Project;
use crate::piece::release::{build, prepare, signer};
use crate::workshop::child::spawn;
use crate::workshop::progress::note;

/// Builds the module for `release`, or for the kernel that runs; says the line that loads it, or does that with `load`.
/// Nothing of the emulator is made.
///
/// # Errors
///
/// No archive of the recipe's has the release; a compiler is not the kernel's; it has no Rust; the key does not sign;
/// no
/// network; no space. To load: neither root nor sudo, another release than runs, a kernel of which the module stands
/// on what
/// nobody has read (unless `unread`), and whatever insmod says.
pub fn host(project: &Project, release: Option<&str>, load: bool, unread: bool) -> Result<u8> {
    project.refuse_kernel("host")?;
    let running = self::release(None)?;
    let release = release.unwrap_or(&running);
    let signer = signer()?;
    if load && release != running {
        bail!("{running} runs here: a module for {release} cannot be loaded");
    }
    if load {
        may_load(&project.dir)?;
    }
    let kernel = prepare(project, release)?;
    if !is_read(project, &kernel)? && load && !unread {
        bail!(
            "{release} differs where the module stands on the kernel, see above: it is not loaded without \
             `machine host --load --unread`"
        );
    }
    let ko = build(project, &kernel, "host", signer.as_ref())?;
    if signer.is_none() && is_locked_down() {
        note(
            "this host loads signed modules only: name a key that it trusts by XFD_SIGN_KEY and XFD_SIGN_CERT (mokutil \
             --import enrolls one)",
        );
    }
    let root = nix::unistd::geteuid().is_root();
    if load {
        let mut make = Command::new(if root { "make" } else { "sudo" });
        if !root {
            make.arg("make");
        }
        make.arg("-C").arg(&project.dir).args(["--no-print-directory", "load"]).arg(format!("KO={}", ko.display()));
        let loaded = spawn(&mut make)?.wait()?.success();
        return Ok(if loaded { verdict::PASS } else { verdict::FAIL });
    }
    println!("{}make load KO={}", if root { "" } else { "sudo " }, ko.display());
    Ok(verdict::PASS)
}

/// The one that was asked for, or that of the kernel that runs.
pub fn release(asked: Option<&str>) -> Result<String> {
    Ok(match asked {
        Some(release) => release.to_owned(),
        None => nix::sys::utsname::uname()?.release().to_string_lossy().into_owned(),
    })
}

/// Root must not leave its own files in another user's folder, who could then no longer build there.
fn may_load(project: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata(project)?.uid();
    let me = nix::unistd::geteuid();
    anyhow::ensure!(
        !me.is_root() || owner == 0,
        "{} is not root's: run this as its owner, sudo is asked to load the module",
        project.display()
    );
    anyhow::ensure!(
        me.is_root() || Command::new("sudo").arg("-V").output().is_ok_and(|output| output.status.success()),
        "only root loads modules, and there is no sudo here: run it as root"
    );
    Ok(())
}

/// Whether somebody has read all of this kernel that the module stands on, and its series is one of the recipe's;
/// says what not.
fn is_read(project: &Project, kernel: &kernel::Kernel) -> Result<bool> {
    let unread = project.relied_on(kernel)?;
    for remark in &unread.remarks {
        note(remark);
    }
    let series = kernel::series(kernel.release());
    let known = project.recipe.kernel.iter().any(|known| known.series == series);
    if !known {
        note(&format!("the module was never tried on a kernel {series}"));
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
