// SPDX-License-Identifier: GPL-2.0
//! Core dumps of processes before the first use of tiles, after their release, and with live ones.

use anyhow::{bail, ensure, Context};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{array, fs, process, thread};
use xcomp::Feature;
use xfd_selftests::core_file::{xstate_bv, Component, CoreFile};
use xfd_selftests::ktap::{self, Outcome};
use xfd_selftests::tile::{Tile, Tiles, TILES, TILE_BYTES};

const TESTS: &[ktap::Test] = &[
    ("without_permission", || dumped("unpermitted")),
    ("before_the_first_use", || dumped("no_buffer")),
    ("after_tilerelease", || dumped("initial")),
    ("with_live_tiles", || dumped("live")),
    ("of_two_threads", of_two_threads),
    ("layout", layout),
];

/// As first argument: die, the second says how. For as small a core as can be.
const DIE: &str = "--die";
const TILE_CFG: u32 = 17;
const TILE_DATA: u32 = 18;
/// SIGABRT, a core was dumped.
const DUMPED: i32 = 6 | 0x80;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(DIE) {
        return match die(&args.next().unwrap_or_default()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("# {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    ktap::run(TESTS)
}

/// Content that two seeds do not share.
fn filled(seed: u8) -> [Tile; TILES] {
    array::from_fn(|tile| {
        Tile(array::from_fn(|i| {
            (i * 7 + tile * 31) as u8 ^ (i >> 8) as u8 ^ seed
        }))
    })
}

/// With its state as `how` says, a process dumps core.
fn die(how: &str) -> anyhow::Result<()> {
    fs::write("/proc/self/coredump_filter", "0")?;
    let unlimited = rustix::process::Rlimit {
        current: None,
        maximum: None,
    };
    rustix::process::setrlimit(rustix::process::Resource::Core, unlimited)?;
    if how != "unpermitted" {
        xcomp::request(Feature::TILE_DATA)?;
    }
    match how {
        "unpermitted" | "no_buffer" => {}
        "initial" => Tiles::configure().load_all(&filled(1)),
        "live" | "two_threads" => {
            let mut tiles = Tiles::configure();
            tiles.load_all(&filled(1));
            if how == "two_threads" {
                let other = thread::spawn(|| {
                    let mut tiles = Tiles::configure();
                    tiles.load_all(&filled(2));
                    process::abort();
                });
                let _ = other.join();
            }
            process::abort();
        }
        _ => bail!("die how: {how}"),
    }
    process::abort()
}

/// The reason why no core of ours can be found, if there is one. No setting is changed.
fn without_cores() -> anyhow::Result<Option<Outcome>> {
    let skip = |why: String| Ok(Some(Outcome::Skipped(why)));
    if !xcomp::supported()?.contains(Feature::TILE_DATA) {
        return skip("no AMX on this machine".into());
    }
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern")?;
    let pattern = pattern.trim();
    if pattern.is_empty() || pattern.starts_with(['|', '@', '/']) {
        return skip(format!(
            "cores go to {pattern:?}: needs a plain name in /proc/sys/kernel/core_pattern"
        ));
    }
    Ok(None)
}

/// A folder that goes with its contents.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("xfd-core-{name}-{}", process::id()));
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Folder(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The core of a process that died as `how` says.
fn core_of(how: &str) -> anyhow::Result<CoreFile> {
    let folder = Folder::new(how)?;
    let status = Command::new(std::env::current_exe()?)
        .args([DIE, how])
        .current_dir(folder.path())
        .status()
        .context("starting this program again")?;
    ensure!(
        status.into_raw() == DUMPED,
        "{how}: ended with {status}, expected SIGABRT and a core"
    );
    let mut files = fs::read_dir(folder.path())?;
    let file = files.next().context("no core file")??;
    CoreFile::read(&fs::read(file.path())?)
}

/// Tile registers, one behind the other, as in a core.
fn bytes(tiles: &[Tile; TILES]) -> Vec<u8> {
    tiles.iter().flat_map(|tile| tile.0).collect()
}

/// An area has the size of all that the machine has, and exactly these tiles.
fn expect_tiles(core: &CoreFile, area: &[u8], tiles: Option<&[Tile; TILES]>) -> anyhow::Result<()> {
    let end = core.layout.iter().map(|at| at.offset + at.size).max();
    ensure!(
        end == u32::try_from(area.len()).ok(),
        "area of {} bytes, layout of {end:?}",
        area.len()
    );
    let (configured, config) = core.component(area, TILE_CFG).context("no TILE_CFG")?;
    let (used, data) = core.component(area, TILE_DATA).context("no TILE_DATA")?;
    ensure!(
        configured == tiles.is_some() && used == tiles.is_some(),
        "XSTATE_BV is {:#x?}",
        xstate_bv(area)
    );
    ensure!(
        config[0] == u8::from(tiles.is_some()),
        "palette is {}",
        config[0]
    );
    let expected = tiles.map_or_else(|| vec![0; TILES * TILE_BYTES], bytes);
    ensure!(data == expected, "the tiles are other ones");
    Ok(())
}

fn dumped(how: &str) -> anyhow::Result<Outcome> {
    if let Some(skip) = without_cores()? {
        return Ok(skip);
    }
    let core = core_of(how)?;
    let [area] = core.areas.as_slice() else {
        bail!("{} notes of registers", core.areas.len())
    };
    let tiles = filled(1);
    let bits = xstate_bv(area).context("XSTATE_BV")? & (1 << TILE_CFG | 1 << TILE_DATA);
    ktap::remark(format!("answer coredump.{how}.size {}", area.len()));
    ktap::remark(format!("answer coredump.{how}.tile_bits {bits:#x}"));
    expect_tiles(&core, area, (how == "live").then_some(&tiles))?;
    Ok(Outcome::Passed)
}

/// Each thread has its own; the one that died comes first.
fn of_two_threads() -> anyhow::Result<Outcome> {
    if let Some(skip) = without_cores()? {
        return Ok(skip);
    }
    let core = core_of("two_threads")?;
    let [died, other] = core.areas.as_slice() else {
        bail!("{} notes of registers", core.areas.len())
    };
    expect_tiles(&core, died, Some(&filled(2)))?;
    expect_tiles(&core, other, Some(&filled(1)))?;
    Ok(Outcome::Passed)
}

/// The layout is what CPUID says of each component of XCR0 behind the legacy ones.
fn layout() -> anyhow::Result<Outcome> {
    if let Some(skip) = without_cores()? {
        return Ok(skip);
    }
    let core = core_of("no_buffer")?;
    for at in &core.layout {
        ktap::remark(format!(
            "answer coredump.layout.{} {} {} {}",
            at.number, at.size, at.offset, at.flags
        ));
    }
    let supported = xcomp::supported()?.bits();
    let expected: Vec<_> = (2..63)
        .filter(|number| supported >> number & 1 == 1)
        .map(|number| {
            let leaf = std::arch::x86_64::__cpuid_count(0xd, number);
            Component {
                number,
                size: leaf.eax,
                offset: leaf.ebx,
                flags: 0,
            }
        })
        .collect();
    ensure!(
        core.layout == expected,
        "{:?}, expected {expected:?}",
        core.layout
    );
    Ok(Outcome::Passed)
}
