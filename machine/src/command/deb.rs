// SPDX-License-Identifier: GPL-2.0
//! `machine deb`: Debian packages of the module, its tools and its source.

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

/// Which kernels there are packages for.
pub enum For<'a> {
    /// The one that runs here, or this release.
    Host(Option<&'a str>),
    /// The one that was asked for by name.
    Asked,
    /// All of the recipe's that the archive has.
    All,
}

/// Makes the packages in the cache's folder `deb`, which is emptied first, and prints their paths.
///
/// # Errors
///
/// Those of `machine host`; the packages cannot be built; no network; no space.
pub fn deb(project: &Project, which: &For) -> Result<u8> {
    let signer = release::signer()?;
    let kernels = match which {
        For::Host(release) => {
            let kernel = release::prepare(project, &host::release(*release)?);
            vec![kernel.context("no packages (XFD_KERNEL=NAME takes a kernel of machine/recipe.toml)")?]
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
        note("the modules are not signed (XFD_SIGN_KEY, XFD_SIGN_CERT): a kernel that is locked down loads none of them");
    }
    Ok(verdict::PASS)
}

/// The module as the packages have it.
fn module(project: &Project, kernel: &Kernel, signer: Option<&release::Signer>) -> Result<(String, PathBuf)> {
    project.relied_on(kernel)?.remarks.iter().for_each(|remark| note(remark));
    Ok((kernel.release().to_owned(), release::build(project, kernel, "deb", signer)?))
}
