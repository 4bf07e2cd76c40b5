// SPDX-License-Identifier: GPL-2.0
//! Operations available to tests only in the emulated machine, and access to a CPU's MSRs.

use anyhow::{ensure, Context};
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Whether this is the emulated machine, where the runner left a file that tells the guest what to do.
#[must_use]
pub fn is_here() -> bool {
    Path::new("/job/settings").exists()
}

/// Loads modules that the machine's kernel ships but does not load. Does nothing elsewhere.
///
/// # Errors
///
/// The module does not exist, or the kernel refuses it.
pub fn load_modules(names: &[&str]) -> anyhow::Result<()> {
    names
        .iter()
        .filter(|_| is_here())
        .try_for_each(|name| load(&format!("/lib/modules/{name}.ko"), c""))
}

/// Loads a module with its parameters.
///
/// # Errors
///
/// The module does not exist, or the kernel refuses it.
pub fn load(path: &str, parameters: &CStr) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| path.to_owned())?;
    match rustix::system::finit_module(&file, parameters, 0) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error).with_context(|| path.to_owned()),
    }
}

/// One of a CPU's MSRs.
///
/// # Errors
///
/// msr.ko is missing, or the caller is not root.
pub fn msr_of(cpu: usize, msr: u32) -> anyhow::Result<u64> {
    let path = format!("/dev/cpu/{cpu}/msr");
    if !Path::new(&path).exists() {
        load_modules(&["msr"])?;
    }
    let mut value = [0; 8];
    let read = File::open(&path)
        .and_then(|file| file.read_at(&mut value, msr.into()))
        .with_context(|| path.clone())?;
    ensure!(read == 8, "{path}: {read} bytes of MSR {msr:#x}");
    Ok(u64::from_le_bytes(value))
}
