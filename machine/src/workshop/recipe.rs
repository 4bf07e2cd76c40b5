// SPDX-License-Identifier: GPL-2.0
//! Reads `machine/recipe.toml`: what the machine is built from.

use std::path::Path;

use anyhow::{ensure, Context, Result};
use serde::Deserialize;

/// The contents of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The first one builds the emulator, the programs and the boot image.
    #[serde(rename = "toolroot")]
    pub toolroots: Vec<Toolroot>,
    /// The kernels, with the preferred one first.
    #[serde(rename = "kernel")]
    pub kernel: Vec<Kernel>,
    pub kernels: Kernels,
    #[serde(rename = "debug-kernel")]
    pub debug_kernel: DebugKernel,
    pub emulator: Emulator,
    pub software: Software,
    pub packages: Packages,
    pub docs: Docs,
    pub litmus: Litmus,
    /// Programs without which a test is skipped.
    pub tracers: Software,
}

/// A Debian system in which components are built.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Toolroot {
    pub name: String,
    /// A part of the release names of its kernels, such as `+deb13`.
    pub releases: String,
    pub suite: String,
    pub extra_suites: Vec<String>,
    pub packages: Vec<String>,
}

/// A stock kernel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kernel {
    pub name: String,
    /// The toolroot that builds it, and whose archive has it.
    pub toolroot: String,
    /// Package series: `7.2` stands for `linux-source-7.2`. Empty for the newest series.
    pub series: String,
    pub flavour: String,
    /// Only the kernel with this `uname -r`, whatever series and flavour.
    #[serde(skip)]
    pub release: Option<String>,
}

/// Settings for all kernels.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kernels {
    pub leave_out: Vec<String>,
    pub modules: Vec<String>,
}

/// The kernel of `check-debug`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DebugKernel {
    /// Packages that its toolchain root has in addition.
    pub packages: Vec<String>,
    /// The value of LLVM= for its make.
    pub llvm: String,
}

/// The emulator.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Emulator {
    pub source: String,
    /// The upstream version that the patches apply to.
    pub version: String,
    pub firmware: Vec<Firmware>,
}

/// One firmware file, extracted from a Debian package.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firmware {
    pub package: String,
    pub file: String,
    pub name: String,
}

/// Debian software for the guest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Software {
    pub packages: Vec<String>,
    /// Files of the packages that a boot can ask for by their file name.
    pub programs: Vec<String>,
    /// The same for files below usr/share.
    pub data: Vec<String>,
}

/// The roots that build and install our Debian packages, of the first toolroot's suite.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packages {
    /// Packages in the root that builds them.
    pub build: Vec<String>,
    /// Packages in the system in which they are installed.
    pub system: Vec<String>,
}

/// The root that builds the documentation, of the first toolroot's suite.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Docs {
    pub packages: Vec<String>,
}

/// The root that runs the litmus tests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Litmus {
    /// The toolroot whose suite it is of.
    pub toolroot: String,
    pub packages: Vec<String>,
}

impl Recipe {
    /// Reads the recipe.
    pub fn read(path: &Path) -> Result<Recipe> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let recipe: Recipe =
            toml::from_str(&text).with_context(|| format!("{} is not a valid recipe", path.display()))?;
        let complete = !recipe.toolroots.is_empty() && !recipe.kernel.is_empty();
        ensure!(complete, "{} must have a toolroot and a kernel", path.display());
        Ok(recipe)
    }

    /// The toolroot called `name`.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn toolroot(&self, name: &str) -> Result<&Toolroot> {
        let found = self.toolroots.iter().find(|root| root.name == name);
        found.with_context(|| format!("machine/recipe.toml has no toolroot {name}"))
    }

    /// The kernel called `name`.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn kernel(&self, name: &str) -> Result<&Kernel> {
        let found = self.kernel.iter().find(|kernel| kernel.name == name);
        found.with_context(|| {
            let names: Vec<_> = self.kernel.iter().map(|kernel| kernel.name.as_str()).collect();
            format!("no kernel {name}: machine/recipe.toml has {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_recipe_is_valid() {
        let path = Path::new("recipe.toml");
        let recipe = Recipe::read(path).unwrap();
        assert!(recipe.toolroots[0].extra_suites.iter().any(|s| s.ends_with("-backports")));
        for kernel in &recipe.kernel {
            assert!(recipe.toolroot(&kernel.toolroot).is_ok(), "{kernel:?}");
        }
        assert!(recipe.toolroot(&recipe.litmus.toolroot).is_ok());
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recipe.toml");
        std::fs::write(&path, "[toolroot]\nsuit = 'x'\n").unwrap();
        assert!(Recipe::read(&path).is_err());
    }
}
