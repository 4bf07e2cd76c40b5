// SPDX-License-Identifier: GPL-2.0
//! First uses, and the five arch_prctl options.
#![expect(unsafe_code, reason = "a signal handler that reads its frame")]

use super::{another_has_a_first_use, Path, Prepared, Start};
use crate::areas;
use crate::counters::module_is_loaded;
use crate::every::kind::{Kind, Kinds};
use crate::sys;
use crate::tile::{self, content, expect, Tile, Tiles};
use anyhow::{ensure, Context};
use std::ffi::c_int;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use xcomp::{Error, Feature};

pub(super) const PATHS: &[Path] = &[
    Path::new(
        "first_use",
        "the #NM of a process with permission",
        Start::NextNm,
        |_, _| FirstUse::prepare(),
    )
    .by(Kinds::ALL.without(Kind::Wake)),
    Path::new(
        "first_use_new",
        "the same, and no buffer is kept: a new one is allocated",
        Start::NextNm,
        |_, _| {
            keep_no_buffers()?;
            FirstUse::prepare()
        },
    )
    .needs(POOL),
    Path::new(
        "first_use_without_memory",
        "the same, and there is no memory: to its handler of SIGSEGV and back",
        Start::NextNm,
        |_, _| Refused::starved(),
    )
    // The failing allocation is not tied to a task, so another first use could get it.
    .by(Kinds::USUAL.without(Kind::FirstUse))
    .starves()
    .needs(FAIL),
    Path::new(
        "denied",
        "the #NM of one without, to its handler of SIGILL and back",
        Start::NextNm,
        |_, _| Refused::denied(),
    ),
    Path::new(
        "get_supp",
        "ARCH_GET_XCOMP_SUPP",
        Start::Function("__x64_sys_arch_prctl"),
        |_, _| Ask::prepare(|| xcomp::supported().map(drop)),
    ),
    Path::new(
        "get_perm",
        "ARCH_GET_XCOMP_PERM",
        Start::Function("__x64_sys_arch_prctl"),
        |_, _| Ask::prepare(|| xcomp::permitted().map(drop)),
    ),
    Path::new(
        "req_perm",
        "ARCH_REQ_XCOMP_PERM",
        Start::Function("__x64_sys_arch_prctl"),
        |_, _| Request::prepare(xcomp::request, xcomp::permitted),
    )
    .by(Kinds::ALL.without(Kind::Wake)),
    Path::new(
        "get_guest_perm",
        "ARCH_GET_XCOMP_GUEST_PERM",
        Start::Function("__x64_sys_arch_prctl"),
        |_, _| Ask::prepare(|| xcomp::guest_permitted().map(drop)),
    ),
    Path::new(
        "req_guest_perm",
        "ARCH_REQ_XCOMP_GUEST_PERM",
        Start::Function("__x64_sys_arch_prctl"),
        |_, _| Request::prepare(xcomp::request_guest, xcomp::guest_permitted),
    ),
    Path::new(
        "pool_shrink",
        "the shrinker frees buffers that are kept",
        Start::Function("xfd_pool_shrink"),
        |_, _| Shrink::prepare(),
    )
    .once()
    .by(Kinds::USUAL.with(Kind::Unload)),
];

/// Memory is requested while buffers are kept.
struct Shrink(anyhow::Result<()>);

impl Shrink {
    fn prepare() -> anyhow::Result<Box<dyn Prepared>> {
        another_has_a_first_use()?;
        Ok(Box::new(Shrink(Ok(()))))
    }
}

impl Prepared for Shrink {
    fn take(&mut self) {
        self.0 = fs::write("/proc/sys/vm/drop_caches", "2").context("drop_caches");
    }
    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        std::mem::replace(&mut self.0, Ok(()))?;
        another_has_a_first_use()
    }
    fn again(&mut self) -> anyhow::Result<bool> {
        // The check has left a buffer in the pool.
        Ok(true)
    }
}

/// How many buffers the module may keep; the caller restores it.
const POOL: &str = "/sys/module/xfd/parameters/pool";

/// From now on the module keeps no buffers.
fn keep_no_buffers() -> anyhow::Result<()> {
    fs::write(POOL, "0").context(POOL)?;
    if areas::pooled()? > 0 {
        fs::write("/proc/sys/vm/drop_caches", "2").context("drop_caches")?;
    }
    Ok(())
}

/// How many buffer allocations must fail, in a build with CONFIG_XFD_FAULTS.
const FAIL: &str = "/sys/module/xfd/parameters/fail_allocations";

struct FirstUse(Tiles);

impl FirstUse {
    fn prepare() -> anyhow::Result<Box<dyn Prepared>> {
        xcomp::request(Feature::TILE_DATA)?;
        Ok(Box::new(FirstUse(Tiles::configure())))
    }
}

impl Prepared for FirstUse {
    fn take(&mut self) {
        self.0.zero::<0>();
    }
    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        ensure!(tile::configured(), "the tiles are no longer configured");
        let initial = self.0.store_all().iter().all(|tile| *tile == Tile::ZERO);
        ensure!(initial, "the tiles are not initial");
        self.0.load_all(&content(2));
        expect(&self.0.store_all(), 2)
    }
}

/// A use of tiles that ends in a signal.
struct Refused {
    tiles: Tiles,
    /// The trap number expected in the frame, in the upper half, and the error code.
    trap: u64,
    /// Whether the process may use tiles.
    permitted: bool,
}

/// The signal frame's contents: trap number in the upper half, error code in the lower; and a bit for its arrival.
static TRAP: AtomicU64 = AtomicU64::new(0);
const SIGNALLED: u64 = 1 << 63;
/// TILEZERO TMM0.
const TILEZERO: [u8; 5] = [0xc4, 0xe2, 0x7b, 0x49, 0xc0];

extern "C" fn on_refused(_: c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the third argument is a ucontext_t, which the handler owns.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let (trap, error) = (
        registers[libc::REG_TRAPNO as usize],
        registers[libc::REG_ERR as usize],
    );
    // SAFETY: RIP is readable, since the instruction there has just been executed, and it is five bytes long.
    let bytes = unsafe { *(registers[libc::REG_RIP as usize] as *const [u8; 5]) };
    if bytes != TILEZERO || TRAP.load(SeqCst) != 0 {
        sys::exit_now(102);
    }
    TRAP.store(SIGNALLED | (trap as u64) << 32 | error as u64, SeqCst);
    registers[libc::REG_RIP as usize] += TILEZERO.len() as i64;
}

impl Refused {
    /// Without permission.
    fn denied() -> anyhow::Result<Box<dyn Prepared>> {
        sys::on_signal_with_context(libc::SIGILL, on_refused)?;
        Self::warm(false)
    }

    /// In a build with CONFIG_XFD_FAULTS, the next allocations fail and no buffer is kept.
    fn starved() -> anyhow::Result<Box<dyn Prepared>> {
        sys::on_signal_with_context(libc::SIGSEGV, on_refused)?;
        xcomp::request(Feature::TILE_DATA)?;
        keep_no_buffers()?;
        fs::write(FAIL, "2").context(FAIL)?;
        Self::warm(true)
    }

    /// Runs it once beforehand, so that there are no page faults on the path.
    fn warm(permitted: bool) -> anyhow::Result<Box<dyn Prepared>> {
        let mut refused = Refused {
            tiles: Tiles::configure(),
            trap: SIGNALLED | 7 << 32,
            permitted,
        };
        refused.take();
        TRAP.store(0, SeqCst);
        Ok(Box::new(refused))
    }
}

impl Prepared for Refused {
    fn take(&mut self) {
        self.tiles.zero::<0>();
    }
    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        let trap = TRAP.load(SeqCst);
        ensure!(trap & SIGNALLED != 0, "no signal came");
        // The kernel's own code does not set them for a denied use: bugs.rst.
        let said = trap == self.trap || !module_is_loaded();
        ensure!(said, "trap number and error code: {trap:#x}");
        let permitted = xcomp::permitted()?.contains(Feature::TILE_DATA);
        ensure!(permitted == self.permitted, "permitted: {permitted}");
        if permitted {
            // Memory is available again.
            self.tiles.load_all(&content(23));
            expect(&self.tiles.store_all(), 23)?;
        }
        Ok(())
    }
    fn again(&mut self) -> anyhow::Result<bool> {
        TRAP.store(0, SeqCst);
        Ok(!self.permitted)
    }
}

struct Ask<F>(F, Option<Result<(), Error>>);

impl<F: Fn() -> Result<(), Error> + 'static> Ask<F> {
    fn prepare(ask: F) -> anyhow::Result<Box<dyn Prepared>> {
        Ok(Box::new(Ask(ask, None)))
    }
}

impl<F: Fn() -> Result<(), Error>> Prepared for Ask<F> {
    fn take(&mut self) {
        self.1 = Some((self.0)());
    }
    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        Ok(self.1.take().context("not asked")??)
    }
    fn again(&mut self) -> anyhow::Result<bool> {
        Ok(true)
    }
}

struct Request {
    request: fn(Feature) -> Result<(), Error>,
    permitted: fn() -> Result<xcomp::FeatureSet, Error>,
    answer: Option<Result<(), Error>>,
}

impl Request {
    fn prepare(
        request: fn(Feature) -> Result<(), Error>,
        permitted: fn() -> Result<xcomp::FeatureSet, Error>,
    ) -> anyhow::Result<Box<dyn Prepared>> {
        Ok(Box::new(Request {
            request,
            permitted,
            answer: None,
        }))
    }
}

impl Prepared for Request {
    fn take(&mut self) {
        self.answer = Some((self.request)(Feature::TILE_DATA));
    }
    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        self.answer.take().context("not asked")??;
        let has = (self.permitted)()?;
        ensure!(has.contains(Feature::TILE_DATA), "permitted: {has:?}");
        Ok(())
    }
}
