// SPDX-License-Identifier: GPL-2.0
//! A virtual machine: its memory, with page tables, descriptors and `guest`'s program.
#![expect(unsafe_code, reason = "KVM maps memory by address")]

use super::guest;
use super::layout;
use super::vcpu::Vcpu;
use crate::slow_memory::{SlowMemory, PAGE};
use anyhow::Context;
use kvm_bindings::{kvm_userspace_memory_region, CpuId};
use kvm_ioctls::{Kvm, VmFd};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// A virtual machine with 2 MiB of memory and no devices.
pub struct Vm {
    /// KVM's handle.
    pub fd: VmFd,
    memory: GuestMemoryMmap,
}

impl Vm {
    /// Creates a virtual machine.
    ///
    /// # Errors
    ///
    /// Errors from KVM.
    pub fn new(kvm: &Kvm) -> anyhow::Result<Self> {
        let fd = kvm.create_vm().context("KVM_CREATE_VM")?;
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), layout::MEMORY)])
            .context("guest memory")?;
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: 0,
            memory_size: layout::MEMORY as u64,
            userspace_addr: memory.get_host_address(GuestAddress(0))?.addr() as u64,
        };
        // SAFETY: all of the region is mapped, and every vCPU holds a reference to the mapping.
        unsafe { fd.set_user_memory_region(region) }.context("KVM_SET_USER_MEMORY_REGION")?;
        // Just below 4 GiB; only used by processors without unrestricted guests.
        fd.set_tss_address(0xfffb_d000)
            .context("KVM_SET_TSS_ADDR")?;
        let vm = Vm { fd, memory };
        vm.fill().context("writing guest memory")?;
        Ok(vm)
    }

    /// Adds memory whose pages are slow to arrive, at [`layout::SLOW`].
    ///
    /// # Errors
    ///
    /// There is no such memory, or an error from KVM.
    pub fn slow_memory(&self, pages: usize) -> anyhow::Result<SlowMemory> {
        let slow = SlowMemory::new(pages)?;
        let region = kvm_userspace_memory_region {
            slot: 1,
            flags: 0,
            guest_phys_addr: layout::SLOW,
            memory_size: (pages * PAGE) as u64,
            userspace_addr: slow.address(0) as u64,
        };
        // SAFETY: all of the region is mapped, and stays mapped.
        unsafe { self.fd.set_user_memory_region(region) }.context("KVM_SET_USER_MEMORY_REGION")?;
        Ok(slow)
    }

    /// Adds vCPU `number` with these CPUID leaves, in 64-bit mode at the program's first
    /// instruction.
    ///
    /// # Errors
    ///
    /// Errors from KVM.
    pub fn vcpu(&self, number: u64, cpuid: &CpuId) -> anyhow::Result<Vcpu> {
        let mut vcpu = self.bare_vcpu(number)?;
        vcpu.fd.set_cpuid2(cpuid).context("KVM_SET_CPUID2")?;
        vcpu.set_up()?;
        Ok(vcpu)
    }

    /// Adds a vCPU as KVM creates it: without CPUID, at its reset vector.
    ///
    /// # Errors
    ///
    /// Errors from KVM.
    pub fn bare_vcpu(&self, number: u64) -> anyhow::Result<Vcpu> {
        let fd = self.fd.create_vcpu(number).context("KVM_CREATE_VCPU")?;
        Ok(Vcpu::new(fd, self.memory.clone(), number))
    }

    fn fill(&self) -> anyhow::Result<()> {
        let [pml4, pdpt, pd] = layout::TABLES;
        let words = [
            (pml4, pdpt | 3),
            (pdpt, pd | 3),
            // One writable 2 MiB page.
            (pd, 0x83),
            // 64-bit code; data.
            (layout::GDT + 8, 0x00af_9b00_0000_ffff),
            (layout::GDT + 16, 0x00cf_9300_0000_ffff),
        ];
        for (address, word) in words {
            self.memory.write_obj(word, GuestAddress(address))?;
        }
        for number in 0..32 {
            let handler = layout::CODE + guest::exception(number);
            // An interrupt gate to segment 8.
            let low = handler & 0xffff | 8 << 16 | 0x8e00 << 32 | (handler >> 16 & 0xffff) << 48;
            let gate = GuestAddress(layout::IDT + 16 * number);
            self.memory.write_obj([low, handler >> 32], gate)?;
        }
        self.memory
            .write_slice(guest::code(), GuestAddress(layout::CODE))?;
        Ok(())
    }
}
