// SPDX-License-Identifier: GPL-2.0
//! Support for a debugger on the kernel and the module: the emulator's socket for it, and the scripts that gdb reads.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use nix::fcntl::Flock;

use crate::piece::kernel::symbols::Symbols;
use crate::piece::kernel::{self, Kernel};
use crate::piece::module;
use crate::piece::project::Project;
use crate::workshop::progress::note;

/// The variable in the emulator's environment that names the socket.
pub const SOCKET: &str = "XFD_GDB";
/// The script that the guest's init sources.
pub const GUEST: &str = include_str!("../../guest/gdb.sh");
/// The maximum length of a Unix socket's path.
const LONGEST: usize = 107;

/// The files through which a debugger connects.
pub struct Debugger {
    folder: PathBuf,
    socket: PathBuf,
    /// The folder of the built modules.
    modules: PathBuf,
    symbols: Symbols,
    _taken: Flock<File>,
}

impl Debugger {
    /// Prepares symbols and scripts, in a folder of the cache that no other run uses.
    ///
    /// # Errors
    ///
    /// The kernel's symbols cannot be read; the module does not build; the cache's path is too long for a socket.
    pub fn prepare(project: &Project, kernel: &Kernel) -> Result<Debugger> {
        let symbols = Symbols::prepare(&project.cache, kernel)?;
        let modules = project.module(kernel).module()?.path().to_path_buf();
        let (name, taken) = project.cache.free_name("gdb")?;
        let folder = project.cache.root().join("gdb").join(name);
        let socket = folder.join("socket");
        ensure!(
            socket.as_os_str().len() <= LONGEST,
            "the path {} is too long for a socket: set XFD_CACHE to a folder with a shorter path",
            socket.display()
        );
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        for old in fs::read_dir(&folder)? {
            fs::remove_file(old?.path())?;
        }
        let debugger = Debugger { folder, socket, modules, symbols, _taken: taken };
        let script = attach(&debugger.symbols.file(), &kernel.tree(), &project.dir, &debugger.folder);
        debugger.write("attach", &script)?;
        debugger.write("module", "echo The module is not loaded yet. Run xfd-symbols when it is.\\n\n")?;
        Ok(debugger)
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The command that starts gdb.
    pub fn line(&self) -> String {
        format!("gdb -x {}", self.folder.join("attach").display())
    }

    /// Writes the script for the module; `said` is the guest's record of the sections' addresses.
    pub fn module_is_loaded(&self, said: &str) {
        let written = module(said, &self.modules).and_then(|text| self.write("module", &text));
        if let Err(e) = written {
            note(&format!("gdb will not find the module's symbols: {e:#}"));
        }
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The script that connects.
fn attach(symbols: &Path, tree: &Path, project: &Path, folder: &Path) -> String {
    let (symbols, tree) = (symbols.display(), tree.display());
    let (project, folder) = (project.display(), folder.display());
    format!(
        "file \"{symbols}\"\n\
         set substitute-path {} \"{project}\"\n\
         set substitute-path {} \"{tree}\"\n\
         source {project}/machine/guest/gdb.py\n\
         define xfd-symbols\n  source {folder}/module\nend\n\
         document xfd-symbols\nRead the symbols of xfd.ko. Run this after each time the module was loaded.\nend\n\
         target remote {folder}/socket\n\
         xfd-symbols\n",
        module::BUILD,
        kernel::INSIDE
    )
}

/// The script for a loaded module: `said` has its file, and NAME=ADDRESS for each of its sections.
fn module(said: &str, modules: &Path) -> Result<String> {
    let mut words = said.split_whitespace();
    let file = words.next().filter(|name| module::PRODUCTS.contains(name)).context("not one of our modules")?;
    // Sections that were freed after loading have the address 0.
    let is_address = |text: &str| text.strip_prefix("0x").is_some_and(|hex| u64::from_str_radix(hex, 16).is_ok());
    let sections: Vec<_> =
        words.filter_map(|word| word.split_once('=')).filter(|(_, address)| is_address(address)).collect();
    let text = sections.iter().find(|(name, _)| *name == ".text").context("no .text")?;
    let is_of_use =
        |name: &str| name.ends_with(".text") || [".data", ".rodata", ".bss"].iter().any(|p| name.starts_with(p));
    let others = sections.iter().filter(|(name, _)| *name != ".text" && is_of_use(name));
    let others: String = others.map(|(name, address)| format!(" -s {name} {address}")).collect();
    let path = modules.join(file);
    Ok(format!(
        "python\ntry: gdb.execute('remove-symbol-file \"{path}\"')\nexcept gdb.error: pass\nend\nadd-symbol-file \"{path}\" {}{others}\n",
        text.1,
        path = path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_has_the_addresses_of_a_loaded_modules_sections() {
        let script = module(
            "xfd.ko .aux=0 .symtab=0xffffffffc0430000 .text=0xffffffffc0400000 .data=0xffffffffc0420000",
            Path::new("/c d"),
        )
        .unwrap();
        assert!(script.ends_with("add-symbol-file \"/c d/xfd.ko\" 0xffffffffc0400000 -s .data 0xffffffffc0420000\n"));
        for odd in ["", "other.ko .text=0x1", "xfd.ko .data=0x1", "xfd.ko .text=shell", "xfd.ko"] {
            assert!(module(odd, Path::new("/")).is_err(), "{odd}");
        }
    }
}
