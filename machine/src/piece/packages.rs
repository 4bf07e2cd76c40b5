// SPDX-License-Identifier: GPL-2.0
//! Builds the Debian packages of the module, its tools and its source, and the system that the tests install them on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{ensure, Context, Result};

use crate::piece::kernel::Kernel;
use crate::piece::module::{MODULE, WITH_FAULTS};
use crate::piece::programs;
use crate::piece::project::Project;
use crate::piece::release;
use crate::piece::toolroot::Toolroot;
use crate::workshop::cache::Piece;
use crate::workshop::child::Log;
use crate::workshop::key::{files_below, Key};
use crate::workshop::namespace::namespaced;
use crate::workshop::progress::Step;

const STEP: &str = include_str!("../../steps/deb.sh");

const INSIDE: &str = "/xfd/packages";

/// The files and folders of the project from which DKMS builds the module.
const SOURCE: [&str; 7] = ["VERSION", "Makefile", "Kbuild", "Kconfig", "include", "rust/xfd", "rust/xstate"];

/// Parts of these that the compiler does not read.
const NOT_SOURCE: [&str; 5] = ["tests", "fuzz", "target", ".cargo", "proptest-regressions"];

/// The suffix of a later version.
const NEXT: &str = "+next";

/// A kernel that does not exist; the later packages have a module for it, too.
const ANOTHER: &str = "9.9.9-none";

/// The packages' maintainer, unless the environment names one: the project has no address of its own.
const MAINTAINER: &str = "The xfd authors <xfd@localhost.localdomain>";

/// What the packages are built from.
pub struct Contents {
    /// The packages' version.
    pub version: String,
    /// The release of each kernel, and the module for it.
    pub modules: Vec<(String, PathBuf)>,
}

/// The project's version.
///
/// # Errors
///
/// The file VERSION cannot be read.
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

/// The root file system in which the packages are built and checked with lintian.
pub fn root(project: &Project) -> Result<Toolroot> {
    Toolroot::small("packages", &project.recipe.packages.build, &project.cache, &project.recipe.toolroots[0])
}

/// Builds packages with these contents: the `.deb` files of the component.
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
    let set = |name| std::env::var(name).ok();
    let maintainer = maintainer(set("DEBFULLNAME"), set("DEBEMAIL"))?;
    let mut key = Key::new()
        .add("root", root.key())
        .add("step", STEP)
        .add("version", &contents.version)
        .add("date", &date)
        .add("maintainer", &maintainer)
        .tree("packaging", &packaging)?
        .file("xfdctl", &xfdctl)?;
    for file in source(&project.dir)? {
        key = key.file(&file.to_string_lossy(), &project.dir.join(&file))?;
    }
    for (release, ko) in &contents.modules {
        key = key.file(release, ko)?;
    }
    // One component for each version: tests need several.
    let name = format!("packages-{}", contents.version);
    project.cache.piece(&name, &key.finish(), |dir| {
        root.whole()?;
        let step = Step::start("packages", &format!("building version {}", contents.version));
        let log = Log::create(project.cache.log(&name))?;
        let build = dir.join("build");
        for file in files_below(&packaging)? {
            let below = file.strip_prefix(&packaging)?;
            // debhelper expects its folder beside the rest.
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
        let words: Vec<_> = [contents.version.as_str(), &date, &maintainer].into_iter().chain(releases).collect();
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
    // The packages must not depend on the umask of the checkout's owner.
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
        let read =
            file.extension().is_some_and(|extension| ["rs", "c", "h", "mk"].iter().any(|known| extension == *known));
        (whole || read) && !file.iter().any(|part| NOT_SOURCE.iter().any(|not| part == *not))
    };
    found.retain(is_source);
    Ok(found)
}

/// The date of the newest release in a changelog.
fn date(changelog: &str) -> Result<String> {
    let heading = changelog.lines().find(|line| line.starts_with("## [") && !line.starts_with("## [Unreleased]"));
    let date = heading.and_then(|line| line.split_once("] - ")).map(|(_, date)| date.trim().to_owned());
    date.context("CHANGELOG.md has no line `## [VERSION] - DATE`")
}

/// Who publishes the packages: DEBFULLNAME and DEBEMAIL, as Debian's own tools read them.
fn maintainer(name: Option<String>, address: Option<String>) -> Result<String> {
    let Some(address) = address.filter(|address| !address.is_empty()) else { return Ok(MAINTAINER.to_owned()) };
    let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| "The xfd authors".to_owned());
    let whole = |text: &str| !text.contains(['<', '>']) && !text.contains(char::is_control);
    ensure!(
        whole(&name) && whole(&address) && address.contains('@'),
        "DEBFULLNAME, DEBEMAIL: not a name and an address for the packages: {name:?}, {address:?}"
    );
    Ok(format!("{name} <{address}>"))
}

/// Packages of the current version, and of a later one.
pub struct Both {
    pub version: String,
    pub old: Piece,
    pub next_version: String,
    /// Their module is the build with fault injection, so that it differs.
    pub new: Piece,
}

/// Builds both for `kernel`.
///
/// # Errors
///
/// Those of [`make`].
pub fn both(project: &Project, kernel: &Kernel) -> Result<Both> {
    let name = kernel.release();
    let version = version(&project.dir)?;
    let next_version = format!("{version}{NEXT}");
    let ko = release::build(project, kernel, "deb", None)?;
    let later = project.module(kernel).module()?.path().join(WITH_FAULTS);
    let make = |version: &str, modules: &[(&str, &Path)]| {
        let modules = modules.iter().map(|(release, ko)| ((*release).to_owned(), ko.to_path_buf())).collect();
        make(project, &Contents { version: version.to_owned(), modules })
    };
    let old = make(&version, &[(name, &ko)])?;
    let new = make(&next_version, &[(name, &later), (ANOTHER, &later)])?;
    Ok(Both { version, old, next_version, new })
}

/// The system in which packages are installed, before that.
///
/// # Errors
///
/// No network; no space.
pub fn system(project: &Project) -> Result<Toolroot> {
    Toolroot::small("system", &project.recipe.packages.system, &project.cache, &project.recipe.toolroots[0])
}

/// Copies the system to `to`.
///
/// # Errors
///
/// No space.
pub fn copy_system(system: &Toolroot, log: &Log, to: &Path) -> Result<()> {
    system.whole()?;
    log.run("copying the system", namespaced("cp").args(["-a", "--reflink=auto"]).arg(system.file("/")).arg(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_all_that_kbuild_reads() {
        // Relative to cargo's working directory, because two checkouts may share a target folder.
        let project = Path::new("..");
        let files = source(project).unwrap();
        let has = |name: &str| files.iter().any(|file| file == Path::new(name));
        assert!(has("VERSION") && has("Kbuild") && has("include/linux/xfd.h") && has("rust/xstate/mod.rs"));
        assert!(has("rust/xfd/seam/seam.c") && has("rust/xfd/bindings.mk") && has("rust/xfd/xfd_main.rs"));
        assert!(!files.iter().any(|file| file.starts_with("rust/xstate/tests") || file.ends_with("Cargo.toml")));
    }

    #[test]
    fn the_maintainer_is_whoever_publishes() {
        let of = |name: &str, address: &str| maintainer(Some(name.to_owned()), Some(address.to_owned()));
        assert_eq!(maintainer(None, None).unwrap(), MAINTAINER);
        assert_eq!(of("A", "").unwrap(), MAINTAINER);
        assert_eq!(of("A & B", "a@example.org").unwrap(), "A & B <a@example.org>");
        assert_eq!(of("", "a@example.org").unwrap(), "The xfd authors <a@example.org>");
        assert!(of("A", "a").is_err() && of("A\nB", "a@b").is_err() && of("A", "A <a@b>").is_err());
    }

    #[test]
    fn the_date_is_that_of_the_newest_release() {
        assert_eq!(
            date("# C\n\n## [Unreleased]\n\n- a ] - b\n\n## [1.1.0] - 2026-12-01\n\n## [1.0.0] - 2026-11-01\n")
                .unwrap(),
            "2026-12-01"
        );
        assert!(date("# C\n## [Unreleased]\n").is_err());
    }
}
