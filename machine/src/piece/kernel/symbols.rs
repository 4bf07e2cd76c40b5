// SPDX-License-Identifier: GPL-2.0
//! Builds a file with the kernel's symbols for a debugger, from the kernel's own image, so that no package with debug
//! information (about 1 GB) is downloaded. It has names and addresses, but neither types nor lines.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use object::build::elf::{Builder, SectionData, SectionId};
use object::elf;
use object::read::{File, Object, ObjectSection};

use crate::piece::kernel::kallsyms::{self, Image, Symbol};
use crate::piece::kernel::{self, Kernel};
use crate::workshop::cache::{Cache, Piece};
use crate::workshop::child::Log;
use crate::workshop::key::Key;
use crate::workshop::progress::Step;

const STEP: &str = include_str!("../../../steps/symbols.sh");
/// The version of the format that is written below.
const FORMAT: &str = "2";

/// The file.
pub struct Symbols {
    piece: Piece,
}

impl Symbols {
    /// Builds the file, unless it is up to date.
    ///
    /// # Errors
    ///
    /// The kernel's own script cannot unpack the image; its symbols are in another format; no space.
    pub fn prepare(cache: &Cache, kernel: &Kernel) -> Result<Symbols> {
        let key = Key::new().add("step", STEP).add("format", FORMAT).add("kernel", kernel.key()).finish();
        let name = format!("symbols-{}", kernel.name());
        let piece = cache.piece(&name, &key, |dir| {
            let step = Step::start(&name, "reading the kernel's symbols");
            let log = Log::create(cache.log(&name))?;
            fs::copy(kernel.image(), dir.join("vmlinuz"))?;
            let inside = kernel.root().inside().write(dir, "/xfd/symbols").read(&kernel.tree(), kernel::INSIDE);
            log.run("extract-vmlinux", &mut inside.script(STEP, &[]))?;
            let extracted = dir.join("extracted");
            let vmlinux = fs::read(&extracted).with_context(|| format!("cannot read {}", extracted.display()))?;
            write(&vmlinux, &dir.join("vmlinux"))?;
            fs::remove_file(&extracted)?;
            step.done();
            Ok(())
        })?;
        Ok(Symbols { piece })
    }

    /// The file.
    pub fn file(&self) -> PathBuf {
        self.piece.path().join("vmlinux")
    }
}

/// Writes a file with the sections of `vmlinux`, without their contents, and with its symbols.
fn write(vmlinux: &[u8], to: &Path) -> Result<()> {
    let file = File::parse(vmlinux).context("the kernel's image is not ELF")?;
    let section = |name| file.section_by_name(name).with_context(|| format!("the kernel's image has no {name}"));
    let (text, rodata) = (section(".text")?, section(".rodata")?);
    let image = Image { rodata: rodata.data()?, rodata_address: rodata.address(), text: text.address() };
    let symbols = image.symbols()?;
    kallsyms::check(&symbols)?;
    fs::write(to, stripped(&file, &symbols)?).with_context(|| format!("cannot write {}", to.display()))
}

/// An ELF file with the sections, without contents, and the symbols.
fn stripped(file: &File, symbols: &[Symbol]) -> Result<Vec<u8>> {
    let mut builder = Builder::new(object::Endianness::Little, true);
    builder.header.e_type = elf::ET_EXEC;
    builder.header.e_machine = elf::EM_X86_64;
    let mut places: Vec<(u64, u64, SectionId)> = Vec::new();
    for section in file.sections().filter(|section| section.address() != 0 && section.size() != 0) {
        let object::SectionFlags::Elf { sh_flags } = section.flags() else { continue };
        let new = builder.sections.add();
        new.name = section.name()?.as_bytes().to_vec().into();
        new.sh_type = elf::SHT_NOBITS;
        new.sh_flags = sh_flags;
        new.sh_addr = section.address();
        new.sh_size = section.size();
        new.sh_addralign = 1;
        new.data = SectionData::UninitializedData(section.size());
        places.push((section.address(), section.address() + section.size(), new.id()));
    }
    for (name, data) in [
        (".symtab", SectionData::Symbol),
        (".strtab", SectionData::String),
        (".shstrtab", SectionData::SectionString),
    ] {
        let new = builder.sections.add();
        new.name = name.as_bytes().into();
        new.sh_type = if name == ".symtab" { elf::SHT_SYMTAB } else { elf::SHT_STRTAB };
        new.sh_addralign = if name == ".symtab" { 8 } else { 1 };
        new.data = data;
    }
    for symbol in symbols {
        let inside = |(begin, end, _): &&(u64, u64, _)| (*begin..*end).contains(&symbol.address);
        let at_end = |(_, end, _): &&(u64, u64, _)| *end == symbol.address;
        let place = places.iter().find(inside).or_else(|| places.iter().find(at_end));
        let Some((_, _, section)) = place else { continue };
        let kind = if symbol.kind.eq_ignore_ascii_case(&'t') { elf::STT_FUNC } else { elf::STT_OBJECT };
        let bind = if symbol.kind.is_ascii_uppercase() { elf::STB_GLOBAL } else { elf::STB_LOCAL };
        let new = builder.symbols.add();
        new.name = symbol.name.as_bytes().into();
        new.section = Some(*section);
        new.st_value = symbol.address;
        new.set_st_info(bind, kind);
    }
    builder.set_section_sizes();
    let mut bytes = Vec::new();
    builder.write(&mut bytes).map_err(|e| anyhow::anyhow!("cannot build the file of symbols: {e}"))?;
    Ok(bytes)
}
