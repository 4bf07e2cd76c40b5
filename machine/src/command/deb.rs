// SPDX-License-Identifier: GPL-2.0
//! `machine deb`: builds Debian packages of the module, its tools and its source.

use std::fs;
use std::path::{Path, PathBuf};

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
    for package in replace(&debs(made.path())?, &folder)? {
        println!("{}", package.display());
    }
    if signer.is_none() {
        note("the modules are not signed (XFD_SIGN_KEY, XFD_SIGN_CERT): a kernel in lockdown refuses to load them");
    }
    Ok(verdict::PASS)
}

/// Copies the packages to `folder`, and then removes all other packages of this project from it. Returns the new ones.
/// If they cannot be copied, the old ones stay.
fn replace(packages: &[PathBuf], folder: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut copies = Vec::new();
    for package in packages {
        let name = package.file_name().unwrap_or_default().to_string_lossy();
        let (new, to) = (folder.join(format!("{name}.new")), folder.join(&*name));
        let copied = fs::copy(package, &new).with_context(|| format!("cannot write {}", new.display()));
        copies.push((new, to));
        if let Err(error) = copied {
            copies.iter().for_each(|(new, _)| _ = fs::remove_file(new));
            return Err(error);
        }
    }
    for (new, to) in &copies {
        fs::rename(new, to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    let placed: Vec<_> = copies.into_iter().map(|(_, to)| to).collect();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // .new: what an interrupted command left.
        let ours = name.starts_with("xfd-") && (name.ends_with(".deb") || name.ends_with(".deb.new"));
        if ours && !placed.contains(&path) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(placed)
}

/// The release of `kernel`, and the module built for its package.
fn module(project: &Project, kernel: &Kernel, signer: Option<&release::Signer>) -> Result<(String, PathBuf)> {
    project.relied_on(kernel)?.remarks.iter().for_each(|remark| note(remark));
    Ok((kernel.release().to_owned(), release::build(project, kernel, "deb", signer)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_replace_only_older_ones_of_this_project() {
        let (made, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let put = |folder: &Path, name: &str| {
            fs::write(folder.join(name), "new").unwrap();
            folder.join(name)
        };
        let there = || {
            let entries = fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        for name in ["xfd-tools_1.deb", "xfd-tools_0.deb", "xfd-dkms_0.deb.new", "other_1.deb", "xfd-notes"] {
            fs::write(folder.path().join(name), "old").unwrap();
        }
        fs::create_dir(folder.path().join("kept")).unwrap();
        put(&folder.path().join("kept"), "xfd-tools_0.deb");
        let before = there();
        let packages = [put(made.path(), "xfd-tools_1.deb"), made.path().join("xfd-dkms_1.deb")];
        // The second one is not there yet: nothing changes, and nothing is left.
        assert!(replace(&packages, folder.path()).is_err());
        assert_eq!(there(), before);
        assert_eq!(fs::read_to_string(folder.path().join("xfd-tools_1.deb")).unwrap(), "old");
        put(made.path(), "xfd-dkms_1.deb");
        let placed = replace(&packages, folder.path()).unwrap();
        assert_eq!(placed, ["xfd-tools_1.deb", "xfd-dkms_1.deb"].map(|name| folder.path().join(name)));
        assert!(placed.iter().all(|path| fs::read_to_string(path).unwrap() == "new"));
        assert_eq!(there(), ["kept", "other_1.deb", "xfd-dkms_1.deb", "xfd-notes", "xfd-tools_1.deb"]);
        assert!(folder.path().join("kept/xfd-tools_0.deb").exists());
    }
}
