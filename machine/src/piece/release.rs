// SPDX-License-Identifier: GPL-2.0
//! Builds the module for one release of Debian's kernels, as a host loads it: without debug information, and signed if
//! there is a key.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context, Result};

use crate::piece::kernel::{self, NotInArchive};
use crate::piece::module::MODULE;
use crate::piece::project::Project;
use crate::piece::toolroot::Toolroot;
use crate::workshop::child::Log;
use crate::workshop::recipe;

/// Where the built module appears in the root.
const BUILT: &str = "/xfd/built";
/// The kernel's program that signs modules, in a prepared tree.
const SIGN_FILE: &str = "scripts/sign-file";

/// The key and certificate that sign the module: XFD_SIGN_KEY and XFD_SIGN_CERT.
pub struct Signer {
    key: OsString,
    certificate: OsString,
}

/// Builds and signs the module for `kernel`, and returns its path below `place`, which later builds do not overwrite.
pub fn build(project: &Project, kernel: &kernel::Kernel, place: &str, signer: Option<&Signer>) -> Result<PathBuf> {
    let built = project.module(kernel).module_alone()?;
    let name = format!("{place}/{}", kernel.release());
    let lock = project.cache.exclusive(place)?;
    let folder = project.cache.workspace(&lock, &name)?;
    let (new, ko) = (folder.join("xfd.new"), folder.join(MODULE));
    std::fs::copy(built.path().join(MODULE), &new).with_context(|| format!("cannot write {}", new.display()))?;
    let log = Log::create(project.cache.log(&format!("strip-{place}")))?;
    let mut strip = kernel.root().inside().write(&folder, BUILT).command("strip");
    log.run("strip", strip.arg("--strip-debug").arg(format!("{BUILT}/xfd.new")))?;
    if let Some(signer) = signer {
        sign(&kernel.tree(), signer, &new)?;
    }
    // The file is always complete and signed: this one, or the one before.
    std::fs::rename(&new, &ko).with_context(|| format!("cannot write {}", ko.display()))?;
    Ok(ko)
}

/// Prepares the kernel with this release, from whichever root's archive has it.
pub fn prepare(project: &Project, release: &str) -> Result<kernel::Kernel> {
    let mut archives = Vec::new();
    // Prepare only the roots that are needed.
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
            "{release} is not a known Debian kernel ({}): pass its tree, which needs Rust metadata, with make KDIR=",
            known.join(", ")
        );
    }
    bail!(
        "no archive ({}) has linux-headers-{release}: if it is an old one, XFD_MIRROR can name snapshot.debian.org, \
         which keeps all packages; for another distribution's kernel, give its tree with Rust metadata to make KDIR=",
        archives.join(", ")
    )
}

/// The key and certificate that the environment names, if any.
///
/// # Errors
///
/// Only one of the two is set, or a file does not exist.
pub fn signer() -> Result<Option<Signer>> {
    match (std::env::var_os("XFD_SIGN_KEY"), std::env::var_os("XFD_SIGN_CERT")) {
        (None, None) => Ok(None),
        (Some(key), Some(certificate)) => {
            for file in [&key, &certificate] {
                let there = Path::new(file).is_file();
                anyhow::ensure!(there, "XFD_SIGN_KEY, XFD_SIGN_CERT: there is no file {}", Path::new(file).display());
            }
            Ok(Some(Signer { key, certificate }))
        }
        _ => bail!("XFD_SIGN_KEY and XFD_SIGN_CERT go together: a private key and its certificate, both PEM"),
    }
}

/// Signs the module with the kernel's own sign-file.
fn sign(tree: &Path, signer: &Signer, ko: &Path) -> Result<()> {
    let program: PathBuf = tree.join(SIGN_FILE);
    if !program.is_file() {
        bail!("this kernel's tree does not build {SIGN_FILE}: it does not support signed modules");
    }
    let mut command = Command::new(&program);
    command.arg("sha256").args([&signer.key, &signer.certificate]).arg(ko);
    let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<_> = said.lines().filter(|line| !line.starts_with("At main.c")).collect();
        bail!(
            "the module cannot be signed: {} (a key with a passphrase: KBUILD_SIGN_PIN)",
            said.first().unwrap_or(&"sign-file printed nothing")
        );
    }
    Ok(())
}
