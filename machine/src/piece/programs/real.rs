// SPDX-License-Identifier: GPL-2.0
//! Prepares the software that a boot can have in its guest: programs of Debian packages, and the programs of
//! selftests/real, which are built against these; each with its shared libraries. If any software is unavailable,
//! the guest gets a file that says why.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use crate::piece::initramfs::Initramfs;
use crate::piece::programs::elfdeps;
use crate::piece::programs::software::{Bundle, Software};
use crate::piece::programs::{executables, Builder};
use crate::workshop::cache::Piece;
use crate::workshop::child::Log;
use crate::workshop::progress::note;

/// Where the built programs appear in the root.
const BUILT: &str = "/xfd/built";
/// A folder in the guest: for software that is missing, it has a file of that name with the reason.
const LEFT_OUT: &str = "left-out";

/// All software, by name.
pub struct Real {
    bundles: BTreeMap<String, Bundle>,
    left_out: BTreeMap<String, String>,
    _software: Vec<Software>,
    /// The programs of selftests/real.
    pub built: Piece,
}

impl Builder<'_> {
    /// Downloads and builds what is out of date.
    pub fn real(&self) -> Result<Real> {
        let software = Software::prepare(self.cache, self.root, "software", self.software)?;
        let built = self.c_selftests("real", Some(&software))?;
        let log = Log::create(self.cache.log("libraries"))?;
        let mut bundles = BTreeMap::new();
        for path in &self.software.programs {
            bundles.insert(last_name(path)?, software.program(self.root, &log, path)?);
        }
        for path in &self.software.data {
            bundles.insert(last_name(path)?, software.data(path)?);
        }
        for (name, path) in executables(built.path())? {
            if elfdeps::is_static(&path)? {
                continue;
            }
            let inside = self.root.inside().read(built.path(), BUILT);
            let bundle = software.libraries(inside, self.root, &log, &format!("{BUILT}/{name}"))?;
            bundles.insert(name, bundle);
        }
        let mut real = Real { bundles, left_out: BTreeMap::new(), _software: vec![software], built };
        self.add_tracers(&log, &mut real)?;
        Ok(real)
    }

    fn add_tracers(&self, log: &Log, real: &mut Real) -> Result<()> {
        let names: Vec<_> = self.tracers.programs.iter().map(|path| last_name(path)).collect::<Result<_>>()?;
        let prepared = Software::prepare(self.cache, self.root, "tracers", self.tracers).and_then(|tracers| {
            let bundles = self.tracers.programs.iter().map(|path| tracers.program(self.root, log, path));
            Ok((bundles.collect::<Result<Vec<_>>>()?, tracers))
        });
        match prepared {
            Ok((bundles, tracers)) => {
                real.bundles.extend(names.into_iter().zip(bundles));
                real._software.push(tracers);
            }
            Err(error) => {
                let why = format!("{error:#}").lines().next().unwrap_or_default().to_owned();
                note(&format!("not available: {}: {why}", names.join(", ")));
                real.left_out.extend(names.into_iter().map(|name| (name, why.clone())));
            }
        }
        Ok(())
    }
}

fn last_name(path: &str) -> Result<String> {
    let name = Path::new(path).file_name().with_context(|| format!("{path} has no file name"))?;
    Ok(name.to_string_lossy().into_owned())
}

impl Real {
    /// Copies `name` into the guest. A program of selftests/real is already there, and gets its libraries.
    pub fn install(&self, name: &str, files: &mut Initramfs) -> Result<()> {
        if let Some(why) = self.left_out.get(name) {
            files.content(&format!("{LEFT_OUT}/{name}"), 0o644, format!("{why}\n"));
            return Ok(());
        }
        let known = || self.bundles.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let bundle = self.bundles.get(name);
        bundle.with_context(|| format!("there is no software {name}; there is {}", known()))?.install(files)
    }
}
