// SPDX-License-Identifier: GPL-2.0
//! Builds the emulator: Bochs from Debian's source archive, with the patches of `machine/bochs`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};

use crate::piece::toolroot::Toolroot;
use crate::workshop::cache::{Cache, Piece};
use crate::workshop::child::Log;
use crate::workshop::key::{files_below, Key};
use crate::workshop::progress::Step;
use crate::workshop::recipe;

const STEP: &str = include_str!("../../steps/emulator.sh");
/// The patch that adds a debugger's socket to the emulator, in `machine/bochs/gdb`.
const DEBUGGER: &str = "gdb.patch";

/// The built emulator: one static program and its firmware.
pub struct Emulator {
    piece: Piece,
}

impl Emulator {
    /// Downloads, patches and builds the emulator, unless it is up to date. `bochs` is the folder with
    /// `patches/`, `patches/series` and `configure.args`.
    ///
    /// # Errors
    ///
    /// The archive does not have the version that the patches are for; a patch does not apply; no network; no space.
    pub fn prepare(cache: &Cache, root: &Toolroot, recipe: &recipe::Emulator, bochs: &Path) -> Result<Emulator> {
        Emulator::called("emulator", cache, root, recipe, bochs)
    }

    /// The same with a socket for a debugger, as a separate component, so that the tests' emulator stays the same.
    pub fn with_debugger(
        cache: &Cache,
        root: &Toolroot,
        recipe: &recipe::Emulator,
        bochs: &Path,
    ) -> Result<Emulator> {
        let both = cache.scratch("emulator-gdb")?;
        merge(bochs, both.path())?;
        Emulator::called("emulator-gdb", cache, root, recipe, both.path())
    }

    fn called(
        name: &str,
        cache: &Cache,
        root: &Toolroot,
        recipe: &recipe::Emulator,
        bochs: &Path,
    ) -> Result<Emulator> {
        let mut key = Key::new()
            .add("toolroot", root.key())
            .add("step", STEP)
            .add("source", &recipe.source)
            .add("version", &recipe.version)
            .tree("patches", &bochs.join("patches"))?
            .file("configure.args", &bochs.join("configure.args"))?;
        for firmware in &recipe.firmware {
            key = key.add(&firmware.package, [firmware.file.as_str(), " ", &firmware.name].concat());
        }
        let piece = cache.piece(name, &key.finish(), |dir| make(name, cache, root, recipe, bochs, dir))?;
        Ok(Emulator { piece })
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        self.piece.path().join("bochs")
    }

    /// The folder with the firmware.
    pub fn share(&self) -> PathBuf {
        self.piece.path().join("share")
    }
}

/// Copies the sources of both emulators to `to`, with the debugger's patch as the last of the series.
fn merge(bochs: &Path, to: &Path) -> Result<()> {
    let copy = |from: &Path, to: &Path| {
        fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {}", from.display()))
    };
    let patches = to.join("patches");
    fs::create_dir(&patches)?;
    copy(&bochs.join("configure.args"), &to.join("configure.args"))?;
    for file in files_below(&bochs.join("patches"))? {
        copy(&file, &patches.join(file.file_name().unwrap_or_default()))?;
    }
    copy(&bochs.join("gdb").join(DEBUGGER), &patches.join(DEBUGGER))?;
    let series = patches.join("series");
    let text = fs::read_to_string(&series).with_context(|| format!("cannot read {}", series.display()))?;
    Ok(fs::write(&series, format!("{}\n{DEBUGGER}\n", text.trim_end()))?)
}

fn make(
    name: &str,
    cache: &Cache,
    root: &Toolroot,
    recipe: &recipe::Emulator,
    bochs: &Path,
    dir: &Path,
) -> Result<()> {
    root.whole()?;
    let step = Step::start(name, "downloading, patching and building Bochs");
    let log = Log::create(cache.log(name))?;
    root.update_apt(cache, &log)?;
    let madison = log.output("apt-cache", root.inside().command("apt-cache").args(["madison", &recipe.source]))?;
    let has = source_versions(&madison);
    let Some(version) =
        has.iter().find(|v| v.strip_prefix(&recipe.version).is_some_and(|v| v.starts_with(['-', '+'])))
    else {
        bail!(
            "the Debian archive no longer has the source of {} {}, which the patches need; it has: {}",
            recipe.source,
            recipe.version,
            has.join(", ")
        );
    };
    let mut ask = root.inside().command("apt-get");
    ask.args(["source", "--print-uris", "-qq", &format!("{}={version}", recipe.source)]);
    let uris = log.output("apt-get source", &mut ask)?;
    let Some((uri, name, hash)) = tarball(&uris) else {
        bail!("apt-get names no upstream tarball with a SHA-256 for {} {}", recipe.source, recipe.version);
    };
    let jobs = crate::workshop::jobs().to_string();
    let mut args = vec![uri.as_str(), &name, &hash, &jobs];
    for firmware in &recipe.firmware {
        args.extend([firmware.package.as_str(), &firmware.file, &firmware.name]);
    }
    let mut build = root.inside().write(dir, "/xfd/build").read(bochs, "/xfd/bochs").script(STEP, &args);
    log.run("building the emulator", &mut build)?;
    step.done();
    Ok(())
}

/// The versions with source code in the output of `apt-cache madison`.
fn source_versions(madison: &str) -> Vec<String> {
    let lines = madison.lines().filter(|line| line.trim_end().ends_with("Sources"));
    lines.filter_map(|line| line.split('|').nth(1)).map(|v| v.trim().to_owned()).collect()
}

/// The upstream tarball in the output of `apt-get source --print-uris`: URI, file name, hash.
fn tarball(uris: &str) -> Option<(String, String, String)> {
    uris.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [uri, name, _size, hash] = fields.as_slice() else { return None };
        let found = name.contains(".orig.tar.") && !name.ends_with(".asc") && hash.starts_with("SHA256:");
        found.then(|| (uri.trim_matches('\'').to_owned(), (*name).to_owned(), (*hash).to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_debuggers_emulator_has_its_patch_as_the_last() {
        let dir = tempfile::tempdir().unwrap();
        merge(Path::new("bochs"), dir.path()).unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let (plain, both) = (read(Path::new("bochs/patches/series")), read(&dir.path().join("patches/series")));
        assert_eq!(both, format!("{plain}gdb.patch\n"));
        assert!(!plain.contains("gdb"));
        let patches = both.lines().filter(|line| !line.starts_with('#'));
        for patch in patches {
            assert!(dir.path().join("patches").join(patch).is_file(), "{patch}");
        }
        assert_eq!(read(&dir.path().join("configure.args")), read(Path::new("bochs/configure.args")));
    }

    #[test]
    fn versions_are_those_with_a_source() {
        let text = "     bochs | 3.0+dfsg-2 | http://h/debian trixie/main amd64 Packages\n\
                    \u{20}    bochs | 3.0+dfsg-1 | http://h/debian trixie/main Sources\n";
        assert_eq!(source_versions(text), ["3.0+dfsg-1"]);
    }

    #[test]
    fn the_tarball_is_the_one_with_a_hash() {
        let uris = "'http://h/b/bochs_3.0+dfsg-1.dsc' bochs_3.0+dfsg-1.dsc 2000 SHA256:11\n\
                    'http://h/b/bochs_3.0%2bdfsg.orig.tar.xz.asc' bochs_3.0+dfsg.orig.tar.xz.asc 8 SHA256:33\n\
                    'http://h/b/bochs_3.0%2bdfsg.orig.tar.xz' bochs_3.0+dfsg.orig.tar.xz 3896488 SHA256:22\n";
        let (uri, name, hash) = tarball(uris).unwrap();
        assert_eq!(uri, "http://h/b/bochs_3.0%2bdfsg.orig.tar.xz");
        assert_eq!((name.as_str(), hash.as_str()), ("bochs_3.0+dfsg.orig.tar.xz", "SHA256:22"));
        assert_eq!(tarball("'http://h/x.orig.tar.xz' x.orig.tar.xz 1 MD5Sum:1\n"), None);
    }
}
