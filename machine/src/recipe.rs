// SPDX-License-Identifier: GPL-2.0
//! `machine/recipe.toml`: what the machine is made of.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The whole recipe.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    pub toolroot: Toolroot,
    pub kernel: Kernel,
    #[serde(rename = "debug-kernel")]
    pub debug_kernel: DebugKernel,
    pub emulator: Emulator,
    pub software: Software,
}

/// The Debian root in which everything is built.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Toolroot {
    pub suite: String,
    pub extra_suites: Vec<String>,
    pub packages: Vec<String>,
}

/// The stock kernel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kernel {
    /// Supported package series (`7.2` stands for `linux-source-7.2`), the preferred one first.
    pub series: Vec<String>,
    pub flavour: String,
    pub cc: String,
    pub hostcc: String,
    pub leave_out: Vec<String>,
    pub modules: Vec<String>,
}

/// The kernel of `check-debug`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DebugKernel {
    /// Packages that its toolchain root has besides the other's.
    pub packages: Vec<String>,
    /// What LLVM= is in its make.
    pub llvm: String,
}

/// The emulator.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Emulator {
    pub source: String,
    /// Upstream version that the patches apply to.
    pub version: String,
    pub firmware: Vec<Firmware>,
}

/// One firmware file, taken out of a Debian package.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firmware {
    pub package: String,
    pub file: String,
    pub name: String,
}

/// Debian's software for the guest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Software {
    pub packages: Vec<String>,
    /// Files of the packages that a boot can ask for by their last name.
    pub programs: Vec<String>,
    /// Files of theirs below usr/share that a boot can ask for in the same way.
    pub data: Vec<String>,
}

impl Recipe {
    /// Reads the recipe.
    pub fn read(path: &Path) -> Result<Recipe> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not a valid recipe", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_recipe_is_valid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipe.toml");
        let recipe = Recipe::read(&path).unwrap();
        assert!(!recipe.kernel.series.is_empty());
        assert!(recipe.toolroot.extra_suites.iter().any(|s| s.ends_with("-backports")));
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recipe.toml");
        std::fs::write(&path, "[toolroot]\nsuit = 'x'\n").unwrap();
        assert!(Recipe::read(&path).is_err());
    }
}
