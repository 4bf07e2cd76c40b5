// SPDX-License-Identifier: GPL-2.0
//! What the xfd module exports: `/sys/module/xfd`, its livepatch, and `/proc/xfd` (Documentation/ABI/procfs-xfd).
//!
//! An open file in `/proc/xfd` keeps the module from being removed, so each file is read in one go and closed.

pub mod counters;
pub mod tasks;

use anyhow::{bail, Context};
use counters::{Counters, KNOWN};
use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};
use tasks::Thread;

/// The module's name.
pub const NAME: &str = "xfd";
/// The folder with the counters, one file each, which only root sees.
pub const DEBUGFS: &str = "/sys/kernel/debug/xfd";

/// The module, if it is loaded.
#[derive(Debug)]
pub struct Module {
    /// Its version, if it has one.
    pub version: Option<String>,
    /// The build ID of its file, in hexadecimal.
    pub build_id: Option<String>,
    /// Whether its livepatch is enabled: the module is in charge, or about to be.
    pub enabled: bool,
    /// Whether its livepatch is in transition: the module is taking over or giving back.
    pub transition: bool,
    /// Those of its parameters that are readable.
    pub parameters: BTreeMap<String, String>,
}

impl Module {
    /// Reads its files below `root`; `None` if it is not loaded.
    pub fn read(root: &Path) -> Option<Self> {
        if !is_loaded(root) {
            return None;
        }
        let folder = root.join("sys/module").join(NAME);
        let livepatch = root.join("sys/kernel/livepatch").join(NAME);
        let is = |file: &str| text(&livepatch.join(file)).as_deref() == Some("1");
        Some(Self {
            version: text(&folder.join("version")),
            build_id: fs::read(folder.join("notes/.note.gnu.build-id")).ok().and_then(|note| build_id(&note)),
            enabled: is("enabled"),
            transition: is("transition"),
            parameters: parameters(&folder.join("parameters")),
        })
    }
}

/// Whether the module is loaded, or its code built into the kernel.
pub fn is_loaded(root: &Path) -> bool {
    root.join("sys/module").join(NAME).is_dir()
}

/// Whether its code is built into the kernel (Documentation/upstream.rst). Only that code has the parameter `enable`,
/// and only modules have an `initstate`.
pub fn is_built_in(root: &Path) -> bool {
    let folder = root.join("sys/module").join(NAME);
    folder.join("parameters/enable").exists() && !folder.join("initstate").exists()
}

/// The counters in debugfs; `None` if none of them can be read.
pub fn debug_counters(root: &Path) -> Option<Counters> {
    let folder = root.join(&DEBUGFS[1..]);
    let line = |name: &str| Some(format!("{name} {}\n", text(&folder.join(name))?));
    let lines: String = KNOWN.iter().filter_map(|known| line(known.name)).collect();
    Counters::parse(&lines).ok().filter(|_| !lines.is_empty())
}

/// Reads `/proc/xfd/counters`; `None` if the module is not loaded.
///
/// # Errors
///
/// Fails if the module is loaded but the file cannot be read or parsed.
pub fn counters(root: &Path) -> anyhow::Result<Option<Counters>> {
    read(root, "proc/xfd/counters", Counters::parse)
}

/// Reads `/proc/xfd/tasks`; `None` if the module is not loaded.
///
/// # Errors
///
/// Fails if the module is loaded but the file cannot be read or parsed.
pub fn threads(root: &Path) -> anyhow::Result<Option<Vec<Thread>>> {
    read(root, "proc/xfd/tasks", tasks::parse)
}

fn read<T>(root: &Path, path: &str, parse: fn(&str) -> anyhow::Result<T>) -> anyhow::Result<Option<T>> {
    let path = root.join(path);
    match fs::read(&path) {
        Ok(bytes) => {
            let parsed = parse(&String::from_utf8_lossy(&bytes));
            parsed.map(Some).with_context(|| {
                format!("cannot parse {} (use the xfdctl that came with the module)", path.display())
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ENODEV) => {
            if is_built_in(root) {
                let counters = if root.join(&DEBUGFS[1..]).is_dir() {
                    "its counters are in"
                } else {
                    "with debugfs mounted, root may find its counters in"
                };
                bail!(
                    "xfd is built into this kernel, where it has no /proc/xfd: {counters} {DEBUGFS}, and xfdctl doctor \
                     says whether it handles first uses"
                );
            }
            if is_loaded(root) {
                bail!(
                    "xfd is loaded without {}: it is being loaded or removed (try again), or is older than xfdctl",
                    path.display()
                );
            }
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The text of a one-line file; `None` if it is empty or cannot be read.
fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn parameters(folder: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let named = |entry: fs::DirEntry| Some((entry.file_name().into_string().ok()?, text(&entry.path())?));
    entries.filter_map(|entry| named(entry.ok()?)).collect()
}

/// The descriptor in an ELF note (`Elf64_Nhdr`, name, descriptor).
fn build_id(note: &[u8]) -> Option<String> {
    let word = |at: usize| {
        let bytes = note.get(at..at + 4)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let (name, length) = (word(0)?, word(4)?);
    let begin = 12usize.checked_add(name.checked_next_multiple_of(4)?)?;
    let id = note.get(begin..begin.checked_add(length)?).filter(|id| !id.is_empty())?;
    Some(id.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOTE: &[u8] = b"\x04\0\0\0\x03\0\0\0\x03\0\0\0GNU\0\x01\xab\x10";

    fn root(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        root
    }

    #[test]
    fn sysfs_is_read() {
        let root = root(&[
            ("sys/module/xfd/version", b"0.1.0\n"),
            ("sys/module/xfd/notes/.note.gnu.build-id", NOTE),
            ("sys/module/xfd/parameters/reclaim_ms", b"1000\n"),
            ("sys/kernel/livepatch/xfd/enabled", b"1\n"),
            ("sys/kernel/livepatch/xfd/transition", b"0\n"),
        ]);
        let module = Module::read(root.path()).unwrap();
        assert_eq!(module.version.as_deref(), Some("0.1.0"));
        assert_eq!(module.build_id.as_deref(), Some("01ab10"));
        assert_eq!((module.enabled, module.transition), (true, false));
        assert_eq!(module.parameters["reclaim_ms"], "1000");
    }

    #[test]
    fn not_loaded_is_not_unreadable() {
        let none = root(&[]);
        assert!(Module::read(none.path()).is_none());
        assert!(counters(none.path()).unwrap().is_none() && threads(none.path()).unwrap().is_none());
        let halfway = root(&[("sys/module/xfd/initstate", b"coming\n")]);
        assert!(format!("{:#}", counters(halfway.path()).unwrap_err()).contains("being loaded or removed"));
        let broken = root(&[("proc/xfd/counters", b"first_uses many\n")]);
        assert!(format!("{:#}", counters(broken.path()).unwrap_err()).contains("line 1"));
    }

    proptest! {
        #[test]
        fn any_note_is_survived(note: Vec<u8>) {
            build_id(&note);
        }

        #[test]
        fn an_id_is_found(id in proptest::collection::vec(any::<u8>(), 1..30)) {
            let length = u32::try_from(id.len()).unwrap().to_le_bytes();
            let note = [b"\x04\0\0\0", &length[..], b"\x03\0\0\0GNU\0", &id].concat();
            prop_assert_eq!(build_id(&note).unwrap().len(), 2 * id.len());
        }
    }
}
