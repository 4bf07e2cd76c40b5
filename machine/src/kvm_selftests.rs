// SPDX-License-Identifier: GPL-2.0
//! The kernel's own KVM selftests, unchanged: those that `scenarios.toml` names.

use anyhow::Result;

use crate::cache::Piece;
use crate::child::Log;
use crate::kernel;
use crate::key::Key;
use crate::programs::Builder;
use crate::progress::Step;
use crate::scenario;

const STEP: &str = include_str!("../steps/kvm-selftests.sh");

impl Builder<'_> {
    /// Builds them, each under its name without folder.
    ///
    /// # Errors
    ///
    /// The kernel has no test of a name; one does not build.
    pub fn kvm_selftests(&self) -> Result<Piece> {
        let scenarios = scenario::read(&self.project.join("machine/scenarios.toml"))?;
        let names: Vec<_> = scenarios.kvm_tests().into_iter().collect();
        let key = Key::new().add("kernel", self.kernel.key()).add("step", STEP).add("names", names.join(" "));
        self.cache.piece(&format!("programs-kvm-{}", self.kernel.name()), &key.finish(), |dir| {
            let step = Step::start("programs", "building the kernel's KVM selftests");
            let log = Log::create(self.cache.log("programs-kvm"))?;
            let inside = self.root.inside().write(dir, "/xfd/out").read(&self.kernel.tree(), kernel::INSIDE);
            let jobs = crate::jobs().to_string();
            let args: Vec<_> = [jobs.as_str()].into_iter().chain(names.iter().copied()).collect();
            log.run("building the kernel's KVM selftests", &mut inside.script(STEP, &args))?;
            self.strip(&log, dir)?;
            step.done();
            Ok(())
        })
    }
}
