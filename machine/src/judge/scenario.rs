// SPDX-License-Identifier: GPL-2.0
//! Reads and checks `machine/scenarios.toml`: the suites of tests that are compared, and the boots of `check`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{bail, Context, Result};
use serde::Deserialize;

use crate::boot::linux_guest::LinuxGuest;
use crate::judge::style::Style;
use crate::piece::module::Module;

/// The contents of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenarios {
    #[serde(default, rename = "suite")]
    pub suites: Vec<Suite>,
    #[serde(rename = "boot")]
    pub boots: Vec<Scenario>,
}

/// Tests that run unchanged in one boot without the module and in one with it. Their answers are compared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    pub name: String,
    pub tests: Vec<Test>,
}

/// One boot.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    pub name: String,
    #[serde(default = "one")]
    pub cpus: u8,
    /// Whether the guest has the module, and what loads it.
    #[serde(default)]
    pub module: Module,
    /// Words added to the kernel's command line.
    #[serde(default)]
    pub cmdline: String,
    /// Suites that it runs before its own tests.
    #[serde(default)]
    pub suites: Vec<String>,
    /// Suites whose tests it also runs, on another machine or under other conditions; their answers are not compared.
    #[serde(default)]
    pub uncompared: Vec<String>,
    /// Its tests; after reading, these begin with the tests of its suites.
    #[serde(default)]
    pub tests: Vec<Test>,
    /// Boots a Debian system with our packages, by systemd. Its tests load the installed module; there is no other.
    #[serde(default)]
    pub installed: bool,
    /// Debian software for the guest, and programs of selftests/real that need libraries of it.
    #[serde(default)]
    pub software: Vec<String>,
    /// Parts of kernel log lines that the tests provoke on purpose: they must appear, and do not fail the boot.
    #[serde(default)]
    pub expected_log: Vec<String>,
    /// Only run by `check --long`.
    #[serde(default)]
    pub long: bool,
    /// Also run by `check --kvm`, which runs only such boots.
    #[serde(default)]
    pub kvm: bool,
    /// Optional features to give to its CPU, by Bochs's names: `fred` (which the kernel then uses) and `component20`;
    /// or parts of AMX that its CPU does not show: `no_palettes`, `no_tile_state`, `no_xfd`.
    #[serde(default)]
    pub with: Vec<String>,
    /// Features to take away from its CPU.
    #[serde(default)]
    pub without: Vec<String>,
    /// The boot exists for tests that are skipped elsewhere, so any skipped test is a failure.
    #[serde(default)]
    pub nothing_skipped: bool,
    /// The longest time without output, in seconds.
    #[serde(default = "quiet")]
    pub quiet_seconds: u64,
    /// The longest time for the whole boot, in seconds.
    #[serde(default = "total")]
    pub total_seconds: u64,
    /// The number of boots, run in parallel, into which its tests are divided: `NAME-1of4` and so on, with
    /// `XFD_PART=1/4` on the command line.
    #[serde(default = "one")]
    pub parts: u8,
    #[serde(default = "memory")]
    pub memory_mib: u32,
    /// A Linux guest that the machine's own Linux can run.
    #[serde(default)]
    pub linux_guest: Option<LinuxGuest>,
    /// Whether `check-debug` runs it.
    #[serde(default)]
    pub debug: Debug,
    /// Whether `check-builtin` runs it, without the tests of what only the module has.
    #[serde(default)]
    pub builtin: bool,
    /// Its tests need no boot of their own: they continue from a machine that was saved after it had booted.
    #[serde(default)]
    pub saved: bool,
    /// Also run by `check-upstream`, on the stock kernel and on the one with the series of upstream/linux; there these
    /// tests of the series itself follow.
    #[serde(default)]
    pub upstream: Option<Vec<Test>>,
    /// Also run on other kernels: by `check` on one of another series, by `check-kernels` on each.
    #[serde(default)]
    pub every_kernel: bool,
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

/// The kinds of `check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// All boots but the long ones.
    Usual,
    /// Only the boots that take a long time.
    Long,
    /// Only the usual boots that run virtual machines inside the machine.
    Kvm,
}

impl Scenario {
    /// The boots that it is divided into, or itself.
    fn divided(self) -> Vec<Scenario> {
        let parts = self.parts;
        let part = |k: u8| Scenario {
            name: format!("{}-{k}of{parts}", self.name),
            cmdline: format!("{} XFD_PART={k}/{parts}", self.cmdline).trim_start().to_owned(),
            ..self.clone()
        };
        match parts {
            0 | 1 => vec![self],
            _ => (1..=parts).map(part).collect(),
        }
    }

    /// Whether it needs the module.
    pub fn has_module(&self) -> bool {
        self.module != Module::Absent
            || self.installed
            || self.linux_guest.as_ref().is_some_and(|guest| guest.module != Module::Absent)
    }

    /// Whether the `check` of this class runs it.
    pub fn is_of(&self, class: Class) -> bool {
        match class {
            Class::Usual => !self.long,
            Class::Long => self.long,
            Class::Kvm => !self.long && self.kvm,
        }
    }
}

/// Which kernel a boot is for.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Debug {
    /// Only the stock kernel.
    #[default]
    No,
    /// Also the debug kernel.
    Also,
    /// Also the debug kernel, and the one with PREEMPT_RT.
    AlsoRt,
    /// Only the debug kernel.
    Only,
}

/// One test program.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(from = "Spelling")]
pub struct Test {
    pub name: String,
    pub style: Style,
    /// Not run on the host's own processor: it needs root, changes settings, or needs other files.
    pub guest_only: bool,
}

impl Test {
    /// A KTAP test that also runs on the host.
    pub fn named(name: &str) -> Test {
        Test { name: name.to_owned(), style: Style::Ktap, guest_only: false }
    }
}

/// How a test is written: a name alone, or a table.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Spelling {
    Name(String),
    Table {
        name: String,
        #[serde(default)]
        style: Style,
        #[serde(default, rename = "guest-only")]
        guest_only: bool,
    },
}

impl From<Spelling> for Test {
    fn from(spelling: Spelling) -> Test {
        match spelling {
            Spelling::Name(name) => Test::named(&name),
            Spelling::Table { name, style, guest_only } => Test { name, style, guest_only },
        }
    }
}

impl Scenarios {
    /// The boot that runs `suite` with the module in this state.
    pub fn boot_of(&self, suite: &str, module: Module) -> Option<&Scenario> {
        self.boots.iter().find(|boot| boot.module == module && boot.suites.iter().any(|s| s == suite))
    }

    /// The suites of these boots.
    pub fn suites_of(&self, boots: &[&Scenario]) -> Vec<&Suite> {
        self.suites.iter().filter(|suite| boots.iter().any(|boot| boot.suites.contains(&suite.name))).collect()
    }
}

/// Reads and checks the list.
///
/// # Errors
///
/// It cannot be read or parsed; a name is used twice or has invalid characters; a boot has no tests, or an invalid
/// setting; a suite cannot be compared.
pub fn read(path: &Path) -> Result<Scenarios> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("{} is not valid", path.display()))
}

fn parse(text: &str) -> Result<Scenarios> {
    let mut list: Scenarios = toml::from_str(text)?;
    let plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    list.boots = list.boots.into_iter().flat_map(Scenario::divided).collect();
    let mut names = BTreeSet::new();
    for name in list.suites.iter().map(|s| &s.name).chain(list.boots.iter().map(|b| &b.name)) {
        if !plain(name) || !names.insert(name) {
            bail!("the name {name:?} is used twice, or has characters other than letters, digits and -_.");
        }
    }
    for boot in &mut list.boots {
        let mut tests = Vec::new();
        for name in boot.suites.iter().chain(&boot.uncompared) {
            let suite = list.suites.iter().find(|s| s.name == *name);
            tests.extend(suite.with_context(|| format!("{}: there is no suite {name}", boot.name))?.tests.clone());
        }
        boot.tests.splice(0..0, tests);
        check_boot(boot, plain)?;
    }
    for suite in &list.suites {
        check_suite(&list, suite)?;
    }
    Ok(list)
}

fn check_boot(boot: &Scenario, plain: impl Fn(&str) -> bool) -> Result<()> {
    let name = &boot.name;
    if !(1..=4).contains(&boot.cpus) {
        bail!("{name}: {} CPUs, expected 1 to 4", boot.cpus);
    }
    if boot.tests.is_empty() {
        bail!("{name}: no tests");
    }
    if boot.installed && (boot.module != Module::Absent || boot.linux_guest.is_some() || !boot.software.is_empty()) {
        bail!("{name}: `installed` cannot be combined with `module`, `linux-guest` or `software`");
    }
    let own = [&boot.with, &boot.without].iter().any(|features| !features.is_empty()) || !boot.cmdline.is_empty();
    if boot.saved && (boot.installed || boot.parts > 1 || own) {
        bail!("{name}: `saved` cannot be combined with `installed`, `parts`, `cmdline`, `with` or `without`");
    }
    if boot.upstream.is_some() && boot.has_module() {
        bail!("{name}: `upstream` cannot be combined with a module");
    }
    if boot.long && boot.kvm {
        bail!("{name}: `long` cannot be combined with `kvm`");
    }
    if !(1..=9).contains(&boot.parts) {
        bail!("{name}: {} parts, expected 1 to 9", boot.parts);
    }
    let mut tests = BTreeSet::new();
    for test in &boot.tests {
        if !plain(&test.name) || !tests.insert(&test.name) {
            bail!("{name}: the test name {:?} is used twice, or has invalid characters", test.name);
        }
    }
    let guests = boot.linux_guest.as_ref().map_or(&[][..], |guest| &guest.tests);
    if boot.linux_guest.is_some() && guests.is_empty() || !guests.iter().all(|test| plain(test)) {
        bail!("{name}: the Linux guest has no tests, or a test name has invalid characters");
    }
    Ok(())
}

/// Checks that a suite has one boot without and one with the module, which differ in nothing else.
fn check_suite(list: &Scenarios, suite: &Suite) -> Result<()> {
    let name = &suite.name;
    let boots = || list.boots.iter().filter(|boot| boot.suites.contains(name));
    let (stock, module) = (list.boot_of(name, Module::Absent), list.boot_of(name, Module::Loaded));
    let (Some(stock), Some(module), 2) = (stock, module, boots().count()) else {
        bail!("the suite {name} must be in exactly one boot without the module and one with it loaded");
    };
    let machine = |boot: &Scenario| (boot.cpus, boot.memory_mib, boot.cmdline.clone(), boot.long, boot.kvm);
    if machine(stock) != machine(module) {
        bail!("the suite {name} runs on different machines in the boots {} and {}", stock.name, module.name);
    }
    Ok(())
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
