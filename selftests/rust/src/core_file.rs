// SPDX-License-Identifier: GPL-2.0
//! A core file's extended-state notes, read with the `object` crate.

use crate::tile::{Tile, TILES, TILE_BYTES};
use anyhow::{ensure, Context};
use object::elf::{FileHeader64, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader};
use object::Endianness;

/// NT_X86_XSTATE: one per thread, the registers in XSAVE's standard format (uapi/linux/elf.h).
const NT_X86_XSTATE: u32 = 0x202;
/// NT_X86_XSAVE_LAYOUT: one per process, the offset of each component in those areas.
const NT_X86_XSAVE_LAYOUT: u32 = 0x205;
/// XSTATE_BV, the first field of an XSAVE area's header (SDM vol. 1, 13.4.2).
const XSTATE_BV: usize = 512;
/// The component with the tile configuration.
pub const TILE_CFG: u32 = 17;
/// The component with the tile data.
pub const TILE_DATA: u32 = 18;

/// A component's location: a record of NT_X86_XSAVE_LAYOUT (struct x86_xfeat_component).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its number.
    pub number: u32,
    /// Its size in bytes.
    pub size: u32,
    /// Where it starts.
    pub offset: u32,
    /// No flags are defined.
    pub flags: u32,
}

/// A core file's extended state.
pub struct CoreFile {
    /// The areas, one per thread, starting with the thread that died.
    pub areas: Vec<Vec<u8>>,
    /// The layout.
    pub layout: Vec<Component>,
}

impl CoreFile {
    /// Parses a core file.
    ///
    /// # Errors
    ///
    /// It is not an x86-64 core file, or its notes are inconsistent.
    pub fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let header = FileHeader64::<Endianness>::parse(bytes)?;
        let endian = header.endian()?;
        ensure!(
            header.e_type(endian) == object::elf::ET_CORE,
            "not a core file"
        );
        let mut core = CoreFile {
            areas: Vec::new(),
            layout: Vec::new(),
        };
        for segment in header.program_headers(endian, bytes)? {
            if segment.p_type(endian) != PT_NOTE {
                continue;
            }
            let mut notes = segment
                .notes(endian, bytes)?
                .context("PT_NOTE without notes")?;
            while let Some(note) = notes.next()? {
                match (note.name(), note.n_type(endian)) {
                    (b"LINUX", NT_X86_XSTATE) => core.areas.push(note.desc().to_vec()),
                    (b"LINUX", NT_X86_XSAVE_LAYOUT) => {
                        ensure!(core.layout.is_empty(), "two layout notes");
                        core.layout = components(note.desc())?;
                    }
                    _ => {}
                }
            }
        }
        Ok(core)
    }

    /// A component's bytes in an area, and whether XSTATE_BV marks them as valid.
    #[must_use]
    pub fn component<'a>(&self, area: &'a [u8], number: u32) -> Option<(bool, &'a [u8])> {
        let at = self.layout.iter().find(|at| at.number == number)?;
        let (start, size) = (at.offset as usize, at.size as usize);
        let marked = xstate_bv(area)? >> number & 1 == 1;
        Some((marked, area.get(start..start + size)?))
    }

    /// Checks that an area is sized for all the machine's components, with exactly these tiles.
    ///
    /// # Errors
    ///
    /// What the area contains instead.
    pub fn expect_tiles(&self, area: &[u8], tiles: Option<&[Tile; TILES]>) -> anyhow::Result<()> {
        let end = self.layout.iter().map(|at| at.offset + at.size).max();
        ensure!(
            end == u32::try_from(area.len()).ok(),
            "area of {} bytes, layout of {end:?}",
            area.len()
        );
        let (configured, config) = self.component(area, TILE_CFG).context("no TILE_CFG")?;
        let (used, data) = self.component(area, TILE_DATA).context("no TILE_DATA")?;
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
        ensure!(data == expected, "wrong tiles");
        Ok(())
    }
}

/// Tile registers, one after another, as in a core file.
fn bytes(tiles: &[Tile; TILES]) -> Vec<u8> {
    tiles.iter().flat_map(|tile| tile.0).collect()
}

/// The components that an area marks as not in their initial state.
#[must_use]
pub fn xstate_bv(area: &[u8]) -> Option<u64> {
    let bytes = area.get(XSTATE_BV..XSTATE_BV + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn components(bytes: &[u8]) -> anyhow::Result<Vec<Component>> {
    let words: Vec<u32> = bytes
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        .collect();
    ensure!(
        bytes.len() % 16 == 0,
        "records of 16 bytes in {} bytes",
        bytes.len()
    );
    Ok(words
        .chunks_exact(4)
        .map(|record| Component {
            number: record[0],
            size: record[1],
            offset: record[2],
            flags: record[3],
        })
        .collect())
}
