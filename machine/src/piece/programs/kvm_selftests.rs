// SPDX-License-Identifier: GPL-2.0
//! Builds the kernel's own KVM selftests, unchanged: those that `scenarios.toml` names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::piece::kernel;
use crate::piece::programs::Builder;
use crate::workshop::cache::Piece;
use crate::workshop::child::Log;
use crate::workshop::key::Key;
use crate::workshop::progress::Step;

/// The `style` of these tests in `scenarios.toml`.
const STYLE: &str = "kernel-kvm";
const STEP: &str = include_str!("../../../steps/kvm-selftests.sh");

impl Builder<'_> {
    /// Builds these tests, each under its name without the folder.
    ///
    /// # Errors
    ///
    /// The kernel has no such test; one does not build.
    pub fn kvm_selftests(&self) -> Result<Piece> {
        let names = named(&self.project.join("machine/scenarios.toml"))?;
        let key = Key::new()
            .add("kernel", self.kernel.key())
            .add("step", STEP)
            .add("names", Vec::from_iter(names.iter().map(String::as_str)).join(" "));
        self.cache.piece(&format!("programs-kvm-{}", self.kernel.name()), &key.finish(), |dir| {
            self.kernel.whole()?;
            self.root.whole()?;
            let step = Step::start("programs", "building the kernel's KVM selftests");
            let log = Log::create(self.cache.log("programs-kvm"))?;
            let inside = self.root.inside().write(dir, "/xfd/out").read(&self.kernel.tree(), kernel::INSIDE);
            let jobs = crate::workshop::jobs().to_string();
            let args: Vec<_> = [jobs.as_str()].into_iter().chain(names.iter().map(String::as_str)).collect();
            log.run("building the kernel's KVM selftests", &mut inside.script(STEP, &args))?;
            self.strip(&log, dir)?;
            step.done();
            Ok(())
        })
    }
}

/// The names of all tests of this style in a list of scenarios.
fn named(scenarios: &Path) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(scenarios).with_context(|| format!("cannot read {}", scenarios.display()))?;
    let lists: BTreeMap<String, Vec<Tests>> =
        toml::from_str(&text).with_context(|| format!("{} is malformed", scenarios.display()))?;
    let tests = lists.into_values().flatten().flat_map(|list| list.tests);
    Ok(tests
        .filter_map(|test| {
            (test.get("style")?.as_str()? == STYLE).then(|| Some(test.get("name")?.as_str()?.to_owned()))?
        })
        .collect())
}

/// The tests of a suite or a boot.
#[derive(Deserialize)]
struct Tests {
    #[serde(default)]
    tests: Vec<toml::Value>,
}
