// SPDX-License-Identifier: GPL-2.0
//! Content keys: a cached component is stored under the hash of everything that it is built from.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Collects the inputs of a component.
#[derive(Default)]
pub struct Key(Sha256);

impl Key {
    /// A key without inputs.
    pub fn new() -> Key {
        Key::default()
    }

    /// Adds a labelled input.
    pub fn add(mut self, label: &str, bytes: impl AsRef<[u8]>) -> Key {
        self.field(label.as_bytes());
        self.field(bytes.as_ref());
        self
    }

    /// Adds a file's content and whether it is executable.
    pub fn file(mut self, label: &str, path: &Path) -> Result<Key> {
        let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let executable = fs::metadata(path)?.permissions().mode() & 0o111 != 0;
        self.field(label.as_bytes());
        self.field(&[u8::from(executable)]);
        self.field(&content);
        Ok(self)
    }

    /// Adds all files below a folder, with their paths; a missing folder counts as empty.
    pub fn tree(mut self, label: &str, dir: &Path) -> Result<Key> {
        self.field(label.as_bytes());
        for file in files_below(dir)? {
            let name = file.strip_prefix(dir).unwrap_or(&file).to_string_lossy().into_owned();
            self = self.file(&name, &file)?;
        }
        Ok(self)
    }

    /// The key: 16 hexadecimal digits.
    pub fn finish(self) -> String {
        self.0.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect()
    }

    /// Adds a field. Its length comes first, so that different fields cannot result in the same bytes.
    fn field(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}

/// All regular files below `dir`, in byte order, without cargo's `target` folders.
pub fn files_below(dir: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e).with_context(|| format!("cannot list {}", dir.display())),
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if path.is_dir() {
                if entry.file_name() != "target" {
                    todo.push(path);
                }
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_and_labels_change_the_key() {
        let a = Key::new().add("x", "ab").add("y", "c").finish();
        let b = Key::new().add("x", "a").add("y", "bc").finish();
        let c = Key::new().add("z", "ab").add("y", "c").finish();
        assert_ne!(a, b);
        assert_ne!(a, c);
        assert_eq!(a.len(), 16);
    }

    #[test]
    fn the_key_of_a_tree_depends_on_names_modes_and_contents() {
        let dir = tempfile::tempdir().unwrap();
        let key = || Key::new().tree("t", dir.path()).unwrap().finish();
        let empty = key();
        fs::write(dir.path().join("a"), "1").unwrap();
        let one = key();
        fs::rename(dir.path().join("a"), dir.path().join("b")).unwrap();
        let renamed = key();
        fs::set_permissions(dir.path().join("b"), fs::Permissions::from_mode(0o755)).unwrap();
        let executable = key();
        fs::write(dir.path().join("b"), "2").unwrap();
        let changed = key();
        let mut all = [empty, one, renamed, executable, changed];
        all.sort();
        assert!(all.windows(2).all(|w| w[0] != w[1]));
    }

    #[test]
    fn a_missing_folder_is_empty_but_a_missing_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let none = dir.path().join("none");
        assert!(Key::new().tree("t", &none).is_ok());
        assert!(Key::new().file("f", &none).is_err());
    }
}
