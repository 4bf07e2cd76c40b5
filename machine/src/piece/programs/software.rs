// SPDX-License-Identifier: GPL-2.0
//! Prepares Debian software for the guest: unpacks packages beside the toolchain root, and finds the shared libraries
//! that a program needs, in these packages or in the root.

use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};

use crate::piece::initramfs::Initramfs;
use crate::piece::programs::elfdeps;
use crate::piece::toolroot::Toolroot;
use crate::workshop::cache::{Cache, Piece};
use crate::workshop::child::Log;
use crate::workshop::key::Key;
use crate::workshop::namespace::Inside;
use crate::workshop::progress::Step;
use crate::workshop::recipe;

const STEP: &str = include_str!("../../../steps/software.sh");

/// Where the packages appear in the root.
pub const INSIDE: &str = "/xfd/software";
const LIBRARIES: &str = "/xfd/software/usr/lib/x86_64-linux-gnu";
const LINKER: &str = "/lib64/ld-linux-x86-64.so.2";

/// The unpacked packages.
pub struct Software {
    piece: Piece,
    key: String,
}

/// Files that belong together, such as a program and its libraries: path in the guest, file on the host.
pub struct Bundle(Vec<(String, PathBuf)>);

impl Software {
    /// Downloads and unpacks the recipe's packages for `name`, with their dependencies, unless they are up to date.
    ///
    /// # Errors
    ///
    /// The archive lacks a package; no network; no space.
    pub fn prepare(cache: &Cache, root: &Toolroot, name: &str, recipe: &recipe::Software) -> Result<Software> {
        let key = Key::new()
            .add("toolroot", root.key())
            .add("step", STEP)
            .add("packages", recipe.packages.join(" "))
            .add("data", recipe.data.join(" "))
            .finish();
        let piece = cache.piece(name, &key, |dir| {
            let step = Step::start(name, &format!("downloading {}", recipe.packages.join(", ")));
            let log = Log::create(cache.log(name))?;
            root.update_apt(cache, &log)?;
            let words = recipe.packages.iter().map(String::as_str);
            let words: Vec<_> = words.chain(["--"]).chain(recipe.data.iter().map(String::as_str)).collect();
            log.run("fetching Debian's software", &mut root.inside().write(dir, INSIDE).script(STEP, &words))?;
            step.done();
            Ok(())
        })?;
        Ok(Software { piece, key })
    }

    /// The content key of the recipe that selects the packages.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Shows the packages to the commands of `inside`.
    pub fn shown(&self, inside: Inside) -> Inside {
        inside.read(self.piece.path(), INSIDE)
    }

    /// A program of the packages with its libraries, at Debian's paths. `path` has no leading slash.
    pub fn program(&self, root: &Toolroot, log: &Log, path: &str) -> Result<Bundle> {
        let mut bundle = self.data(path)?;
        bundle.0.extend(self.libraries(root.inside(), root, log, &format!("{INSIDE}/{path}"))?.0);
        Ok(bundle)
    }

    /// A single file of the packages.
    pub fn data(&self, path: &str) -> Result<Bundle> {
        let host = self.piece.path().join(path);
        if !host.is_file() {
            bail!("no package of the recipe's software has the file {path}");
        }
        Ok(Bundle(vec![(path.to_owned(), host)]))
    }

    /// The shared libraries of `program`, a path as seen in `inside`, and the dynamic linker.
    pub fn libraries(&self, inside: Inside, root: &Toolroot, log: &Log, program: &str) -> Result<Bundle> {
        let mut list = self.shown(inside).command(LINKER);
        list.args(["--library-path", LIBRARIES, "--list", program]);
        let text = log.output(&format!("ld.so --list {program}"), &mut list)?;
        let mut files = vec![(LINKER.trim_start_matches('/').to_owned(), root.file(LINKER))];
        for library in elfdeps::parse_list(&text).with_context(|| format!("{program} cannot run in the guest"))? {
            files.push(place(self.piece.path(), |path| root.file(path), &library));
        }
        Ok(Bundle(files))
    }
}

/// The path in the guest and on the host of a file that the dynamic linker found.
fn place(software: &Path, root: impl Fn(&str) -> PathBuf, found: &Path) -> (String, PathBuf) {
    let guest = |path: &Path| path.to_string_lossy().trim_start_matches('/').to_owned();
    match found.strip_prefix(INSIDE) {
        Ok(below) => (guest(below), software.join(below)),
        Err(_) => (guest(found), root(&found.to_string_lossy())),
    }
}

impl Bundle {
    /// Copies all of it into the guest.
    pub fn install(&self, files: &mut Initramfs) -> Result<()> {
        for (guest, host) in &self.0 {
            files.file(guest, host)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_keep_debians_paths_wherever_they_come_from() {
        let place = |found: &str| {
            place(Path::new("/c/software"), |path| PathBuf::from(format!("/c/root{path}")), Path::new(found))
        };
        let (guest, host) = place("/xfd/software/usr/lib/x86_64-linux-gnu/libdnnl.so.3.6");
        assert_eq!(guest, "usr/lib/x86_64-linux-gnu/libdnnl.so.3.6");
        assert_eq!(host, Path::new("/c/software/usr/lib/x86_64-linux-gnu/libdnnl.so.3.6"));
        let (guest, host) = place("/lib/x86_64-linux-gnu/libc.so.6");
        assert_eq!(guest, "lib/x86_64-linux-gnu/libc.so.6");
        assert_eq!(host, Path::new("/c/root/lib/x86_64-linux-gnu/libc.so.6"));
    }
}
