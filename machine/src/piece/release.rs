// SPDX-License-Identifier: GPL-2.0
//! The module for one release of Debian's kernels, as a host loads it: without debug information, and signed if there
//! is a key.

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
/// The kernel's own program that signs modules, in a prepared tree.
const SIGN_FILE: &str = "scripts/sign-file";

/// What signs the module: XFD_SIGN_KEY and XFD_SIGN_CERT.
pub struct Signer {
    key: OsString,
    certificate: OsString,
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
