// SPDX-License-Identifier: GPL-2.0
//! `machine deb`: Debian packages of the module, its tools and its source.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::Piece;
use crate::child::Log;
use crate::host;
use crate::kernel::Kernel;
use crate::key::{files_below, Key};
use crate::machine::Project;
use crate::module::MODULE;
use crate::programs;
use crate::progress::{note, Step};
use crate::toolroot::Toolroot;
use crate::verdict;

const STEP: &str = include_str!("../steps/deb.sh");
const INSIDE: &str = "/xfd/packages";
/// Of the project, what DKMS builds the module from.
const SOURCE: [&str; 7] = ["VERSION", "Makefile", "Kbuild", "Kconfig", "include", "rust/xfd", "rust/xstate"];
/// Of these only what the compiler reads.
const NOT_SOURCE: [&str; 5] = ["tests", "fuzz", "target", ".cargo", "proptest-regressions"];

/// What the packages are made from.
pub struct Contents {
    /// Of the packages.
    pub version: String,
    /// A kernel's release, and the module for it.
    pub modules: Vec<(String, PathBuf)>,
}

/// Which kernels there are packages for.
pub enum For<'a> {
    /// The one that runs here, or this release.
    Host(Option<&'a str>),
    /// The one that was asked for by name.
    Asked,
    /// All of the recipe's that the archive has.
    All,
}

/// Makes the packages, and prints where they are: the folder `deb` of the cache, which has nothing else afterwards.
///
/// # Errors
///
/// Those of `machine host`; the packages cannot be built; no network; no space.
pub fn deb(project: &Project, which: &For) -> Result<u8> {
    let signer = host::signer()?;
    let kernels = match which {
        For::Host(release) => {
            let kernel = host::prepare(project, &host::release(*release)?);
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
fn module(project: &Project, kernel: &Kernel, signer: Option<&host::Signer>) -> Result<(String, PathBuf)> {
    project.relied_on(kernel)?.remarks.iter().for_each(|remark| note(remark));
    Ok((kernel.release().to_owned(), host::build(project, kernel, "deb", signer)?))
}

/// The project's.
///
/// # Errors
///
/// There is none.
pub fn version(project: &Path) -> Result<String> {
    let path = project.join("VERSION");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// The packages in a folder.
pub fn debs(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = files_below(folder)?;
    Ok(files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "deb")).collect())
}

/// The root that builds packages and looks at them.
pub fn root(project: &Project) -> Result<Toolroot> {
    Toolroot::small("packages", &project.recipe.packages.build, &project.cache, &project.recipe.toolroots[0])
}

/// The packages of these contents: the `.deb` files of the piece.
///
/// # Errors
///
/// They cannot be built; no network; no space.
pub fn make(project: &Project, contents: &Contents) -> Result<Piece> {
    let root = root(project)?;
    let packaging = project.dir.join("packaging");
    let xfdctl =
        programs::rust(&project.cache, &project.dir, "xfdctl")?.remove("xfdctl").context("no xfdctl was built")?;
    let date = date(&fs::read_to_string(project.dir.join("CHANGELOG.md"))?)?;
    let mut key = Key::new()
        .add("root", root.key())
        .add("step", STEP)
        .add("version", &contents.version)
        .add("date", &date)
        .tree("packaging", &packaging)?
        .file("xfdctl", &xfdctl)?;
    for file in source(&project.dir)? {
        key = key.file(&file.to_string_lossy(), &project.dir.join(&file))?;
    }
    for (release, ko) in &contents.modules {
        key = key.file(release, ko)?;
    }
    // One of each version: tests have several.
    let name = format!("packages-{}", contents.version);
    project.cache.piece(&name, &key.finish(), |dir| {
        let step = Step::start("packages", &format!("building those of {}", contents.version));
        let log = Log::create(project.cache.log(&name))?;
        let build = dir.join("build");
        for file in files_below(&packaging)? {
            let below = file.strip_prefix(&packaging)?;
            // debhelper wants its folder beside the rest.
            let to =
                if below.starts_with("debian") { build.join(below) } else { build.join("packaging").join(below) };
            copy(&file, &to)?;
        }
        copy(&project.dir.join("CHANGELOG.md"), &build.join("packaging/CHANGELOG.md"))?;
        for file in source(&project.dir)? {
            copy(&project.dir.join(&file), &build.join("source").join(&file))?;
        }
        copy(&xfdctl, &build.join("tools/xfdctl"))?;
        log.run("xfdctl generate", Command::new(&xfdctl).arg("generate").arg(build.join("tools/generated")))?;
        for (release, ko) in &contents.modules {
            copy(ko, &build.join("modules").join(release).join(MODULE))?;
        }
        let releases = contents.modules.iter().map(|(release, _)| release.as_str());
        let words: Vec<_> = [contents.version.as_str(), &date].into_iter().chain(releases).collect();
        log.run("building the packages", &mut root.inside().write(dir, INSIDE).script(STEP, &words))?;
        step.done();
        Ok(())
    })
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    // The umask of whoever has the checkout is not the packages'.
    let executable = fs::metadata(from)?.permissions().mode() & 0o100 != 0;
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?)
}

/// The files of [`SOURCE`], from the project's folder.
fn source(project: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for name in SOURCE {
        let path = project.join(name);
        let files = if path.is_dir() { files_below(&path)? } else { vec![path] };
        found.extend(files.into_iter().filter_map(|file| file.strip_prefix(project).ok().map(Path::to_path_buf)));
    }
    let is_source = |file: &PathBuf| {
        let whole = SOURCE.iter().any(|name| file == Path::new(name));
        let read = file.extension().is_some_and(|extension| ["rs", "c", "h"].iter().any(|known| extension == *known));
        (whole || read) && !file.iter().any(|part| NOT_SOURCE.iter().any(|not| part == *not))
    };
    found.retain(is_source);
    Ok(found)
}

/// When the newest release of a changelog was.
fn date(changelog: &str) -> Result<String> {
    let heading = changelog.lines().find(|line| line.starts_with("## ["));
    let date = heading.and_then(|line| line.split_once("] - ")).map(|(_, date)| date.trim().to_owned());
    date.context("CHANGELOG.md has no line `## [VERSION] - DATE`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_all_that_kbuild_reads() {
        // From cargo's working directory: two checkouts may share what is built.
        let project = Path::new("..");
        let files = source(project).unwrap();
        let has = |name: &str| files.iter().any(|file| file == Path::new(name));
        assert!(has("VERSION") && has("Kbuild") && has("include/linux/xfd.h") && has("rust/xstate/mod.rs"));
        assert!(has("rust/xfd/seam/seam.c") && has("rust/xfd/seam/seam.h") && has("rust/xfd/xfd_main.rs"));
        assert!(!files.iter().any(|file| file.starts_with("rust/xstate/tests") || file.ends_with("Cargo.toml")));
    }

    #[test]
    fn the_date_is_the_newest_releases() {
        assert_eq!(date("# C\n\n## [1.1.0] - 2026-12-01\n\n## [1.0.0] - 2026-11-01\n").unwrap(), "2026-12-01");
        assert!(date("# C\n## [Unreleased]\n").is_err());
    }
}
