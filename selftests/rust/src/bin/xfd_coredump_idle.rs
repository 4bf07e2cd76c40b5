// SPDX-License-Identifier: GPL-2.0
//! Core dumps with a thread that released its tiles and slept. By then the module has reclaimed its buffer, the
//! kernel's own code has not; the core file is the same.

use anyhow::{bail, ensure, Context};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;
use std::{process, thread};
use xcomp::Feature;
use xfd_selftests::avx::{self, Ymm, MXCSR};
use xfd_selftests::core_file::{xstate_bv, CoreFile, TILE_CFG, TILE_DATA};
use xfd_selftests::dumped::{self, core_of, without_cores};
use xfd_selftests::idle::{self, Passes};
use xfd_selftests::ktap::{self, Outcome};
use xfd_selftests::sys;
use xfd_selftests::tile::{content, Tiles};

const TESTS: &[ktap::Test] = &[
    ("beside_live_tiles", || slept("another_dies")),
    ("of_the_sleeper_itself", || slept("it_dies")),
    ("of_a_sleeper_that_goes_on", || slept("it_goes_on_and_dies")),
];

/// The tile bits in XSTATE_BV.
const TILE_BITS: u64 = 1 << TILE_CFG | 1 << TILE_DATA;
/// SSE and AVX.
const OTHER_BITS: u64 = 1 << 1 | 1 << AVX;
const AVX: u32 = 2;
/// Offsets in an XSAVE area (SDM vol. 1, 13.4.1), and where Linux writes XCR0 (asm/user.h, `USER_XSTATE_XCR0_WORD`).
const MXCSR_AT: usize = 24;
const XMM_AT: usize = 160;
const XCR0_AT: usize = 464;

fn main() -> ExitCode {
    dumped::run(TESTS, die)
}

/// One thread sleeps without tiles; the other, with live tiles, makes the process die.
fn die(how: &str) -> anyhow::Result<()> {
    xcomp::request(Feature::TILE_DATA)?;
    let reclaimed = idle::reclaimed()?;
    let (wake, waker) = rustix::pipe::pipe()?;
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        Tiles::configure().load_all(&content(1));
        tell.send(sys::tid()).expect("the receiver exists");
        let after = avx::read_with(wake.as_fd(), &Ymm::filled(1));
        if after.is_ok_and(|after| after == Ymm::filled(1)) {
            let mut tiles = Tiles::configure();
            tiles.load_all(&content(3));
            process::abort();
        }
        process::exit(1);
    });
    let mut tiles = Tiles::configure();
    tiles.load_all(&content(2));
    let sleeper = told.recv()?;
    idle::wait_until_asleep(sleeper)?;
    idle::wait_until_reclaimed(reclaimed, 1)?;
    // Passes inspect this thread as well.
    thread::sleep(Duration::from_millis(100));
    match how {
        "another_dies" => process::abort(),
        "it_dies" => ensure!(sys::signal_thread(sleeper, libc::SIGABRT), "it is gone"),
        _ => ensure!(rustix::io::write(&waker, &[0])? == 1, "write"),
    }
    loop {
        thread::park();
    }
}

fn slept(how: &str) -> anyhow::Result<Outcome> {
    if let Some(skip) = without_cores()? {
        return Ok(skip);
    }
    let passes = Passes::begin()?;
    let core = core_of(how)?;
    drop(passes);
    // The dying thread comes first.
    let (sleeper, other) = match (core.areas.as_slice(), how) {
        ([other, sleeper], "another_dies") => (sleeper, other),
        ([sleeper, other], _) => (sleeper, other),
        _ => bail!("{} notes of registers", core.areas.len()),
    };
    ktap::answer(&format!("coredump.{how}.size"), sleeper.len());
    ktap::answer(
        &format!("coredump.{how}.tile_bits"),
        format_args!("{:#x}", bits(sleeper)? & TILE_BITS),
    );
    core.expect_tiles(other, Some(&content(2)))
        .context("the other thread")?;
    let goes_on = how == "it_goes_on_and_dies";
    core.expect_tiles(sleeper, goes_on.then_some(&content(3)))
        .context("the sleeper")?;
    let xcr0 = number(sleeper, XCR0_AT)?;
    ensure!(
        xcr0 == xcomp::supported()?.bits() && number(other, XCR0_AT)? == xcr0,
        "XCR0 is {xcr0:#x}"
    );
    if !goes_on {
        expect_registers(&core, sleeper)?;
    }
    Ok(Outcome::Passed)
}

fn bits(area: &[u8]) -> anyhow::Result<u64> {
    xstate_bv(area).context("XSTATE_BV")
}

fn number(area: &[u8], at: usize) -> anyhow::Result<u64> {
    let bytes = area.get(at..at + 8).context("a short area")?;
    Ok(u64::from_le_bytes(bytes.try_into()?))
}

/// Checks the registers that the thread slept with.
fn expect_registers(core: &CoreFile, area: &[u8]) -> anyhow::Result<()> {
    ensure!(
        bits(area)? & OTHER_BITS == OTHER_BITS,
        "XSTATE_BV is {:#x}",
        bits(area)?
    );
    let mxcsr = number(area, MXCSR_AT)? as u32;
    ensure!(mxcsr == MXCSR, "MXCSR is {mxcsr:#x}");
    let (_, high) = core.component(area, AVX).context("no AVX")?;
    for (i, expected) in Ymm::filled(1).0.iter().enumerate() {
        let low = &area[XMM_AT + 16 * i..][..16];
        ensure!(
            [low, &high[16 * i..][..16]].concat() == expected,
            "YMM{i} has changed"
        );
    }
    Ok(())
}
