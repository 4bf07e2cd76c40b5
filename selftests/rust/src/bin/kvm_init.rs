// SPDX-License-Identifier: GPL-2.0
//! INIT of a virtual CPU. Tiles, XCR0 and IA32_XFD survive it (SDM vol. 3A, Processor State After Reset),
//! but not the CET registers. KVM clears these in the buffer; if the vCPU's registers are loaded, it saves
//! them first, and loads them again: `kvm_xstate_reset()`.

use anyhow::{ensure, Context};
use kvm_bindings::{kvm_mp_state, kvm_msi, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_RUNNABLE};
use kvm_ioctls::VcpuExit;
use std::process::ExitCode;
use xfd_selftests::ktap;
use xfd_selftests::kvm::area::Area;
use xfd_selftests::kvm::guest as does;
use xfd_selftests::kvm::states;
use xfd_selftests::kvm::vcpu::{Outcome as Ended, Vcpu};
use xfd_selftests::kvm::vm::Vm;
use xfd_selftests::kvm::{
    self, ENABLE, LARGE, NM, TILES, TILE_CFG, TILE_DATA, U_CET, XFD, XFD_ERR,
};

const TESTS: &[ktap::Test] = &[
    ("first_processor", || {
        kvm::apart(|| survives(0, by_asking_for_its_state))
    }),
    ("other_processor", || {
        kvm::apart(|| survives(1, by_asking_for_its_state))
    }),
    ("while_it_runs", || kvm::apart(|| survives(0, by_running))),
    ("cet_is_cleared", || kvm::apart(cet_is_cleared)),
    ("armed_by_the_host_over_live_tiles", || {
        kvm::apart_where_mended(armed_by_the_host)
    }),
];

fn main() -> ExitCode {
    ktap::run(TESTS)
}

/// vCPU `number` of a machine with local APICs, whose guest may use tiles.
fn vcpu(number: u64) -> anyhow::Result<(Vm, Vcpu)> {
    xcomp::request_guest(xcomp::Feature::TILE_DATA)?;
    let kvm = kvm::open()?;
    let vm = Vm::new(&kvm)?;
    vm.fd.create_irq_chip().context("KVM_CREATE_IRQCHIP")?;
    let mut cpuid = kvm::supported_cpuid(&kvm)?;
    for leaf in cpuid.as_mut_slice() {
        match leaf.function {
            1 => leaf.ebx |= (number as u32) << 24,
            0xb | 0x1f => leaf.edx = number as u32,
            _ => (),
        }
    }
    let vcpu = vm.vcpu(number, &cpuid)?;
    runnable(&vcpu)?;
    // KVM's map of APICs lacks this one until something in it is set: kvm_recalculate_apic_map().
    let apic = vcpu.fd.get_lapic().context("KVM_GET_LAPIC")?;
    vcpu.fd.set_lapic(&apic).context("KVM_SET_LAPIC")?;
    Ok((vm, vcpu))
}

fn runnable(vcpu: &Vcpu) -> anyhow::Result<()> {
    let mp_state = KVM_MP_STATE_RUNNABLE;
    vcpu.fd
        .set_mp_state(kvm_mp_state { mp_state })
        .context("KVM_SET_MP_STATE")
}

/// An INIT for APIC `number`; it is pending until the vCPU looks for it.
fn send(vm: &Vm, number: u64) -> anyhow::Result<()> {
    let msi = kvm_msi {
        address_lo: 0xfee0_0000 | (number as u32) << 12,
        data: 5 << 8,
        ..Default::default()
    };
    let delivered = vm.fd.signal_msi(msi).context("KVM_SIGNAL_MSI")?;
    ensure!(delivered == 1, "{delivered} vCPUs took INIT");
    Ok(())
}

/// KVM takes the INIT before it answers.
fn by_asking_for_its_state(vcpu: &mut Vcpu, number: u64) -> anyhow::Result<()> {
    let state = vcpu.fd.get_mp_state().context("KVM_GET_MP_STATE")?.mp_state;
    let expected = if number == 0 {
        KVM_MP_STATE_RUNNABLE
    } else {
        KVM_MP_STATE_INIT_RECEIVED
    };
    ensure!(state == expected, "after INIT its state is {state}");
    Ok(())
}

/// The first processor continues at the reset vector, where it has no memory.
fn by_running(vcpu: &mut Vcpu, _: u64) -> anyhow::Result<()> {
    let ended = vcpu.fd.run().context("KVM_RUN")?;
    ensure!(
        !matches!(ended, VcpuExit::IoOut(..)),
        "it continued its program: {ended:?}"
    );
    Ok(())
}

/// It had an INIT, and gets back into its program.
fn starts_again(vcpu: &mut Vcpu) -> anyhow::Result<()> {
    let rip = vcpu.fd.get_regs().context("KVM_GET_REGS")?.rip;
    ensure!(rip == 0xfff0, "no INIT: RIP is {rip:#x}");
    runnable(vcpu)?;
    vcpu.set_up()?;
    vcpu.values(&ENABLE[..1]).map(drop)
}

fn survives(number: u64, takes: fn(&mut Vcpu, u64) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for state in ["unused", "live", "released", "armed", "in_nm"] {
        let (vm, mut vcpu) = vcpu(number)?;
        states::into_state(&mut vcpu, state)?;
        for _ in 0..2 {
            send(&vm, number)?;
            takes(&mut vcpu, number).context(state)?;
            starts_again(&mut vcpu).context(state)?;
        }
        states::goes_on(&mut vcpu, state).context(state)?;
    }
    Ok(())
}

/// The component is cleared where it lies in an enlarged buffer, next to the tiles.
fn cet_is_cleared() -> anyhow::Result<()> {
    const SHADOW_STACKS: u64 = 1;
    let (vm, mut vcpu) = vcpu(0)?;
    states::into_state(&mut vcpu, "live")?;
    ensure!(vcpu.set_msr(U_CET, SHADOW_STACKS)?, "IA32_U_CET");
    send(&vm, 0)?;
    by_asking_for_its_state(&mut vcpu, 0)?;
    let cet = vcpu.msr(U_CET)?;
    ensure!(cet == Some(0), "IA32_U_CET {cet:x?}");
    Area::of(&vcpu, LARGE)?.expect_tile_bits(TILES)?;
    starts_again(&mut vcpu)?;
    ensure!(vcpu.values(&[does::check()])? == [0], "wrong tiles");
    Ok(())
}

/// What was armed is gone, whether KVM has loaded the vCPU's registers when INIT comes or not.
fn armed_by_the_host() -> anyhow::Result<()> {
    let (vm, mut vcpu) = vcpu(0)?;
    for takes in [by_asking_for_its_state, by_running] {
        states::into_state(&mut vcpu, "live")?;
        ensure!(vcpu.set_msr(XFD, TILE_DATA)?, "IA32_XFD");
        send(&vm, 0)?;
        takes(&mut vcpu, 0)?;
        Area::of(&vcpu, LARGE)?.expect_tile_bits(TILE_CFG)?;
        starts_again(&mut vcpu)?;
        let outcomes = vcpu.run(&[does::zero(), does::wrmsr(XFD_ERR, 0)])?;
        ensure!(outcomes[0] == Ended::Exception(NM, 0), "{outcomes:x?}");
        vcpu.values(&[does::wrmsr(XFD, 0)])?;
    }
    Ok(())
}
