// SPDX-License-Identifier: GPL-2.0
//! `machine/scenarios.toml`: the boots of `check`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{bail, Context, Result};
use serde::Deserialize;

use crate::module;

/// One boot.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    pub name: String,
    #[serde(default = "one")]
    pub cpus: u8,
    /// Whether the guest has the module, and who loads it.
    #[serde(default)]
    pub module: Module,
    /// Added to the kernel's command line.
    #[serde(default)]
    pub cmdline: String,
    pub tests: Vec<Test>,
    /// Parts of lines of the kernel log that are provoked on purpose: they must come, and fail nothing.
    #[serde(default)]
    pub expected_log: Vec<String>,
    /// The longest silence, in seconds.
    #[serde(default = "quiet")]
    pub quiet_seconds: u64,
    /// The longest boot, in seconds.
    #[serde(default = "total")]
    pub total_seconds: u64,
    #[serde(default = "memory")]
    pub memory_mib: u32,
}

fn one() -> u8 {
    1
}
fn quiet() -> u64 {
    120
}
fn total() -> u64 {
    900
}
fn memory() -> u32 {
    1024
}

/// The module in the guest.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Module {
    /// Not there.
    #[default]
    Absent,
    /// There, for the tests to load.
    Present,
    /// Loaded before the tests and unloaded after them.
    Loaded,
    /// The same with the build that has fault injection.
    LoadedWithFaults,
}

impl Module {
    /// The module that is loaded before the tests and unloaded after them.
    pub fn loaded(self) -> Option<&'static str> {
        match self {
            Module::Absent | Module::Present => None,
            Module::Loaded => Some(module::MODULE),
            Module::LoadedWithFaults => Some(module::WITH_FAULTS),
        }
    }
}

/// How a program reports.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    #[default]
    Ktap,
    /// Lines with `[OK]` and `[FAIL]`; the exit status is not trusted.
    KernelX86,
}

/// One test program.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(from = "Spelling")]
pub struct Test {
    pub name: String,
    pub style: Style,
}

/// A name alone, or a table.
#[derive(Deserialize)]
#[serde(untagged)]
enum Spelling {
    Name(String),
    Table {
        name: String,
        #[serde(default)]
        style: Style,
    },
}

impl From<Spelling> for Test {
    fn from(spelling: Spelling) -> Test {
        match spelling {
            Spelling::Name(name) => Test { name, style: Style::Ktap },
            Spelling::Table { name, style } => Test { name, style },
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    boot: Vec<Scenario>,
}

/// Reads and checks the list.
///
/// # Errors
///
/// It cannot be read or parsed; a name is used twice or not plain; a boot has no tests or not 1 to 4 CPUs.
pub fn read(path: &Path) -> Result<Vec<Scenario>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("{} is not valid", path.display()))
}

fn parse(text: &str) -> Result<Vec<Scenario>> {
    let File { boot } = toml::from_str(text)?;
    let plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let mut names = BTreeSet::new();
    for scenario in &boot {
        let name = &scenario.name;
        if !plain(name) || !names.insert(name) {
            bail!("the name {name:?} is used twice, or has other characters than letters, digits and -_.");
        }
        if !(1..=4).contains(&scenario.cpus) {
            bail!("{name}: {} CPUs; 1 to 4 can be had", scenario.cpus);
        }
        if scenario.tests.is_empty() {
            bail!("{name}: no tests");
        }
        let mut tests = BTreeSet::new();
        for test in &scenario.tests {
            if !plain(&test.name) || !tests.insert(&test.name) {
                bail!("{name}: the test name {:?} is used twice, or not plain", test.name);
            }
        }
    }
    Ok(boot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_both_spellings() {
        let text = "[[boot]]\nname = 'a'\ntests = ['x', { name = 'amx_64', style = 'kernel-x86' }]\n\
                    [[boot]]\nname = 'b'\ncpus = 4\nmodule = 'loaded'\ncmdline = 'nokprobes'\ntests = ['x']\n";
        let list = parse(text).unwrap();
        assert_eq!((list[0].cpus, list[0].module, list[0].quiet_seconds), (1, Module::Absent, 120));
        assert_eq!(list[0].tests[0], Test { name: "x".into(), style: Style::Ktap });
        assert_eq!(list[0].tests[1].style, Style::KernelX86);
        assert_eq!((list[1].cpus, list[1].module, list[1].cmdline.as_str()), (4, Module::Loaded, "nokprobes"));
    }

    #[test]
    fn mistakes_are_refused() {
        for (text, why) in [
            ("[[boot]]\nname = 'a'\ntests = []\n", "no tests"),
            ("[[boot]]\nname = 'a'\ncpus = 5\ntests = ['x']\n", "1 to 4"),
            ("[[boot]]\nname = 'a'\ntests = ['x', 'x']\n", "twice"),
            ("[[boot]]\nname = 'a b'\ntests = ['x']\n", "other characters"),
            ("[[boot]]\nname = 'a'\ntests = ['x']\n[[boot]]\nname = 'a'\ntests = ['x']\n", "twice"),
            ("[[boot]]\nname = 'a'\ntests = ['x;reboot']\n", "not plain"),
            ("[[boot]]\nname = 'a'\ntests = ['x']\ncpu = 2\n", "unknown field"),
            ("[[boot]]\nname = 'a'\ntests = [{ name = 'x', style = 'tap' }]\n", ""),
        ] {
            let e = format!("{:#}", parse(text).unwrap_err());
            assert!(e.contains(why), "{text}: {e}");
        }
    }

    #[test]
    fn the_shipped_list_is_valid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios.toml");
        assert!(!read(&path).unwrap().is_empty());
    }
}
