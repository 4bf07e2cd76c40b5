// SPDX-License-Identifier: GPL-2.0
//! `machine host`: the module for the kernel that runs on this host, or for another release.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context, Result};

use crate::child::{spawn, Log};
use crate::kernel::{self, NotInArchive};
use crate::machine::Project;
use crate::module::MODULE;
use crate::progress::note;
use crate::recipe;
use crate::toolroot::Toolroot;
use crate::verdict;

/// Where the built module appears in the root.
const BUILT: &str = "/xfd/built";
/// The kernel's own program that signs modules, in a prepared tree.
const SIGN_FILE: &str = "scripts/sign-file";

/// What signs the module: XFD_SIGN_KEY and XFD_SIGN_CERT.
pub struct Signer {
    key: OsString,
    certificate: OsString,
}

/// Builds the module for `release`, or for the kernel that runs; says the line that loads it, or does that with `load`.
/// Nothing of the emulator is made.
///
/// # Errors
///
/// No archive of the recipe's has the release; a compiler is not the kernel's; it has no Rust; the key does not sign; no
/// network; no space. To load: neither root nor sudo, another release than runs, a kernel of which the module stands on what
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

/// Root would leave files of its own in another user's folder, who could not build there any more.
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

/// Whether somebody has read all of this kernel that the module stands on, and its series is one of the recipe's; says what not.
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

/// Builds and signs the module for `kernel`: where it is, below `place`, whatever is built next.
pub fn build(project: &Project, kernel: &kernel::Kernel, place: &str, signer: Option<&Signer>) -> Result<PathBuf> {
    let built = project.module(kernel).module_alone()?;
    let name = format!("{place}/{}", kernel.release());
    let _lock = project.cache.exclusive(place)?;
    let folder = project.cache.workspace(&name)?;
    let (new, ko) = (folder.join("xfd.new"), folder.join(MODULE));
    std::fs::copy(built.path().join(MODULE), &new).with_context(|| format!("cannot write {}", new.display()))?;
    let log = Log::create(project.cache.log(&format!("strip-{place}")))?;
    let mut strip = kernel.root().inside().write(&folder, BUILT).command("strip");
    log.run("strip", strip.arg("--strip-debug").arg(format!("{BUILT}/xfd.new")))?;
    if let Some(signer) = signer {
        sign(&kernel.tree(), signer, &new)?;
    }
    // Whole and signed, or what was there before.
    std::fs::rename(&new, &ko).with_context(|| format!("cannot write {}", ko.display()))?;
    Ok(ko)
}

/// The kernel of that release, from whichever root's archive has it.
pub fn prepare(project: &Project, release: &str) -> Result<kernel::Kernel> {
    let mut archives = Vec::new();
    // A root that is not needed is not made.
    for root in project.recipe.toolroots.iter().filter(|root| release.contains(&root.releases)) {
        let kernel = recipe::Kernel {
            name: "host".to_owned(),
            toolroot: root.name.clone(),
            series: String::new(),
            flavour: String::new(),
            release: Some(release.to_owned()),
        };
        let all = recipe::Kernels { modules: Vec::new(), ..project.recipe.kernels.clone() };
        let root = Toolroot::prepare(&project.cache, root)?;
        match kernel::Kernel::prepare(&project.cache, root, &kernel, &all) {
            Err(error) if error.is::<NotInArchive>() => archives.push(kernel.toolroot),
            found => return found,
        }
    }
    if archives.is_empty() {
        let known: Vec<_> = project.recipe.toolroots.iter().map(|root| root.releases.as_str()).collect();
        bail!(
            "{release} is none of Debian's kernels that are known ({}): give its tree, with Rust metadata, to make KDIR=",
            known.join(", ")
        );
    }
    bail!(
        "no archive ({}) has linux-headers-{release}, or no longer: snapshot.debian.org keeps all that were, and XFD_MIRROR \
         takes it; a kernel of another distribution whose tree has Rust metadata is built for with make KDIR=",
        archives.join(", ")
    )
}

/// What the environment says.
///
/// # Errors
///
/// It says one of the two, or there is no such file.
pub fn signer() -> Result<Option<Signer>> {
    match (std::env::var_os("XFD_SIGN_KEY"), std::env::var_os("XFD_SIGN_CERT")) {
        (None, None) => Ok(None),
        (Some(key), Some(certificate)) => {
            for file in [&key, &certificate] {
                let there = Path::new(file).is_file();
                anyhow::ensure!(there, "XFD_SIGN_KEY, XFD_SIGN_CERT: there is no {}", Path::new(file).display());
            }
            Ok(Some(Signer { key, certificate }))
        }
        _ => bail!("XFD_SIGN_KEY and XFD_SIGN_CERT go together: a private key and its certificate, both PEM"),
    }
}

/// Signs with the kernel's own program.
fn sign(tree: &Path, signer: &Signer, ko: &Path) -> Result<()> {
    let program: PathBuf = tree.join(SIGN_FILE);
    if !program.is_file() {
        bail!("this kernel's tree makes no {SIGN_FILE}: it does not know signed modules");
    }
    let mut command = Command::new(&program);
    command.arg("sha256").args([&signer.key, &signer.certificate]).arg(ko);
    let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<_> = said.lines().filter(|line| !line.starts_with("At main.c")).collect();
        bail!(
            "the module cannot be signed: {} (a key with a passphrase: KBUILD_SIGN_PIN)",
            said.first().unwrap_or(&"sign-file says nothing")
        );
    }
    Ok(())
}

/// Whether this host's kernel refuses unsigned modules: lockdown, or module.sig_enforce.
fn is_locked_down() -> bool {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let lockdown = text("/sys/kernel/security/lockdown");
    let locked = !lockdown.is_empty() && !lockdown.contains("[none]");
    locked || text("/sys/module/module/parameters/sig_enforce").trim() == "Y"
}
