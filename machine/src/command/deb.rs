// SPDX-License-Identifier: GPL-2.0
//! `machine deb`: builds Debian packages of the module, its tools and its source.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::boot::verdict;
use crate::command::host;
use crate::piece::kernel::Kernel;
use crate::piece::packages::{debs, make, version, Contents};
use crate::piece::project::Project;
use crate::piece::release;
use crate::workshop::progress::note;

/// Which kernels to build packages for.
pub enum For<'a> {
    /// The running kernel, or this release.
    Host(Option<&'a str>),
    /// The kernel named by `--kernel`.
    Asked,
    /// All kernels of the recipe that the archive has.
    All,
}

/// Builds the packages, copies them to the folder `deb` of the cache in place of older ones, and prints their paths.
///
/// # Errors
///
/// Those of `machine host`; the packages cannot be built; no network; no space.
pub fn deb(project: &Project, which: &For) -> Result<u8> {
    let signer = release::signer()?;
    let kernels = match which {
        For::Host(release) => {
            let kernel = release::prepare(project, &host::release(*release)?);
            vec![kernel.context("cannot build packages (XFD_KERNEL=NAME picks a kernel of machine/recipe.toml)")?]
        }
        For::Asked => vec![project.kernel()?],
        For::All => project.kernels()?,
    };
    let modules = kernels.iter().map(|kernel| module(project, kernel, signer.as_ref()));
    let contents = Contents { version: version(&project.dir)?, modules: modules.collect::<Result<_>>()? };
    let made = make(project, &contents)?;
    let folder = project.cache.root().join("deb");
    let _lock = project.cache.exclusive("deb")?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for old in debs(&folder)? {
        fs::remove_file(&old).with_context(|| format!("cannot remove {}", old.display()))?;
    }
    for package in debs(made.path())? {
        let to = folder.join(package.file_name().unwrap_or_default());
        fs::copy(&package, &to).with_context(|| format!("cannot write {}", to.display()))?;
        println!("{}", to.display());
    }
    if signer.is_none() {
        note("the modules are not signed (XFD_SIGN_KEY, XFD_SIGN_CERT): a kernel in lockdown refuses to load them");
    }
    Ok(verdict::PASS)
}

/// The release of `kernel`, and the module built for its package.
fn module(project: &Project, kernel: &Kernel, signer: Option<&release::Signer>) -> Result<(String, PathBuf)> {
    project.relied_on(kernel)?.remarks.iter().for_each(|remark| note(remark));
    Ok((kernel.release().to_owned(), release::build(project, kernel, "deb", signer)?))
}
