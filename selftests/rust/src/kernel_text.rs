// SPDX-License-Identifier: GPL-2.0
//! The running kernel's text and data, by symbol, read through /proc/kcore.

use anyhow::{ensure, Context};
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSegment, ReadCache};
use std::fs::{self, File};
use std::ops::RangeInclusive;

/// Symbols and memory.
pub struct KernelText {
    /// /proc/kallsyms, which is long, so it is read once and searched as text.
    symbols: String,
    core: ReadCache<File>,
}

/// A call or jump with a four-byte displacement.
pub struct Reference {
    /// `call` or `jmp`.
    pub kind: &'static str,
    /// Its target.
    pub target: String,
}

impl KernelText {
    /// The current ones: modules come and go.
    ///
    /// # Errors
    ///
    /// The caller is not root, or the kernel lacks these files.
    pub fn now() -> anyhow::Result<Self> {
        let symbols = fs::read_to_string("/proc/kallsyms").context("/proc/kallsyms")?;
        let core = ReadCache::new(File::open("/proc/kcore").context("/proc/kcore")?);
        Ok(KernelText { symbols, core })
    }

    /// All symbols with their addresses, still in hexadecimal.
    fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.symbols.lines().filter_map(|line| {
            let name = line.get(19..)?;
            Some((line.get(..16)?, name.split('\t').next()?))
        })
    }

    /// The address of a symbol or, if there is none, of the one with a compiler-added suffix.
    ///
    /// # Errors
    ///
    /// The symbol does not exist.
    pub fn find(&self, name: &str) -> anyhow::Result<u64> {
        let with_suffix = |symbol: &str| {
            let rest = symbol.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with('.') && !rest.ends_with(".cold"))
        };
        let (address, _) = self
            .all()
            .find(|(_, symbol)| *symbol == name)
            .or_else(|| self.all().find(|(_, symbol)| with_suffix(symbol)))
            .with_context(|| format!("no symbol {name}"))?;
        Ok(u64::from_str_radix(address, 16)?)
    }

    /// Describes an address as its function's name, `+` and the offset, or as a plain number if it is not in the
    /// kernel.
    #[must_use]
    pub fn place(&self, address: u64) -> String {
        let wanted = format!("{address:016x}");
        let before = self
            .all()
            .filter(|(start, _)| *start <= wanted.as_str() && start.starts_with("ffff"))
            .max_by_key(|(start, _)| *start);
        let place = before.and_then(|(start, name)| {
            let distance = address - u64::from_str_radix(start, 16).ok()?;
            Some(format!(
                "{:#}+{distance:#x}",
                rustc_demangle::demangle(name)
            ))
        });
        place.unwrap_or_else(|| format!("{address:#x}"))
    }

    /// The address range of a module's code, up to the end of its last page.
    ///
    /// # Errors
    ///
    /// The module is not loaded.
    pub fn module(&self, name: &str) -> anyhow::Result<RangeInclusive<u64>> {
        let of_it = format!("[{name}]");
        let mut code = self.symbols.lines().filter_map(|line| {
            let (symbol, module) = line.split_once('\t')?;
            let is_code = matches!(symbol.get(17..18)?, "t" | "T");
            let address = u64::from_str_radix(symbol.get(..16)?, 16).ok()?;
            (is_code && module == of_it).then_some(address)
        });
        let first = code.next().with_context(|| format!("no module {name}"))?;
        let (low, high) = code.fold((first, first), |(low, high), address| {
            (low.min(address), high.max(address))
        });
        Ok(low..=(high | 0xfff))
    }

    /// `length` bytes of the kernel's memory.
    ///
    /// # Errors
    ///
    /// There is nothing at that address.
    pub fn bytes(&self, address: u64, length: u64) -> anyhow::Result<&[u8]> {
        let file: ElfFile64<'_, Endianness, _> = ElfFile64::parse(&self.core)?;
        let segment = file
            .segments()
            .find(|s| (s.address()..s.address() + s.size()).contains(&address))
            .with_context(|| format!("{address:#x} is not in /proc/kcore"))?;
        let bytes = segment.data_range(address, length)?.context("not there")?;
        ensure!(bytes.len() as u64 == length, "short read");
        Ok(bytes)
    }

    /// A function's address, and its bytes up to the next symbol.
    ///
    /// # Errors
    ///
    /// There is no such function.
    pub fn function(&self, name: &str) -> anyhow::Result<(u64, &[u8])> {
        let start = self.find(name)?;
        let begin = format!("{start:016x}");
        let next = self
            .all()
            .map(|(address, _)| address)
            .filter(|&address| address > begin.as_str())
            .min()
            .context("the last symbol")?;
        let next = u64::from_str_radix(next, 16)?;
        Ok((start, self.bytes(start, next - start)?))
    }

    /// A pointer, or any other eight-byte number.
    ///
    /// # Errors
    ///
    /// As for [`KernelText::bytes`].
    pub fn word(&self, address: u64) -> anyhow::Result<u64> {
        Ok(u64::from_le_bytes(self.bytes(address, 8)?.try_into()?))
    }

    /// All near calls and jumps from a function to the start of another.
    ///
    /// # Errors
    ///
    /// There is no such function.
    pub fn references(&self, function: &str) -> anyhow::Result<Vec<Reference>> {
        let (start, text) = self.function(function)?;
        let mut found = Vec::new();
        for (address, bytes) in (start..).zip(text.windows(5)) {
            let kind = match bytes[0] {
                0xe8 => "call",
                0xe9 => "jmp",
                _ => continue,
            };
            let distance = i32::from_le_bytes(bytes[1..].try_into()?);
            let target = (address + 5).wrapping_add_signed(distance.into());
            found.push((kind, format!("{target:016x}"), String::new()));
        }
        for (address, symbol) in self.all() {
            for (_, _, name) in found.iter_mut().filter(|(_, target, _)| target == address) {
                symbol.clone_into(name);
            }
        }
        let named = found
            .into_iter()
            .filter(|(_, _, target)| !target.is_empty());
        Ok(named
            .map(|(kind, _, target)| Reference { kind, target })
            .collect())
    }

    /// The members of a kernel list, as addresses of their `struct list_head`.
    ///
    /// # Errors
    ///
    /// It is not a list, or changes too fast.
    pub fn list(&self, head: &str) -> anyhow::Result<Vec<u64>> {
        let head = self.find(head)?;
        let mut members = Vec::new();
        let mut next = self.word(head)?;
        while next != head {
            ensure!(members.len() < 10_000, "endless list");
            members.push(next);
            next = self.word(next)?;
        }
        Ok(members)
    }
}
