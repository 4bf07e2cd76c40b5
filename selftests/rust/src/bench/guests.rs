// SPDX-License-Identifier: GPL-2.0
//! Virtual CPUs: what it costs to create them, to exit from the guest, and when the guest first uses
//! tiles. The guest's own instructions are included, and are the same on both paths.

use super::clock::{Clock, Values};
use super::report;
use crate::kvm::guest::{self as does, Op};
use crate::kvm::vcpu::Vcpu;
use crate::kvm::{self, vm::Vm, ENABLE, TILE_DATA, XFD};
use anyhow::Context;
use xcomp::Feature;

/// How often a list repeats the measured operation.
const TIMES: u64 = 100;

/// `kvm.create`, `kvm.cpuid`: KVM_CREATE_VCPU, and KVM_SET_CPUID2 with tiles. `kvm.life`: both, plus a
/// guest that enables and uses tiles, and the destruction of its machine.
///
/// # Errors
///
/// KVM is missing, or permission is refused.
pub fn lives(clock: &Clock, count: usize) -> anyhow::Result<()> {
    let request = xcomp::request_guest(Feature::TILE_DATA);
    request.context("permission for the guests")?;
    let kvm = kvm::open()?;
    let cpuid = kvm::supported_cpuid(&kvm)?;
    let (mut created, mut shown, mut lives) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let machine = Vm::new(&kvm)?;
        let life = clock.mark();
        let mark = clock.mark();
        let mut vcpu = machine.bare_vcpu(0)?;
        created.push(clock.since(&mark));
        let mark = clock.mark();
        vcpu.fd.set_cpuid2(&cpuid).context("KVM_SET_CPUID2")?;
        shown.push(clock.since(&mark));
        vcpu.set_up()?;
        use_tiles(&mut vcpu)?;
        drop(vcpu);
        drop(machine);
        lives.push(clock.since(&life));
    }
    report::spans("kvm.create", clock, &created);
    report::spans("kvm.cpuid", clock, &shown);
    report::spans("kvm.life", clock, &lives);
    Ok(())
}

/// Does what a booting kernel with AMX does, then what its first thread that uses tiles does.
fn use_tiles(vcpu: &mut Vcpu) -> anyhow::Result<()> {
    vcpu.values(&[does::serve_nm(true), does::wrmsr(XFD, TILE_DATA)])?;
    vcpu.values(&ENABLE)?;
    vcpu.values(&[does::load()])?;
    Ok(())
}

/// `kvm.run`: KVM_RUN with a single exit, to user space. `kvm.exits.plain`: a hundred exits of a guest that
/// does not use XFD; `.armed`: of one that has armed it but used no tiles; `.tiles`: of one with live tiles.
/// `kvm.first_uses`: arming XFD and using a tile, a hundred times.
///
/// # Errors
///
/// As for [`lives`].
pub fn exits(clock: &Clock, count: usize) -> anyhow::Result<()> {
    let exits = [does::cpuid(0, 0), does::repeat(1, TIMES)];
    let (_machine, mut vcpu) = kvm::with_tiles()?;
    report::spans("kvm.run", clock, &lists(clock, &mut vcpu, &[], count)?);
    let plain = lists(clock, &mut vcpu, &exits, count)?;
    report::spans("kvm.exits.plain", clock, &plain);
    vcpu.values(&[does::serve_nm(true), does::wrmsr(XFD, TILE_DATA)])?;
    vcpu.values(&ENABLE)?;
    let armed = lists(clock, &mut vcpu, &exits, count)?;
    report::spans("kvm.exits.armed", clock, &armed);
    vcpu.values(&[does::load()])?;
    let tiles = lists(clock, &mut vcpu, &exits, count)?;
    report::spans("kvm.exits.tiles", clock, &tiles);
    let first_uses = [
        does::wrmsr(XFD, TILE_DATA),
        does::zero(),
        does::repeat(2, TIMES),
    ];
    let first_uses = lists(clock, &mut vcpu, &first_uses, count)?;
    report::spans("kvm.first_uses", clock, &first_uses);
    Ok(())
}

/// Makes the guest carry out `ops`, `count` times.
fn lists(clock: &Clock, vcpu: &mut Vcpu, ops: &[Op], count: usize) -> anyhow::Result<Vec<Values>> {
    let mut spans = Vec::with_capacity(count);
    // The first runs are warm-up.
    for number in 0..count + 2 {
        vcpu.give(ops)?;
        let mark = clock.mark();
        vcpu.enter()?;
        let values = clock.since(&mark);
        if number >= 2 {
            spans.push(values);
        }
    }
    Ok(spans)
}
