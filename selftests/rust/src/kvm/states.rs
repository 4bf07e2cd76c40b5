// SPDX-License-Identifier: GPL-2.0
//! The states of a guest's tiles to save and restore.

use super::guest as does;
use super::vcpu::{Outcome, Vcpu};
use super::{ENABLE, NM, TILES, TILE_DATA, XFD, XFD_ERR};
use crate::tile::content;
use anyhow::{bail, ensure};

/// The number that determines the tile contents.
const CONTENT: u64 = 77;

/// Brings a guest whose CPUID has tiles into a state: `unused`, `live`, `released`, `armed`, or `in_nm`, before its
/// handler has cleared XFD_ERR.
///
/// # Errors
///
/// The guest does not reach that state.
pub fn into_state(vcpu: &mut Vcpu, state: &str) -> anyhow::Result<()> {
    vcpu.set_tiles(&content(CONTENT))?;
    if state == "unused" {
        return vcpu.values(&[ENABLE[0], does::xsetbv(7)]).map(drop);
    }
    vcpu.values(&ENABLE)?;
    let outcomes = match state {
        "live" => vcpu.run(&[does::load()])?,
        "released" => vcpu.run(&[does::load(), does::release()])?,
        "armed" => vcpu.run(&[does::load(), does::wrmsr(XFD, TILE_DATA)])?,
        "in_nm" => vcpu.run(&[does::wrmsr(XFD, TILE_DATA), does::load()])?,
        _ => bail!("state {state}"),
    };
    let nm = outcomes.contains(&Outcome::Exception(NM, 0));
    ensure!(nm == (state == "in_nm"), "{state}: {outcomes:x?}");
    Ok(())
}

/// Checks what the guest sees in that state, then makes it use tiles, if it has enabled them.
///
/// # Errors
///
/// The guest sees something else.
pub fn goes_on(vcpu: &mut Vcpu, state: &str) -> anyhow::Result<()> {
    if matches!(state, "unused" | "unknown") {
        return vcpu.values(&[does::xgetbv(0)]).map(drop);
    }
    let values = vcpu.values(&[
        does::xgetbv(0),
        does::xgetbv(1),
        does::rdmsr(XFD),
        does::rdmsr(XFD_ERR),
    ])?;
    let in_use = if state == "live" {
        TILES
    } else {
        values[1] & TILES
    };
    let xfd = if matches!(state, "armed" | "in_nm") {
        TILE_DATA
    } else {
        0
    };
    let xfd_err = if state == "in_nm" { TILE_DATA } else { 0 };
    ensure!(values[0] & TILES == TILES, "XCR0 {:#x}", values[0]);
    ensure!(values[1] & TILES == in_use, "XINUSE {:#x}", values[1]);
    ensure!(
        values[2..] == [xfd, xfd_err],
        "XFD, XFD_ERR {:x?}",
        &values[2..]
    );
    if state == "live" {
        ensure!(vcpu.values(&[does::check()])? == [0], "wrong tiles");
        return Ok(());
    }
    let nm = vcpu.run(&[
        does::configure(),
        does::zero(),
        does::wrmsr(XFD_ERR, 0),
        does::wrmsr(XFD, 0),
    ])?[1];
    ensure!(
        (nm == Outcome::Exception(NM, 0)) == (xfd != 0),
        "TILEZERO: {nm:x?}"
    );
    ensure!(
        vcpu.values(&[does::load(), does::check()])?[1] == 0,
        "wrong tiles"
    );
    Ok(())
}
