// SPDX-License-Identifier: GPL-2.0
//! Finds what an ELF program of the host needs to run in the guest: its interpreter and shared libraries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{bail, Context, Result};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{elf, Endianness};

/// The paths on the host of a program's interpreter and shared libraries.
///
/// # Errors
///
/// It is not an x86 ELF program, or it is truncated; the host lacks a library.
pub fn needed(program: &Path) -> Result<Vec<PathBuf>> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    match interpreter(&bytes).with_context(|| format!("{} cannot run in the machine", program.display()))? {
        None => Ok(Vec::new()),
        Some(interpreter) => libraries(program, &interpreter),
    }
}

/// Whether a program is statically linked.
pub fn is_static(program: &Path) -> Result<bool> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    Ok(interpreter(&bytes)?.is_none())
}

/// The ELF interpreter that a program names; `None` if it is static.
pub fn interpreter(bytes: &[u8]) -> Result<Option<PathBuf>> {
    match object::FileKind::parse(bytes) {
        Ok(object::FileKind::Elf64) => interpreter_of::<elf::FileHeader64<Endianness>>(bytes),
        Ok(object::FileKind::Elf32) => interpreter_of::<elf::FileHeader32<Endianness>>(bytes),
        _ => bail!("it is neither an ELF program nor a script with #!"),
    }
}

fn interpreter_of<E: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<Option<PathBuf>> {
    let header = E::parse(bytes)?;
    let endian = header.endian()?;
    if ![elf::EM_X86_64, elf::EM_386].contains(&header.e_machine(endian)) {
        bail!("it is not a program for x86");
    }
    if ![elf::ET_EXEC, elf::ET_DYN].contains(&header.e_type(endian)) {
        bail!("it is not an executable ELF file");
    }
    for segment in header.program_headers(endian, bytes).context("it is truncated")? {
        let end = segment.p_offset(endian).into().saturating_add(segment.p_filesz(endian).into());
        if segment.p_type(endian) == elf::PT_LOAD && end > bytes.len() as u64 {
            bail!("it is truncated: {} of at least {end} bytes", bytes.len());
        }
    }
    for segment in header.program_headers(endian, bytes)? {
        if let Some(name) = segment.interpreter(endian, bytes)? {
            return Ok(Some(PathBuf::from(String::from_utf8_lossy(name).into_owned())));
        }
    }
    Ok(None)
}

/// The files that the dynamic linker would load for a program; the program is not run for this.
pub fn libraries(program: &Path, interpreter: &Path) -> Result<Vec<PathBuf>> {
    let program = program.canonicalize()?;
    let output = Command::new(interpreter).arg("--list").arg(&program).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run the dynamic linker {}", interpreter.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let mut files = parse_list(&text).with_context(|| format!("{} cannot run in the machine", program.display()))?;
    if !output.status.success() && files.is_empty() {
        bail!("{}: the dynamic linker says: {}", program.display(), text.lines().next().unwrap_or_default());
    }
    files.push(interpreter.to_path_buf());
    files.sort();
    files.dedup();
    Ok(files)
}

/// The files in the output of `ld.so --list`.
pub fn parse_list(text: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some((name, _)) = line.split_once("=> not found") {
            bail!("its library {} is not on this host", name.trim());
        }
        if line.contains("error while loading shared libraries") {
            bail!("the dynamic linker says: {line}");
        }
        let target = line.split_once("=>").map_or(line, |(_, target)| target);
        let path = target.split_whitespace().next().unwrap_or_default();
        if path.starts_with('/') && line.contains("(0x") {
            files.push(PathBuf::from(path));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linkers_list_is_read() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f01)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f02)\n\tstatically linked\n";
        let want = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(parse_list(text).unwrap(), want.map(PathBuf::from));
    }

    #[test]
    fn a_missing_library_is_named() {
        let e = parse_list("\tlibnone.so.3 => not found\n").unwrap_err();
        assert_eq!(e.to_string(), "its library libnone.so.3 is not on this host");
        let e = parse_list("x: error while loading shared libraries: libq.so: cannot open\n").unwrap_err();
        assert!(e.to_string().contains("libq.so"));
    }

    #[test]
    fn this_test_program_needs_a_linker_and_libc() {
        let files = needed(&std::env::current_exe().unwrap()).unwrap();
        let has = |part: &str| files.iter().any(|f| f.to_string_lossy().contains(part));
        assert!(has("libc.so") && has("ld-linux"), "{files:?}");
        assert!(files.iter().all(|f| f.is_file()));
    }

    #[test]
    fn other_processors_and_object_files_are_refused() {
        let mut header = vec![0u8; 64];
        header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        header[16] = 2;
        header[18] = 183;
        header[20] = 1;
        header[52] = 64;
        assert!(interpreter(&header).unwrap_err().to_string().contains("not a program for x86"));
        header[18] = 62;
        assert_eq!(interpreter(&header).unwrap(), None);
        header.resize(64 + 56, 0);
        (header[32], header[54], header[56], header[64]) = (64, 56, 1, 1);
        header[64 + 32] = 200;
        assert!(interpreter(&header).unwrap_err().to_string().contains("truncated: 120 of at least 200 bytes"));
        assert!(interpreter(&header[..100]).unwrap_err().to_string().contains("truncated"));
        header[16] = 1;
        assert!(interpreter(&header).unwrap_err().to_string().contains("not an executable"));
    }
}
