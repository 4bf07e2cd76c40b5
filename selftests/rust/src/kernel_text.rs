// SPDX-License-Identifier: GPL-2.0
//! The running kernel's text and data, by its symbols, read through /proc/kcore.

use anyhow::{ensure, Context};
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSegment, ReadCache};
use std::collections::BTreeMap;
use std::fs::{self, File};

/// Symbols and memory.
pub struct KernelText {
    by_name: BTreeMap<String, u64>,
    by_address: BTreeMap<u64, String>,
    core: ReadCache<File>,
}

/// A call or jump with a distance of four bytes.
pub struct Reference {
    /// Bytes from the function's beginning.
    pub offset: u64,
    /// `call` or `jmp`.
    pub kind: &'static str,
    /// Where it leads.
    pub target: String,
}

impl KernelText {
    /// That of now: modules come and go.
    ///
    /// # Errors
    ///
    /// Not root, or a kernel without them.
    pub fn now() -> anyhow::Result<Self> {
        let (mut by_name, mut by_address) = (BTreeMap::new(), BTreeMap::new());
        for line in fs::read_to_string("/proc/kallsyms")?.lines() {
            let mut words = line.split_whitespace();
            let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let address = u64::from_str_radix(address, 16)?;
            by_name.entry(name.to_owned()).or_insert(address);
            by_address.insert(address, name.to_owned());
        }
        let core = ReadCache::new(File::open("/proc/kcore").context("/proc/kcore")?);
        Ok(KernelText {
            by_name,
            by_address,
            core,
        })
    }

    /// The address of a symbol, which may have a suffix of the compiler's.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn find(&self, name: &str) -> anyhow::Result<u64> {
        let suffixed = || {
            let dotted = format!("{name}.");
            self.by_name
                .iter()
                .find(|(symbol, _)| symbol.starts_with(&dotted))
                .map(|(_, address)| address)
        };
        self.by_name
            .get(name)
            .or_else(suffixed)
            .copied()
            .with_context(|| format!("no symbol {name}"))
    }

    /// `length` bytes of the kernel's memory.
    ///
    /// # Errors
    ///
    /// There is nothing.
    pub fn bytes(&self, address: u64, length: u64) -> anyhow::Result<&[u8]> {
        let file: ElfFile64<'_, Endianness, _> = ElfFile64::parse(&self.core)?;
        let segment = file
            .segments()
            .find(|s| (s.address()..s.address() + s.size()).contains(&address))
            .with_context(|| format!("{address:#x} is not in /proc/kcore"))?;
        let bytes = segment.data_range(address, length)?.context("not there")?;
        ensure!(bytes.len() as u64 == length, "too short");
        Ok(bytes)
    }

    /// A pointer, or another number of eight bytes.
    ///
    /// # Errors
    ///
    /// As of [`KernelText::bytes`].
    pub fn word(&self, address: u64) -> anyhow::Result<u64> {
        Ok(u64::from_le_bytes(self.bytes(address, 8)?.try_into()?))
    }

    /// All near calls and jumps in a function that lead to the beginning of another.
    ///
    /// # Errors
    ///
    /// There is no such function.
    pub fn references(&self, function: &str) -> anyhow::Result<Vec<Reference>> {
        let start = self.find(function)?;
        let end = self
            .by_address
            .range(start + 1..)
            .next()
            .context("no end")?
            .0;
        let text = self.bytes(start, end - start)?;
        let mut found = Vec::new();
        for (offset, bytes) in (0..).zip(text.windows(5)) {
            let kind = match bytes[0] {
                0xe8 => "call",
                0xe9 => "jmp",
                _ => continue,
            };
            let distance = i32::from_le_bytes(bytes[1..].try_into()?);
            let target = (start + offset + 5).wrapping_add_signed(distance.into());
            if let Some(target) = self.by_address.get(&target) {
                found.push(Reference {
                    offset,
                    kind,
                    target: target.clone(),
                });
            }
        }
        Ok(found)
    }

    /// The members of a list of the kernel's, by the addresses of their `struct list_head`.
    ///
    /// # Errors
    ///
    /// It is no list, or changes too fast.
    pub fn list(&self, head: &str) -> anyhow::Result<Vec<u64>> {
        let head = self.find(head)?;
        let mut members = Vec::new();
        let mut next = self.word(head)?;
        while next != head {
            ensure!(members.len() < 10_000, "a list without end");
            members.push(next);
            next = self.word(next)?;
        }
        Ok(members)
    }
}
