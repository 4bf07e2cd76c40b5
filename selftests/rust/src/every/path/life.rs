// SPDX-License-Identifier: GPL-2.0
//! Loading and unloading the module.

use super::{another_has_a_first_use, live, Path, Prepared, Start};
use crate::every::kind::{Kind, Kinds};
use crate::every::shared::{TAKEN_ON, WATCHED_FROM};
use crate::every::workers;
use crate::sys::{self, End};
use crate::tile::{content, expect, Tiles};
use crate::{child, counters, idle, module};
use anyhow::{bail, ensure, Context};
use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path as File;
use std::thread;
use std::time::{Duration, Instant};

macro_rules! fails_at {
    ($($step:literal),*) => {
        [$(Path::new(
            concat!("load_fails_", $step),
            "loading, of which this step fails",
            Start::ModuleIn(ENABLE),
            |_, _| Load::prepare(Some($step)),
        ).by(LIVES).needs(WITH_FAULTS)),*]
    };
}

pub(super) const PATHS: &[Path] = &[
    Path::new("load", "loading", Start::ModuleIn(ENABLE), |_, _| {
        Load::prepare(None)
    })
    .by(LIVES),
    Path::new("unload", "disabling and removing", Start::Module, |_, _| {
        Unload::prepare()
    })
    .by(LIVES),
    Path::new(
        "unload_owed",
        "the same, and a process sleeps whose buffer was taken",
        Start::Module,
        |_, _| UnloadOwed::prepare(),
    )
    .by(LIVES),
];

/// Loading fails at each step that attaches something, in a build with CONFIG_XFD_FAULTS.
pub(super) const FAILS: &[Path] = &fails_at!(7, 8, 9, 10, 11, 12);

/// Loading changes nothing until the kernel calls this function.
const ENABLE: &str = "klp_enable_patch";

const LIVES: Kinds = Kinds::of(&[
    Kind::Preempt,
    Kind::Migrate,
    Kind::Kill,
    Kind::Shrink,
    Kind::FirstUse,
    Kind::Nmi,
    Kind::FpuInIrq,
]);

/// The module built with CONFIG_XFD_FAULTS.
const WITH_FAULTS: &str = "/lib/xfd_faults.ko";

fn nothing_is_left() -> anyhow::Result<()> {
    for path in [
        "/sys/module/xfd",
        "/sys/kernel/livepatch/xfd",
        "/sys/kernel/debug/xfd",
        "/sys/kernel/tracing/events/xfd",
    ] {
        ensure!(!File::new(path).exists(), "{path} is left behind");
    }
    Ok(())
}

struct Load {
    path: String,
    parameters: CString,
    fails: bool,
    result: Option<anyhow::Result<()>>,
}

impl Load {
    fn prepare(step: Option<u32>) -> anyhow::Result<Box<dyn Prepared>> {
        module::remove()?;
        nothing_is_left()?;
        let (path, parameters) = match step {
            None => (module::path(), CString::default()),
            Some(step) => (
                WITH_FAULTS.into(),
                CString::new(format!("fail_step={step}"))?,
            ),
        };
        Ok(Box::new(Load {
            path,
            parameters,
            fails: step.is_some(),
            result: None,
        }))
    }
}

impl Prepared for Load {
    fn take(&mut self) {
        self.result = Some(module::insert(&self.path, &self.parameters));
    }
    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        let result = self.result.take().context("not taken")?;
        match (self.fails, result) {
            (false, result) => {
                result?;
                module::wait_until_in_charge()?;
            }
            (true, Ok(())) => bail!("it was loaded"),
            (true, Err(error)) => {
                let why = error.downcast_ref::<rustix::io::Errno>();
                ensure!(why == Some(&rustix::io::Errno::NOMEM), "{error:#}");
                nothing_is_left()?;
            }
        }
        another_has_a_first_use()?;
        module::remove()?;
        nothing_is_left()?;
        another_has_a_first_use()
    }
}

/// A sleeping process's buffer was reclaimed; the process gets another before the module is unloaded.
struct UnloadOwed {
    unload: Box<dyn Prepared>,
    sleeper: i32,
    wake: OwnedFd,
}

const INTERVAL: &str = "/sys/module/xfd/parameters/reclaim_ms";

impl UnloadOwed {
    fn prepare() -> anyhow::Result<Box<dyn Prepared>> {
        let unload = Unload::prepare()?;
        let (reads, wake) = rustix::pipe::pipe()?;
        let sleeper = child::begin_on(WATCHED_FROM, || {
            sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64)?;
            drop(live(25)?);
            let mut byte = [0];
            rustix::io::read(&reads, &mut byte)?;
            let mut tiles = Tiles::configure();
            tiles.load_all(&content(26));
            expect(&tiles.store_all(), 26)
        })?;
        idle::wait_until_asleep(sleeper)?;
        let before = counters::read("reclaimed")?;
        fs::write(INTERVAL, "20").context(INTERVAL)?;
        let begin = Instant::now();
        while counters::read("reclaimed")? == before {
            ensure!(begin.elapsed() < PATIENCE, "no buffer was reclaimed");
            thread::sleep(Duration::from_millis(10));
        }
        // It must be the only one, and no pass may run in between.
        fs::write(INTERVAL, "10000").context(INTERVAL)?;
        Ok(Box::new(UnloadOwed {
            unload,
            sleeper,
            wake,
        }))
    }
}

/// The longest time until a pass runs.
const PATIENCE: Duration = Duration::from_secs(10);

impl Prepared for UnloadOwed {
    fn take(&mut self) {
        self.unload.take();
    }
    fn check(&mut self, disturbed: bool) -> anyhow::Result<()> {
        rustix::io::write(&self.wake, &[1])?;
        let (_, end) = sys::wait(self.sleeper, 0).context("waitpid")?;
        ensure!(end == End::Exit(0), "the sleeper ended with {end:?}");
        self.unload.check(disturbed)
    }
}

struct Unload(Option<anyhow::Result<()>>);

impl Unload {
    fn prepare() -> anyhow::Result<Box<dyn Prepared>> {
        // The last trial may have killed who was unloading it.
        if !module::is_in_charge() {
            module::remove()?;
        }
        module::load()?;
        // It ends in a worker, which counts only on that CPU.
        workers::allow_only(TAKEN_ON)?;
        Ok(Box::new(Unload(None)))
    }
}

impl Prepared for Unload {
    fn take(&mut self) {
        self.0 = Some(module::remove());
    }
    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        self.0.take().context("not taken")??;
        nothing_is_left()?;
        another_has_a_first_use()
    }
}
