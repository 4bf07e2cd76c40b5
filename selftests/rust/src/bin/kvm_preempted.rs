// SPDX-License-Identifier: GPL-2.0
//! A vCPU's IA32_XFD is written while the CPU holds another task's registers: the vCPU's thread had loaded the
//! vCPU's registers, slept, and continues after others have run. That task's IA32_XFD must not change.
//!
//! KVM_SET_MSRS gets a CET MSR, for which KVM loads the vCPU's registers; a wall clock in a page that is slow to
//! arrive; IA32_XFD; and a wall clock in another slow page. The other task spins in user mode on the same CPU, so the
//! CPU holds that task's registers when the first page arrives.

use anyhow::{ensure, Context};
use kvm_bindings::{kvm_msr_entry, Msrs};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use xfd_selftests::counters::{bugs_are_mended, module_is_loaded, Counters};
use xfd_selftests::ktap::{self, Outcome};
use xfd_selftests::kvm::guest as does;
use xfd_selftests::kvm::vcpu::Vcpu;
use xfd_selftests::kvm::{self, layout, TILE_DATA, U_CET, XFD};
use xfd_selftests::slow_memory::{SlowMemory, PAGE};
use xfd_selftests::spinner::{Order, Spinner};
use xfd_selftests::sys::End;
use xfd_selftests::{child, cpus};

const TESTS: &[ktap::Test] = &[
    ("armed_over_a_tasks_tiles", || {
        mended(|| armed_over_tiles(Order::Look))
    }),
    ("armed_over_a_tasks_tiles_that_are_saved", || {
        mended(|| armed_over_tiles(Order::SleepAndLook))
    }),
    ("disarmed_for_a_task_without_permission", || {
        mended(disarmed_without_permission)
    }),
];

/// MSR_KVM_WALL_CLOCK_NEW: KVM immediately writes the time to this address.
const WALL_CLOCK: u32 = 0x4b56_4d00;
const ROUNDS: usize = 5;
/// Time limit for a request for a guest's page.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    ktap::run(TESTS)
}

fn mended(test: fn() -> anyhow::Result<()>) -> anyhow::Result<Outcome> {
    if let Some(why) = kvm::missing()? {
        return Ok(Outcome::Skipped(why));
    }
    if !bugs_are_mended() {
        return Ok(Outcome::Skipped(
            "the stock kernel has this bug: fpu_update_guest_xfd() writes IA32_XFD for another task".into(),
        ));
    }
    if cpus::allowed()?.len() < 2 {
        return Ok(Outcome::Skipped("needs two CPUs".into()));
    }
    child::passes(test)?;
    Ok(Outcome::Passed)
}

/// The vCPU's thread, on `cpu`: sets the list with `xfd`; the two `pages` are slow.
fn set(vcpu: &Vcpu, cpu: usize, xfd: u64, pages: [u64; 2]) -> anyhow::Result<()> {
    cpus::pin_to(cpu)?;
    let list = [
        (U_CET, 0),
        (WALL_CLOCK, pages[0]),
        (XFD, xfd),
        (WALL_CLOCK, pages[1]),
    ];
    let entries = list.map(|(index, data)| kvm_msr_entry {
        index,
        data,
        ..Default::default()
    });
    let taken = vcpu.fd.set_msrs(&Msrs::from_entries(&entries)?)?;
    ensure!(taken == list.len(), "KVM_SET_MSRS accepted {taken}");
    Ok(())
}

/// Runs `look` once `spinner` has `cpu` again and the vCPU's XFD has become `xfd`.
fn write_between<R>(
    vcpu: &Vcpu,
    slow: &SlowMemory,
    page: usize,
    (cpu, xfd): (usize, u64),
    spinner: Spinner,
    look: impl FnOnce(Spinner) -> anyhow::Result<R>,
) -> anyhow::Result<R> {
    let addresses = [page, page + 1].map(|page| layout::SLOW + (page * PAGE) as u64);
    thread::scope(|scope| {
        let writes = scope.spawn(|| set(vcpu, cpu, xfd, addresses));
        let result = (|| {
            for expected in [page, page + 1] {
                let wanted = slow.next_fault(PATIENCE)?;
                let wanted = wanted.context("no thread waits for a page")?;
                ensure!(wanted == expected, "page {wanted}, not {expected}");
                spinner.has_the_cpu()?;
                if wanted == page {
                    slow.give(page, &[0; PAGE])?;
                }
            }
            look(spinner)
        })();
        // Whatever went wrong, the thread must not sleep forever.
        let _ = slow.give(page, &[0; PAGE]);
        let _ = slow.give(page + 1, &[0; PAGE]);
        writes
            .join()
            .expect("no panic")
            .context("the vCPU's thread")?;
        result
    })
}

/// The CPU for the vCPU and the spinning process; this thread moves to another.
fn places() -> anyhow::Result<usize> {
    let cpus = cpus::allowed()?;
    cpus::pin_to(cpus[1])?;
    Ok(cpus[0])
}

/// With XFD armed the other task would have a second first use, and lose its tiles if its registers were saved first.
fn armed_over_tiles(order: Order) -> anyhow::Result<()> {
    let cpu = places()?;
    // The kernel's own code does not count, but warns if CONFIG_X86_DEBUG_FPU is enabled.
    let repeated = || match module_is_loaded() {
        true => Counters::now().map(|counters| counters.repeated),
        false => Ok(0),
    };
    let before = repeated()?;
    let (vm, mut vcpu) = kvm::configured(1)?;
    let slow = vm.slow_memory(2 * ROUNDS)?;
    for round in 0..ROUNDS {
        vcpu.values(&[does::wrmsr(XFD, 0), does::load()])?;
        let spinner = Spinner::start(cpu, Some(100 + round as u64))?;
        let xfd = (cpu, TILE_DATA);
        let found = write_between(&vcpu, &slow, 2 * round, xfd, spinner, |spinner| {
            spinner.finds_its_tiles(order)
        })?;
        ensure!(found, "round {round}: the other task lost its tiles");
        let repeated = repeated()? - before;
        ensure!(repeated == 0, "round {round}: {repeated} second first uses");
        vcpu.values(&[does::rdmsr(XFD)])?;
    }
    Ok(())
}

/// With XFD disarmed the other task could use tiles.
fn disarmed_without_permission() -> anyhow::Result<()> {
    let cpu = places()?;
    let (vm, mut vcpu) = kvm::configured(2)?;
    let slow = vm.slow_memory(2 * ROUNDS)?;
    for round in 0..ROUNDS {
        vcpu.values(&[does::wrmsr(XFD, TILE_DATA)])?;
        let spinner = Spinner::start(cpu, None)?;
        let end = write_between(&vcpu, &slow, 2 * round, (cpu, 0), spinner, |spinner| {
            spinner.ends_at_a_tile()
        })?;
        ensure!(
            end == End::Signal(libc::SIGILL),
            "round {round}: TILEZERO without permission: {end:?}"
        );
        let xfd = vcpu.values(&[does::rdmsr(XFD)])?;
        ensure!(xfd == [0], "the guest's XFD: {xfd:x?}");
    }
    Ok(())
}
