// SPDX-License-Identifier: GPL-2.0
//! A hypervisor's paths. Its thread always has its own live tiles.

use super::{live, Path, Prepared, Start};
use crate::every::kind::{Kind, Kinds};
use crate::every::shared::{Shared, WATCHED_FROM};
use crate::kvm::area::{Area, DATA};
use crate::kvm::guest::{self as does, Op};
use crate::kvm::vcpu::Vcpu;
use crate::kvm::vm::Vm;
use crate::kvm::{self, layout, supported_cpuid, ENABLE, LARGE, TILE_DATA, XCR0_WITH_TILES, XFD};
use crate::tile::{content, expect, Tiles};
use crate::{cpus, idle, sys};
use anyhow::{ensure, Context};
use kvm_bindings::CpuId;
use kvm_ioctls::Kvm;
use std::sync::mpsc::{self, Sender};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use xcomp::Feature;

pub(super) const PATHS: &[Path] = &[
    Path::new(
        "vcpu_create",
        "KVM_CREATE_VCPU with permission",
        Start::Function("fpu_alloc_guest_fpstate"),
        |_, _| Guest::prepare(Made::Empty, |guest| guest.create(), &[], &[]),
    )
    .by(Kinds::USUAL),
    Path::new(
        "vcpu_cpuid",
        "KVM_SET_CPUID2 that shows AMX",
        Start::Function("fpu_enable_guest_xfd_features"),
        |_, _| Guest::prepare(Made::Bare, |guest| guest.set_cpuid(), &FIRST_USE, &[]),
    ),
    Path::new(
        "vcpu_xcr0",
        "KVM_SET_XCRS that enables tile data",
        Start::Arming,
        |_, _| Guest::prepare(Made::Fresh, |guest| guest.set_xcr0(), &FIRST_USE, &[]),
    )
    .by(RUNS),
    Path::new(
        "vcpu_xfd",
        "KVM_SET_MSRS that disarms XFD",
        Start::Arming,
        |_, _| Guest::prepare(Made::Armed, |guest| guest.disarm(), &LOADED, &[]),
    )
    .by(RUNS_OR_UNLOAD),
    Path::new(
        "vcpu_first_use",
        "KVM_RUN of a guest from XSETBV to its first tiles",
        Start::Arming,
        |_, _| Guest::prepare(Made::Fresh, |guest| guest.run(&FIRST_USE), &STILL, &[]),
    )
    .by(RUNS),
    Path::new(
        "vcpu_arms",
        "KVM_RUN of a guest that for the first time arms XFD over live tiles",
        Start::Arming,
        |_, _| Guest::prepare(Made::Loaded, |guest| guest.run(&ARMS), &LOADED, &[]),
    )
    .by(RUNS_OR_UNLOAD),
    Path::new(
        "vcpu_armed",
        "KVM_RUN of a guest that takes #NM and disarms XFD, and its exit",
        Start::Arming,
        |_, _| Guest::prepare(Made::Armed, |guest| guest.run(&SERVED), &STILL, &ARM_AGAIN),
    )
    .by(RUNS),
    Path::new(
        "vcpu_swap",
        "KVM_RUN of a guest with live tiles",
        Start::Arming,
        |_, _| Guest::prepare(Made::Loaded, |guest| guest.run(&STILL), &STILL, &STILL),
    )
    .by(RUNS),
    Path::new(
        "vcpu_get_xsave",
        "KVM_GET_XSAVE2 with live tiles",
        Start::Function("fpu_copy_guest_fpstate_to_uabi"),
        |_, _| Guest::prepare(Made::Loaded, |guest| guest.get_xsave(), &STILL, &STILL),
    )
    .by(Kinds::USUAL),
    Path::new(
        "vcpu_set_xsave",
        "KVM_SET_XSAVE with live tiles",
        Start::Function("fpu_copy_uabi_to_guest_fpstate"),
        |_, _| Guest::prepare(Made::Zeroed, |guest| guest.set_xsave(), &STILL, &ZERO),
    )
    .by(Kinds::USUAL),
    Path::new(
        "vcpu_end",
        "the end of a virtual machine with live tiles",
        Start::Function("fpu_free_guest_fpstate"),
        |_, _| Guest::prepare(Made::Loaded, |guest| guest.end(), &[], &[]),
    )
    .by(Kinds::USUAL),
    Path::new(
        "vcpu_beside",
        "KVM_RUN with live tiles, while another thread makes a vCPU beside it",
        Start::Arming,
        |shared, _| Beside::prepare(shared),
    )
    .by(Kinds::of(&[Kind::Wake]))
    .ticks(A_VCPUS_LIFE),
];

/// Trigger ticks that suffice for creating a vCPU and running it twice.
const A_VCPUS_LIFE: u64 = 20_000_000;

/// What applies to KVM_RUN; it allocates and frees nothing except on the first use.
const RUNS: Kinds = Kinds::of(&[
    Kind::Preempt,
    Kind::Migrate,
    Kind::Kill,
    Kind::Trace,
    Kind::Nmi,
    Kind::FpuInIrq,
]);
/// The same for runs that involve the module.
const RUNS_OR_UNLOAD: Kinds = RUNS.with(Kind::Unload);

const FIRST_USE: [Op; 5] = [
    does::set_cr4(1 << 18),
    does::xsetbv(XCR0_WITH_TILES),
    does::configure(),
    does::load(),
    does::check(),
];
const ARMS: [Op; 2] = [does::wrmsr(XFD, TILE_DATA), does::wrmsr(XFD, 0)];
const SERVED: [Op; 3] = [does::serve_nm(true), does::load(), does::check()];

/// Returns to XFD armed and no tiles in use.
const ARM_AGAIN: [Op; 4] = [
    does::release(),
    does::serve_nm(false),
    does::wrmsr(XFD, TILE_DATA),
    does::configure(),
];
const ZERO: [Op; 1] = [does::zero()];

/// Tiles that were live when XFD was armed may be lost: a save while it is armed treats them as initial (SDM vol. 1,
/// 13.14).
const LOADED: [Op; 2] = [does::load(), does::check()];
const STILL: [Op; 1] = [does::check()];

type Step = fn(&mut Guest) -> anyhow::Result<()>;

/// The state of the virtual machine before the path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    /// No vCPU.
    Empty,
    /// A vCPU as KVM creates it.
    Bare,
    /// One that may enable tiles, and has run.
    Fresh,
    /// One that has armed XFD, with no tiles in use.
    Armed,
    /// One with live tiles.
    Loaded,
    /// The same, and an image with different tiles.
    Zeroed,
}

struct Guest {
    tiles: Tiles,
    kvm: Kvm,
    vm: Option<Arc<Vm>>,
    vcpu: Option<Vcpu>,
    cpuid: CpuId,
    area: Option<Area>,
    made: Made,
    step: Step,
    /// What the guest does after the path.
    after: &'static [Op],
    /// What restores the state before the path; without it a new machine is needed.
    resets: &'static [Op],
    result: Option<anyhow::Result<()>>,
}

const OWN: u64 = 20;
const GUESTS: u64 = 21;

impl Guest {
    fn prepare(
        made: Made,
        step: Step,
        after: &'static [Op],
        resets: &'static [Op],
    ) -> anyhow::Result<Box<dyn Prepared>> {
        Ok(Box::new(Self::new(made, step, after, resets)?))
    }

    fn new(
        made: Made,
        step: Step,
        after: &'static [Op],
        resets: &'static [Op],
    ) -> anyhow::Result<Self> {
        xcomp::request_guest(Feature::TILE_DATA)?;
        let kvm = kvm::open()?;
        let mut guest = Guest {
            vm: None,
            vcpu: None,
            cpuid: supported_cpuid(&kvm)?,
            area: None,
            made,
            step,
            after,
            resets,
            result: None,
            tiles: live(OWN)?,
            kvm,
        };
        guest.make()?;
        Ok(guest)
    }

    /// A new virtual machine.
    fn make(&mut self) -> anyhow::Result<()> {
        (self.area, self.vcpu, self.vm) = (None, None, None);
        self.vm = Some(Arc::new(Vm::new(&self.kvm)?));
        match self.made {
            Made::Empty => return Ok(()),
            Made::Bare => return self.create(),
            _ => (),
        }
        let vcpu = self.vm()?.vcpu(0, &self.cpuid)?;
        vcpu.set_tiles(&content(GUESTS))?;
        self.vcpu = Some(vcpu);
        match self.made {
            Made::Armed => {
                self.run(&[does::wrmsr(XFD, TILE_DATA)])?;
                self.run(&ENABLE)
            }
            Made::Loaded | Made::Zeroed => {
                self.run(&ENABLE)?;
                self.run(&[does::load()])?;
                self.area = Some(Area::of(self.vcpu()?, LARGE)?);
                match self.made {
                    Made::Zeroed => self.run(&ZERO),
                    _ => Ok(()),
                }
            }
            // Maps part of its memory before the path.
            _ => self.run(&[does::set_cr4(1 << 18)]),
        }
    }

    fn vm(&self) -> anyhow::Result<&Arc<Vm>> {
        self.vm.as_ref().context("no virtual machine")
    }

    fn vcpu(&mut self) -> anyhow::Result<&mut Vcpu> {
        self.vcpu.as_mut().context("no vCPU")
    }

    fn create(&mut self) -> anyhow::Result<()> {
        self.vcpu = Some(self.vm()?.bare_vcpu(0)?);
        Ok(())
    }

    fn set_cpuid(&mut self) -> anyhow::Result<()> {
        let cpuid = self.cpuid.clone();
        self.vcpu()?.fd.set_cpuid2(&cpuid).context("KVM_SET_CPUID2")
    }

    fn set_xcr0(&mut self) -> anyhow::Result<()> {
        let set = self.vcpu()?.set_xcr0(XCR0_WITH_TILES);
        ensure!(set == Ok(()), "KVM_SET_XCRS: {set:?}");
        Ok(())
    }

    fn disarm(&mut self) -> anyhow::Result<()> {
        ensure!(self.vcpu()?.set_msr(XFD, 0)?, "KVM_SET_MSRS");
        Ok(())
    }

    fn run(&mut self, ops: &[Op]) -> anyhow::Result<()> {
        self.vcpu()?.values(ops).map(drop)
    }

    fn get_xsave(&mut self) -> anyhow::Result<()> {
        self.area = Some(Area::of(self.vcpu()?, LARGE)?);
        Ok(())
    }

    fn set_xsave(&mut self) -> anyhow::Result<()> {
        let area = self.area.take().context("no area")?;
        let errno = area.give(self.vcpu()?)?;
        ensure!(errno == 0, "KVM_SET_XSAVE: errno {errno}");
        self.area = Some(area);
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<()> {
        (self.vcpu, self.vm) = (None, None);
        Ok(())
    }
}

impl Prepared for Guest {
    fn take(&mut self) {
        self.result = Some((self.step)(self));
    }
    /// The hypervisor's own tiles are unchanged, and the guest can use its tiles.
    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        self.result.take().context("not taken")??;
        expect(&self.tiles.store_all(), OWN).context("the hypervisor's own tiles")?;
        if let Some(area) = &self.area {
            area.expect_tile_bits(kvm::TILES)?;
            let tiles = content(GUESTS);
            let tiles = tiles.each_ref().map(|tile| tile.0);
            let is = area
                .0
                .get(DATA..)
                .is_some_and(|data| data.starts_with(tiles.as_flattened()));
            ensure!(is, "the image has wrong tiles");
        }
        if self.made == Made::Bare {
            let vcpu = self.vcpu()?;
            vcpu.set_up()?;
            vcpu.set_tiles(&content(GUESTS))?;
        }
        if self.vcpu.is_some() && !self.after.is_empty() {
            self.run(self.after)?;
            let wrong = self.vcpu()?.number(layout::WRONG)?;
            ensure!(wrong == 0, "the guest found wrong tiles");
        }
        Ok(())
    }
    fn again(&mut self) -> anyhow::Result<bool> {
        if self.resets.is_empty() {
            self.make()?;
        } else {
            self.run(self.resets)?;
        }
        Ok(true)
    }
}

/// A running vCPU, and a thread that will create another one: the victim.
struct Beside {
    shared: &'static Shared,
    guest: Guest,
    other: Option<Other>,
}

struct Other {
    /// The thread may exit when this is dropped.
    stays: Sender<()>,
    thread: JoinHandle<anyhow::Result<[Vcpu; 2]>>,
}

impl Beside {
    fn prepare(shared: &'static Shared) -> anyhow::Result<Box<dyn Prepared>> {
        let guest = Guest::new(Made::Loaded, |guest| guest.run(&STILL), &STILL, &STILL)?;
        let (vm, cpuid) = (guest.vm()?.clone(), guest.cpuid.clone());
        let (says, hears) = mpsc::channel();
        let (stays, ended) = mpsc::channel();
        let thread = thread::spawn(move || {
            cpus::pin_to(WATCHED_FROM)?;
            // A TLB flush on all CPUs would wait for the stopped one, so there must be none: no first write to a page
            // since fork(), no freeing of memory, no thread exit.
            let first = make_another(&vm, 1, &cpuid)?;
            says.send(sys::tid())?;
            shared.sleep_until_woken();
            let second = make_another(&vm, 2, &cpuid);
            shared.victim_has_finished();
            let _ = ended.recv();
            Ok([first, second?])
        });
        let tid = hears.recv().context("the other thread has not started")?;
        idle::wait_until_asleep(tid)?;
        shared.set_victim(tid);
        Ok(Box::new(Beside {
            shared,
            guest,
            other: Some(Other { stays, thread }),
        }))
    }
}

fn make_another(vm: &Vm, number: u64, cpuid: &CpuId) -> anyhow::Result<Vcpu> {
    let mut vcpu = vm.vcpu(number, cpuid)?;
    vcpu.set_tiles(&content(24))?;
    for ops in [&ENABLE[..], &LOADED] {
        vcpu.values(ops)?;
    }
    ensure!(
        vcpu.number(layout::WRONG)? == 0,
        "the other vCPU found wrong tiles"
    );
    Ok(vcpu)
}

impl Prepared for Beside {
    fn take(&mut self) {
        self.guest.take();
    }
    fn check(&mut self, disturbed: bool) -> anyhow::Result<()> {
        self.shared.wake_victim();
        let Other { stays, thread } = self.other.take().context("no other thread")?;
        drop(stays);
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("the other thread panicked"))??;
        self.guest.check(disturbed)
    }
}
