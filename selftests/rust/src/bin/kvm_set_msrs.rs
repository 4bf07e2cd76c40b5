// SPDX-License-Identifier: GPL-2.0
//! IA32_XFD in a KVM_SET_MSRS list, over live tiles. For a CET MSR, KVM loads the vCPU's registers in the middle of the
//! list, so the kernel loads what the list has just armed, without a KVM_RUN.

use anyhow::{bail, ensure, Context};
use kvm_bindings::{kvm_msr_entry, Msrs};
use std::process::ExitCode;
use std::thread;
use xfd_selftests::ktap;
use xfd_selftests::kvm::area::Area;
use xfd_selftests::kvm::guest as does;
use xfd_selftests::kvm::ioctls;
use xfd_selftests::kvm::vcpu::{Outcome as Ended, Vcpu};
use xfd_selftests::kvm::vm::Vm;
use xfd_selftests::kvm::{
    self, LARGE, NM, PL0_SSP, TILES, TILE_CFG, TILE_DATA, U_CET, XFD, XFD_ERR,
};
use xfd_selftests::tile::content;

const TESTS: &[ktap::Test] = &[
    ("cet_after_arming", || {
        kvm::apart_where_mended(cet_after_arming)
    }),
    ("cet_after_each", || kvm::apart_where_mended(cet_after_each)),
    ("armed_by_another_thread", || {
        kvm::apart_where_mended(armed_by_another_thread)
    }),
    ("armed_and_written", || {
        kvm::apart_where_mended(armed_and_written)
    }),
    ("read_after_arming", || {
        kvm::apart_where_mended(read_after_arming)
    }),
    ("one_register_at_a_time", || {
        kvm::apart_where_mended(one_register_at_a_time)
    }),
    ("cet_before_arming", || kvm::apart(cet_before_arming)),
    ("disarmed_again", || kvm::apart(disarmed_again)),
];

fn main() -> ExitCode {
    ktap::run(TESTS)
}

/// A guest that has loaded contents `number` into its tiles, and has exited.
fn live(number: u64) -> anyhow::Result<(Vm, Vcpu)> {
    let (vm, mut vcpu) = kvm::configured(number)?;
    vcpu.values(&[does::load()])?;
    Ok((vm, vcpu))
}

/// Sets the list, all of which must be accepted.
fn set(vcpu: &Vcpu, list: &[(u32, u64)]) -> anyhow::Result<()> {
    let entries: Vec<_> = list
        .iter()
        .map(|&(index, data)| kvm_msr_entry {
            index,
            data,
            ..Default::default()
        })
        .collect();
    let taken = vcpu
        .fd
        .set_msrs(&Msrs::from_entries(&entries)?)
        .context("KVM_SET_MSRS")?;
    ensure!(
        taken == list.len(),
        "only {taken} of {list:x?} were accepted"
    );
    Ok(())
}

/// What was armed is gone: the guest's tile instruction raises #NM, and its tiles are then initial.
fn dropped(vcpu: &mut Vcpu) -> anyhow::Result<()> {
    Area::of(vcpu, LARGE)?.expect_tile_bits(TILE_CFG)?;
    let outcomes = vcpu.run(&[does::zero(), does::wrmsr(XFD_ERR, 0)])?;
    ensure!(outcomes[0] == Ended::Exception(NM, 0), "{outcomes:x?}");
    let values = vcpu.values(&[does::wrmsr(XFD, 0), does::xgetbv(1)])?;
    ensure!(values[1] & TILES == TILE_CFG, "XINUSE {:#x}", values[1]);
    Ok(())
}

fn kept(vcpu: &mut Vcpu) -> anyhow::Result<()> {
    Area::of(vcpu, LARGE)?.expect_tile_bits(TILES)?;
    ensure!(vcpu.values(&[does::check()])? == [0], "wrong tiles");
    Ok(())
}

/// The shortest case: one ioctl.
fn cet_after_arming() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = live(1)?;
    for msr in [U_CET, PL0_SSP] {
        set(&vcpu, &[(XFD, TILE_DATA), (msr, 0)])?;
        dropped(&mut vcpu)?;
        vcpu.values(&[does::load()])?;
    }
    Ok(())
}

/// Armed and disarmed in one list, with the registers loaded after each.
fn cet_after_each() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = live(2)?;
    let list = [
        (XFD, TILE_DATA),
        (U_CET, 0),
        (XFD, 0),
        (PL0_SSP, 0),
        (XFD, TILE_DATA),
        (XFD, 0),
        (XFD, TILE_DATA),
        (U_CET, 0),
    ];
    set(&vcpu, &list)?;
    dropped(&mut vcpu)
}

/// Set by a thread that did not run the vCPU, and has its own tiles in its registers.
fn armed_by_another_thread() -> anyhow::Result<()> {
    use xfd_selftests::tile::{expect, Tiles};
    xcomp::request(xcomp::Feature::TILE_DATA)?;
    let (_vm, mut vcpu) = live(3)?;
    let theirs = &vcpu;
    let other = || -> anyhow::Result<()> {
        let mut tiles = Tiles::configure();
        tiles.load_all(&content(30));
        set(theirs, &[(XFD, TILE_DATA), (U_CET, 0)])?;
        expect(&tiles.store_all(), 30)
    };
    thread::scope(|scope| scope.spawn(other).join().expect("no panic"))?;
    dropped(&mut vcpu)
}

/// KVM_SET_XSAVE with live tiles between two lists: it drops them, since XFD is armed.
fn armed_and_written() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = live(4)?;
    let area = Area::of(&vcpu, LARGE)?;
    area.expect_tile_bits(TILES)?;
    set(&vcpu, &[(XFD, TILE_DATA)])?;
    ensure!(area.give(&vcpu)? == 0, "KVM_SET_XSAVE");
    set(&vcpu, &[(U_CET, 0)])?;
    dropped(&mut vcpu)?;
    ensure!(area.give(&vcpu)? == 0, "KVM_SET_XSAVE");
    kept(&mut vcpu)
}

/// KVM_GET_MSRS loads the registers, too.
fn read_after_arming() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = live(5)?;
    set(&vcpu, &[(XFD, TILE_DATA)])?;
    match vcpu.msr(U_CET)? {
        Some(0) => dropped(&mut vcpu),
        other => bail!("U_CET: {other:x?}"),
    }
}

/// So do KVM_GET_ONE_REG and KVM_SET_ONE_REG of an MSR.
fn one_register_at_a_time() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = live(8)?;
    for reads in [true, false] {
        ioctls::set_one_msr(&vcpu.fd, XFD, TILE_DATA).context("KVM_SET_ONE_REG of IA32_XFD")?;
        if reads {
            let value =
                ioctls::get_one_msr(&vcpu.fd, U_CET).context("KVM_GET_ONE_REG of IA32_U_CET")?;
            ensure!(value == 0, "U_CET: {value:#x}");
        } else {
            ioctls::set_one_msr(&vcpu.fd, U_CET, 0).context("KVM_SET_ONE_REG of IA32_U_CET")?;
        }
        let armed = ioctls::get_one_msr(&vcpu.fd, XFD).context("KVM_GET_ONE_REG of IA32_XFD")?;
        ensure!(armed == TILE_DATA, "IA32_XFD: {armed:#x}");
        dropped(&mut vcpu)?;
        vcpu.values(&[does::load()])?;
    }
    Ok(())
}

/// The registers are loaded when XFD is armed, so XSAVES drops the tiles.
fn cet_before_arming() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = live(6)?;
    set(&vcpu, &[(U_CET, 0), (XFD, TILE_DATA), (PL0_SSP, 0)])?;
    dropped(&mut vcpu)
}

/// With nothing left armed, nothing is lost.
fn disarmed_again() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = live(7)?;
    set(&vcpu, &[(XFD, 0), (U_CET, 0), (XFD, 0)])?;
    kept(&mut vcpu)
}
