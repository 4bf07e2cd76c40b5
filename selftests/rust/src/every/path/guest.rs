// SPDX-License-Identifier: GPL-2.0
//! The paths of a hypervisor. Its thread has live tiles of its own all the time.

use super::{live, Path, Prepared, Start};
use crate::every::disturbance::Kind;
use crate::kvm::area::Area;
use crate::kvm::guest::{self as does, Op};
use crate::kvm::vcpu::Vcpu;
use crate::kvm::vm::Vm;
use crate::kvm::{self, layout, supported_cpuid, ENABLE, LARGE, TILE_DATA, XCR0_WITH_TILES, XFD};
use crate::tile::{content, expect, Tiles};
use anyhow::{ensure, Context};
use kvm_bindings::CpuId;
use xcomp::Feature;

pub(super) const PATHS: &[Path] = &[
    Path::new("vcpu_create", "KVM_CREATE_VCPU with permission", Start::Function("fpu_alloc_guest_fpstate"), |_, _| Guest::prepare(|guest| guest.create())).by(Kind::USUAL),
    Path::new("vcpu_cpuid", "KVM_SET_CPUID2 that shows AMX", Start::Function("fpu_enable_guest_xfd_features"), |_, _| Guest::bare(|guest| guest.set_cpuid())),
    Path::new("vcpu_xcr0", "KVM_SET_XCRS that enables tile data", Start::Arming, |_, _| Guest::fresh(|guest| guest.set_xcr0(), &FIRST_USE)).by(Kind::USUAL),
    Path::new("vcpu_xfd", "KVM_SET_MSRS that disarms XFD", Start::Arming, |_, _| Guest::armed(|guest| guest.disarm(), &LOADED)),
    Path::new("vcpu_first_use", "KVM_RUN of a guest from XSETBV to its first tiles", Start::Arming, |_, _| Guest::fresh(|guest| guest.run(&FIRST_USE), &STILL)).by(Kind::USUAL),
    Path::new("vcpu_arms", "KVM_RUN of a guest that arms XFD over live tiles, the first time that it does, and disarms it", Start::Arming, |_, _| Guest::loaded(|guest| guest.run(&ARMS))),
    Path::new("vcpu_armed", "KVM_RUN of a guest that takes #NM and disarms XFD, and its exit", Start::Arming, |_, _| Guest::armed(|guest| guest.run(&SERVED), &STILL)).by(Kind::USUAL),
    Path::new("vcpu_swap", "KVM_RUN of a guest with live tiles", Start::Arming, |_, _| Guest::loaded(|guest| guest.run(&[does::check()]))).by(Kind::USUAL),
    Path::new("vcpu_get_xsave", "KVM_GET_XSAVE2 with live tiles", Start::Function("fpu_copy_guest_fpstate_to_uabi"), |_, _| Guest::loaded(|guest| guest.get_xsave())).by(Kind::USUAL),
    Path::new("vcpu_set_xsave", "KVM_SET_XSAVE with live tiles", Start::Function("fpu_copy_uabi_to_guest_fpstate"), |_, _| Guest::zeroed(|guest| guest.set_xsave())).by(Kind::USUAL),
    Path::new("vcpu_end", "the end of a virtual machine with live tiles", Start::Function("fpu_free_guest_fpstate"), |_, _| Guest::loaded(|guest| guest.end())).by(Kind::USUAL),
];

const FIRST_USE: [Op; 5] = [
    does::set_cr4(1 << 18),
    does::xsetbv(XCR0_WITH_TILES),
    does::configure(),
    does::load(),
    does::check(),
];
const ARMS: [Op; 2] = [does::wrmsr(XFD, TILE_DATA), does::wrmsr(XFD, 0)];
const SERVED: [Op; 3] = [does::serve_nm(true), does::load(), does::check()];

const LOADED: [Op; 2] = [does::load(), does::check()];
const STILL: [Op; 1] = [does::check()];

type Step = fn(&mut Guest) -> anyhow::Result<()>;

struct Guest {
    tiles: Tiles,
    vm: Option<Vm>,
    vcpu: Option<Vcpu>,
    cpuid: CpuId,
    area: Option<Area>,
    step: Step,
    /// What the guest does after the path.
    after: &'static [Op],
    result: Option<anyhow::Result<()>>,
}

const OWN: u64 = 20;
const GUESTS: u64 = 21;

impl Guest {
    fn new(step: Step) -> anyhow::Result<Self> {
        xcomp::request_guest(Feature::TILE_DATA)?;
        let kvm = kvm::open()?;
        Ok(Guest {
            vm: Some(Vm::new(&kvm)?),
            vcpu: None,
            cpuid: supported_cpuid(&kvm)?,
            area: None,
            step,
            after: &[],
            result: None,
            tiles: live(OWN)?,
        })
    }

    /// A virtual machine without a vCPU.
    fn prepare(step: Step) -> anyhow::Result<Box<dyn Prepared>> {
        Ok(Box::new(Self::new(step)?))
    }

    /// With one as KVM makes it.
    fn bare(step: Step) -> anyhow::Result<Box<dyn Prepared>> {
        let mut guest = Self::new(step)?;
        guest.create()?;
        Ok(Box::new(guest))
    }

    /// With one that may enable tiles.
    fn with_vcpu(step: Step) -> anyhow::Result<Self> {
        let mut guest = Self::new(step)?;
        let vcpu = guest.vm()?.vcpu(0, &guest.cpuid)?;
        vcpu.set_tiles(&content(GUESTS))?;
        guest.vcpu = Some(vcpu);
        Ok(guest)
    }

    fn fresh(step: Step, after: &'static [Op]) -> anyhow::Result<Box<dyn Prepared>> {
        let mut guest = Self::with_vcpu(step)?;
        guest.after = after;
        Ok(Box::new(guest))
    }

    /// With one that has armed XFD, and no tiles in use.
    fn armed(step: Step, after: &'static [Op]) -> anyhow::Result<Box<dyn Prepared>> {
        let mut guest = Self::with_vcpu(step)?;
        guest.after = after;
        let vcpu = guest.vcpu()?;
        vcpu.values(&[does::wrmsr(XFD, TILE_DATA)])?;
        vcpu.values(&ENABLE)?;
        Ok(Box::new(guest))
    }

    /// With one that has live tiles.
    fn with_tiles(step: Step) -> anyhow::Result<Self> {
        let mut guest = Self::with_vcpu(step)?;
        guest.after = &STILL;
        let vcpu = guest.vcpu()?;
        vcpu.values(&ENABLE)?;
        vcpu.values(&[does::load()])?;
        guest.area = Some(Area::of(guest.vcpu()?, LARGE)?);
        Ok(guest)
    }

    fn loaded(step: Step) -> anyhow::Result<Box<dyn Prepared>> {
        Ok(Box::new(Self::with_tiles(step)?))
    }

    /// The same, and then other tiles than the area has: so there is something to write.
    fn zeroed(step: Step) -> anyhow::Result<Box<dyn Prepared>> {
        let mut guest = Self::with_tiles(step)?;
        guest.run(&[does::zero()])?;
        Ok(Box::new(guest))
    }

    fn vm(&self) -> anyhow::Result<&Vm> {
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
    /// Its own tiles are as they were, and the guest can use its own.
    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        self.result.take().context("not taken")??;
        expect(&self.tiles.store_all(), OWN).context("the hypervisor's own tiles")?;
        if let Some(area) = &self.area {
            area.expect_tile_bits(kvm::TILES)?;
        }
        if self.vcpu.is_some() && !self.after.is_empty() {
            self.run(self.after)?;
            let wrong = self.vcpu()?.number(layout::WRONG)?;
            ensure!(wrong == 0, "the guest found other tiles");
        }
        Ok(())
    }
}
