// SPDX-License-Identifier: GPL-2.0
//! A virtual CPU that carries out lists of operations.

use super::guest::{self, Op, RECORD};
use super::layout;
use crate::tile::{Tile, TILES, TILE_BYTES};
use anyhow::{bail, ensure, Context};
use kvm_bindings::{kvm_dtable, kvm_msr_entry, kvm_regs, kvm_segment, kvm_xcrs, Msrs};
use kvm_ioctls::{VcpuExit, VcpuFd};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, with this value.
    Value(u64),
    /// This exception, with this error code.
    Exception(u8, u64),
}

/// A virtual CPU.
pub struct Vcpu {
    /// KVM's handle.
    pub fd: VcpuFd,
    memory: GuestMemoryMmap,
    block: u64,
}

impl Vcpu {
    /// vCPU `number`, as KVM created it.
    #[must_use]
    pub fn new(fd: VcpuFd, memory: GuestMemoryMmap, number: u64) -> Self {
        let block = layout::BLOCKS + number * layout::BLOCK;
        Vcpu { fd, memory, block }
    }

    /// Puts it into 64-bit mode, at the program's first instruction.
    ///
    /// # Errors
    ///
    /// Errors from KVM.
    pub fn set_up(&mut self) -> anyhow::Result<()> {
        let segment = |selector, type_, l, db| kvm_segment {
            base: 0,
            limit: u32::MAX,
            selector,
            type_,
            present: 1,
            s: 1,
            l,
            db,
            g: 1,
            ..Default::default()
        };
        let mut sregs = self.fd.get_sregs().context("KVM_GET_SREGS")?;
        sregs.cs = segment(8, 11, 1, 0);
        let data = segment(16, 3, 0, 1);
        (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
        let table = |base, limit| kvm_dtable {
            base,
            limit,
            ..Default::default()
        };
        sregs.gdt = table(layout::GDT, 23);
        sregs.idt = table(layout::IDT, 32 * 16 - 1);
        sregs.cr3 = layout::TABLES[0];
        // PE, MP, ET, NE, WP, PG; PAE, OSFXSR, OSXMMEXCPT; LME, LMA.
        (sregs.cr0, sregs.cr4, sregs.efer) = (0x8001_0033, 0x620, 0x500);
        self.fd.set_sregs(&sregs).context("KVM_SET_SREGS")?;
        let regs = kvm_regs {
            rip: layout::CODE,
            rflags: 2,
            r15: self.block,
            ..Default::default()
        };
        self.fd.set_regs(&regs).context("KVM_SET_REGS")?;
        let config = self.block + layout::CONFIG;
        self.memory.write_obj(1_u8, GuestAddress(config))?;
        for tile in 0..TILES as u64 {
            self.memory
                .write_obj(64_u16, GuestAddress(config + 16 + 2 * tile))?;
            self.memory
                .write_obj(16_u8, GuestAddress(config + 48 + tile))?;
        }
        Ok(())
    }

    /// Sets what the `load` operation loads from now on.
    ///
    /// # Errors
    ///
    /// The block is outside guest memory.
    pub fn set_tiles(&self, tiles: &[Tile; TILES]) -> anyhow::Result<()> {
        for (tile, at) in tiles
            .iter()
            .zip((self.block + layout::LOADED..).step_by(TILE_BYTES))
        {
            self.memory.write_slice(&tile.0, GuestAddress(at))?;
        }
        Ok(())
    }

    /// Reads a number from the block.
    ///
    /// # Errors
    ///
    /// As for [`Vcpu::set_tiles`].
    pub fn number(&self, place: u64) -> anyhow::Result<u64> {
        Ok(self.memory.read_obj(GuestAddress(self.block + place))?)
    }

    /// A reference to the guest's memory, for accessing it while the vCPU runs.
    #[must_use]
    pub fn memory(&self) -> GuestMemoryMmap {
        self.memory.clone()
    }

    /// The guest address of a number in the block.
    #[must_use]
    pub fn address(&self, place: u64) -> GuestAddress {
        GuestAddress(self.block + place)
    }

    /// Makes the guest carry out `ops`, and returns how each ended.
    ///
    /// # Errors
    ///
    /// It left the guest other than at the end of the list.
    pub fn run(&mut self, ops: &[Op]) -> anyhow::Result<Vec<Outcome>> {
        self.give(ops)?;
        self.enter()?;
        self.outcomes(ops.len())
    }

    /// Like [`Vcpu::run`], but every operation must succeed. Returns their values.
    ///
    /// # Errors
    ///
    /// An exception, or as for [`Vcpu::run`].
    pub fn values(&mut self, ops: &[Op]) -> anyhow::Result<Vec<u64>> {
        let outcomes = self.run(ops)?;
        let values = outcomes.iter().zip(ops).map(|(outcome, op)| match outcome {
            Outcome::Value(value) => Ok(*value),
            Outcome::Exception(..) => bail!("{op:x?} ended in {outcome:x?}"),
        });
        values.collect()
    }

    /// Sets the next list, for [`Vcpu::enter`].
    ///
    /// # Errors
    ///
    /// The list is too long.
    pub fn give(&mut self, ops: &[Op]) -> anyhow::Result<()> {
        ensure!(ops.len() < 4096 / RECORD, "{} operations", ops.len());
        let at = (self.block + layout::OPS..).step_by(RECORD);
        for (op, at) in ops.iter().chain(&[guest::end()]).zip(at) {
            self.memory.write_slice(&op.bytes(), GuestAddress(at))?;
        }
        Ok(())
    }

    /// Runs the guest to the end of its list; signals to this thread do not interrupt it.
    ///
    /// # Errors
    ///
    /// Any other exit to user space.
    pub fn enter(&mut self) -> anyhow::Result<()> {
        loop {
            match self.fd.run() {
                Ok(VcpuExit::IoOut(guest::PORT, _)) => return Ok(()),
                Ok(exit) => bail!("the guest ended with {exit:x?}"),
                Err(error) if error.errno() == libc::EINTR => {}
                Err(error) => return Err(error).context("KVM_RUN"),
            }
        }
    }

    /// Returns how the first `count` operations of the last list ended.
    ///
    /// # Errors
    ///
    /// As for [`Vcpu::number`].
    pub fn outcomes(&self, count: usize) -> anyhow::Result<Vec<Outcome>> {
        let at = (self.block + layout::RESULTS..).step_by(RECORD).take(count);
        at.map(|at| {
            let [exception, value, error]: [u64; 3] = self.memory.read_obj(GuestAddress(at))?;
            Ok(match exception {
                u64::MAX => Outcome::Value(value),
                number => Outcome::Exception(number as u8, error),
            })
        })
        .collect()
    }

    /// KVM_GET_MSRS for one MSR; `None` if KVM refuses it.
    ///
    /// # Errors
    ///
    /// Errors from KVM.
    pub fn msr(&self, index: u32) -> anyhow::Result<Option<u64>> {
        let mut msrs = Msrs::from_entries(&[kvm_msr_entry {
            index,
            ..Default::default()
        }])?;
        let given = self.fd.get_msrs(&mut msrs).context("KVM_GET_MSRS")?;
        Ok((given == 1).then(|| msrs.as_slice()[0].data))
    }

    /// KVM_SET_MSRS for one MSR; false if KVM refuses it.
    ///
    /// # Errors
    ///
    /// Errors from KVM.
    pub fn set_msr(&self, index: u32, data: u64) -> anyhow::Result<bool> {
        let msrs = Msrs::from_entries(&[kvm_msr_entry {
            index,
            data,
            ..Default::default()
        }])?;
        Ok(self.fd.set_msrs(&msrs).context("KVM_SET_MSRS")? == 1)
    }

    /// KVM_SET_XCRS for XCR0.
    ///
    /// # Errors
    ///
    /// The errno. EINVAL: the value has components that the guest must not have.
    pub fn set_xcr0(&self, value: u64) -> Result<(), i32> {
        let mut xcrs = kvm_xcrs {
            nr_xcrs: 1,
            ..Default::default()
        };
        xcrs.xcrs[0].value = value;
        self.fd.set_xcrs(&xcrs).map_err(|error| error.errno())
    }
}
