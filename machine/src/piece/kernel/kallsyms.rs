// SPDX-License-Identifier: GPL-2.0
//! Reads the kernel's own symbols, those of /proc/kallsyms, from its image (scripts/kallsyms.c writes them).
//!
//! The image does not say where the tables are, but their order is known: number of symbols, compressed names, markers,
//! tokens, index of the tokens, offsets. The tokens are found by those for the digits.

use anyhow::{ensure, Context, Result};

/// A symbol: its address, its type as in nm(1), its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    pub address: u64,
    pub kind: char,
    pub name: String,
}

/// The section with the tables, and the address of the kernel's first byte.
pub struct Image<'a> {
    pub rodata: &'a [u8],
    pub rodata_address: u64,
    pub text: u64,
}

/// The tables' alignment: since 7.3, and before.
const ALIGN: [usize; 2] = [4, 8];
/// The number of names between two markers.
const STRIDE: usize = 256;

impl Image<'_> {
    /// All symbols.
    ///
    /// # Errors
    ///
    /// The tables are not there, or in another format.
    pub fn symbols(&self) -> Result<Vec<Symbol>> {
        let [since, before] = ALIGN.map(|align| self.aligned(align));
        since.or(before)
    }

    fn aligned(&self, align: usize) -> Result<Vec<Symbol>> {
        let (tokens, tokens_at, index_at) =
            self.tokens(align).context("the kernel's image has no table of tokens")?;
        let markers = self.markers(tokens_at, align).context("the kernel's image has no markers")?;
        let (names_at, count) = self.names(&markers, align).context("the kernel's image has no names")?;
        let offsets_at = (index_at + 2 * tokens.len()).next_multiple_of(align);
        let offsets = (0..count).map(|i| Some(self.word(offsets_at + 4 * i)? as i32)).collect::<Option<Vec<_>>>();
        let offsets = offsets.context("the table of offsets is cut short")?;
        let names = self.expand(names_at, count, &tokens).context("a name is cut short")?;
        // An offset is relative to its own address, or in older kernels to the kernel's first byte.
        let here = self.rodata_address + offsets_at as u64;
        let relative: [&dyn Fn(usize) -> u64; 2] = [&|i| here + 4 * i as u64, &|_| self.text];
        for base in relative {
            let address = |i: usize| base(i).wrapping_add_signed(i64::from(offsets[i]));
            let is_right = |i| address(i) == self.text;
            if names.iter().enumerate().any(|(i, (_, name))| (name == "_text" || name == "_stext") && is_right(i)) {
                let found = names.into_iter().enumerate();
                return Ok(found.map(|(i, (kind, name))| Symbol { address: address(i), kind, name }).collect());
            }
        }
        anyhow::bail!("the offsets of the kernel's symbols are in an unknown format")
    }

    fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.rodata.get(at..at + 4)?.try_into().ok()?))
    }

    /// The 256 tokens, where they begin, and where their index begins.
    fn tokens(&self, align: usize) -> Option<(Vec<&str>, usize, usize)> {
        let digits: Vec<u8> = (b'0'..=b'9').flat_map(|digit| [digit, 0]).collect();
        let places = (0..self.rodata.len().saturating_sub(digits.len()))
            .filter(|&at| self.rodata[at] == b'0' && self.rodata[at..].starts_with(&digits));
        places.filter_map(|at| self.tokens_around(at, align)).next()
    }

    /// The same, if the token for the digit 0 is at `zero`.
    fn tokens_around(&self, zero: usize, align: usize) -> Option<(Vec<&str>, usize, usize)> {
        // There may be padding with zeros before the first token.
        let mut begin = zero;
        for _ in 0..usize::from(b'0') {
            begin = self.rodata[..begin - 1].iter().rposition(|&byte| byte == 0)? + 1;
        }
        let mut tokens = Vec::new();
        let mut end = begin;
        for _ in 0..STRIDE {
            let length = self.rodata[end..].iter().position(|&byte| byte == 0)?;
            tokens.push((end - begin, std::str::from_utf8(&self.rodata[end..end + length]).ok()?));
            end += length + 1;
        }
        let index_at = end.next_multiple_of(align);
        let index = self.rodata.get(index_at..index_at + 2 * STRIDE)?.chunks(2);
        let is_right =
            index.zip(&tokens).all(|(bytes, (at, _))| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])) == *at);
        (is_right && begin % align == 0)
            .then(|| (tokens.into_iter().map(|(_, token)| token).collect(), begin, index_at))
    }

    /// The offset of every 256th name from the first one, and as the last element the place where the markers begin.
    fn markers(&self, tokens_at: usize, align: usize) -> Option<Vec<usize>> {
        let mut at = tokens_at - 4;
        // Padding to a multiple of 8.
        if align == 8 && self.word(at)? == 0 {
            at -= 4;
        }
        let mut markers = vec![at + 4];
        loop {
            let marker = self.word(at)? as usize;
            if markers.len() > 1 && marker >= *markers.last()? {
                return None;
            }
            markers.push(marker);
            if marker == 0 {
                markers[0] = at;
                markers.rotate_left(1);
                let last = markers.len() - 1;
                markers[..last].reverse();
                return Some(markers);
            }
            at = at.checked_sub(4)?;
        }
    }

    /// Where the names begin, and how many there are.
    fn names(&self, markers: &[usize], align: usize) -> Option<(usize, usize)> {
        let (&end, markers) = markers.split_last()?;
        let most = STRIDE * markers.len();
        (0..=end / align).rev().map(|i| align * i).find_map(|at| {
            let count = self.word(at)? as usize;
            let names = at + align;
            let fits = count <= most && count > most - STRIDE && names + markers.last()? < end;
            (fits && self.end_of(names, count, markers).is_some_and(|at| at.next_multiple_of(align) == end))
                .then_some((names, count))
        })
    }

    /// Where the names that begin at `names` end; `None` if they do not agree with the markers.
    fn end_of(&self, names: usize, count: usize, markers: &[usize]) -> Option<usize> {
        let mut at = names;
        for i in 0..count {
            if i % STRIDE == 0 && at - names != markers[i / STRIDE] {
                return None;
            }
            let (length, begin) = self.length(at)?;
            at = begin + length;
        }
        Some(at)
    }

    /// The length of the compressed name whose entry is at `at`, and where it begins.
    fn length(&self, at: usize) -> Option<(usize, usize)> {
        let low = usize::from(*self.rodata.get(at)?);
        match low & 0x80 {
            0 => Some((low, at + 1)),
            _ => Some((low & 0x7f | usize::from(*self.rodata.get(at + 1)?) << 7, at + 2)),
        }
    }

    /// The type and name of each symbol.
    fn expand(&self, names: usize, count: usize, tokens: &[&str]) -> Option<Vec<(char, String)>> {
        let mut at = names;
        let mut found = Vec::with_capacity(count);
        for _ in 0..count {
            let (length, begin) = self.length(at)?;
            let bytes = self.rodata.get(begin..begin + length)?;
            let text: String = bytes.iter().map(|&byte| tokens[usize::from(byte)]).collect();
            let mut chars = text.chars();
            found.push((chars.next()?, chars.as_str().to_owned()));
            at = begin + length;
        }
        Some(found)
    }
}

/// Fails if symbols are missing that every kernel with AMX has.
pub fn check(symbols: &[Symbol]) -> Result<()> {
    let has = |name: &str| symbols.iter().any(|symbol| symbol.name == name);
    for name in ["exc_device_not_available", "xfd_enable_feature", "init_task"] {
        ensure!(has(name), "the kernel's symbols have no {name}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: u64 = 0xffff_ffff_8100_0000;
    const RODATA: u64 = 0xffff_ffff_8220_0000;

    /// What scripts/kallsyms.c would write, after some other bytes. One token has two characters, all others have one.
    fn image(symbols: &[(u64, &str)], align: usize, relative_to_place: bool) -> Vec<u8> {
        let mut bytes = vec![7; 24];
        let fill = |bytes: &mut Vec<u8>| bytes.resize(bytes.len().next_multiple_of(align), 0);
        bytes.extend((symbols.len() as u32).to_le_bytes());
        fill(&mut bytes);
        let (names, mut markers) = (bytes.len(), Vec::new());
        for (i, (_, name)) in symbols.iter().enumerate() {
            if i % STRIDE == 0 {
                markers.push((bytes.len() - names) as u32);
            }
            let name = name.replace("xf", "\u{1}");
            match name.len() {
                length @ 0..0x80 => bytes.push(length as u8),
                length => bytes.extend([length as u8 & 0x7f | 0x80, (length >> 7) as u8]),
            }
            bytes.extend(name.bytes());
        }
        fill(&mut bytes);
        bytes.extend(markers.iter().flat_map(|marker| marker.to_le_bytes()));
        fill(&mut bytes);
        let (tokens, mut index) = (bytes.len(), Vec::new());
        for token in 0..=255u8 {
            index.push((bytes.len() - tokens) as u16);
            match token {
                1 => bytes.extend(b"xf"),
                b'!'..=b'~' => bytes.push(token),
                _ => {}
            }
            bytes.push(0);
        }
        fill(&mut bytes);
        bytes.extend(index.iter().flat_map(|at| at.to_le_bytes()));
        fill(&mut bytes);
        for (address, _) in symbols {
            let base = if relative_to_place { RODATA + bytes.len() as u64 } else { TEXT };
            bytes.extend((address.wrapping_sub(base) as u32).to_le_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<Symbol>> {
        Image { rodata: bytes, rodata_address: RODATA, text: TEXT }.symbols()
    }

    #[test]
    fn symbols_of_both_formats_are_read() {
        let long = format!("t{}", "long_".repeat(40));
        let mut all = vec![(TEXT, "T_text"), (TEXT + 0x10, "txfd_enable_feature"), (TEXT + 0x20, long.as_str())];
        let many: Vec<_> = (0..700).map(|i| format!("Tfunction_{i}")).collect();
        all.extend(many.iter().enumerate().map(|(i, name)| (TEXT + 0x100 + 16 * i as u64, name.as_str())));
        for (align, relative_to_place) in [(4, true), (8, true), (8, false)] {
            let found = read(&image(&all, align, relative_to_place)).unwrap();
            assert_eq!(found.len(), all.len());
            for (symbol, (address, name)) in found.iter().zip(&all) {
                assert_eq!(
                    (symbol.address, &format!("{}{}", symbol.kind, symbol.name)),
                    (*address, &name.to_string())
                );
            }
        }
    }

    #[test]
    fn another_format_is_an_error() {
        assert!(read(&[0; 4096]).is_err());
        let good = image(&[(TEXT, "T_text"), (TEXT + 8, "tother")], 4, true);
        assert!(read(&good).is_ok());
        // The first symbol is not where the kernel begins.
        assert!(read(&image(&[(TEXT + 4, "T_text")], 4, true)).is_err());
        assert!(read(&good[..good.len() - 4]).is_err());
        let mut bytes = good.clone();
        bytes[24] = 3;
        assert!(read(&bytes).is_err());
    }
}
