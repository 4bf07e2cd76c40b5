// SPDX-License-Identifier: GPL-2.0
//! Builds the guest's file system: a cpio archive, which needs no root to put together.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{bail, Context, Result};
use cpio::newc::{self, ModeFileType};

use crate::workshop::key::Key;

enum Node {
    Dir,
    File {
        mode: u32,
        content: Vec<u8>,
    },
    Symlink(String),
    /// Character device: major, minor.
    Char(u32, u32),
}

/// Path without leading slash -> what is there. It is sorted, so folders come before their contents.
#[derive(Default)]
pub struct Initramfs {
    nodes: BTreeMap<String, Node>,
}

impl Initramfs {
    /// A file system with what every boot has: busybox and init.
    pub fn with_init(busybox: &Path, init: &Path) -> Result<Initramfs> {
        let mut fs = Initramfs::default();
        fs.file("bin/busybox", busybox)?;
        fs.symlink("bin/sh", "busybox");
        fs.file("init", init)?;
        for dir in ["dev", "proc", "sys", "tmp", "run", "root", "etc", "lib", "tests", "job"] {
            fs.nodes.insert(dir.into(), Node::Dir);
        }
        fs.nodes.insert("dev/console".into(), Node::Char(5, 1));
        fs.nodes.insert("dev/null".into(), Node::Char(1, 3));
        Ok(fs)
    }

    /// Adds a file of the host, with its permission bits.
    pub fn file(&mut self, at: &str, host: &Path) -> Result<()> {
        let content = fs::read(host).with_context(|| format!("cannot read {}", host.display()))?;
        let mode = fs::metadata(host)?.permissions().mode() & 0o777;
        self.content(at, mode, content);
        Ok(())
    }

    /// Adds a file with this content.
    pub fn content(&mut self, at: &str, mode: u32, content: impl Into<Vec<u8>>) {
        self.parents(at);
        self.nodes.insert(at.into(), Node::File { mode, content: content.into() });
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, at: &str, target: &str) {
        self.parents(at);
        self.nodes.insert(at.into(), Node::Symlink(target.into()));
    }

    /// Adds a file of the host, or a folder with everything in it.
    pub fn copy(&mut self, at: &str, host: &Path) -> Result<()> {
        if host.is_dir() {
            self.parents(at);
            self.nodes.insert(at.into(), Node::Dir);
            return self.below(at, host);
        }
        self.file(at, host)
    }

    /// Adds everything below a folder of the host except devices and the like; in the guest it belongs to root.
    pub fn tree(&mut self, root: &Path) -> Result<()> {
        self.below("", root)
    }

    fn below(&mut self, at: &str, root: &Path) -> Result<()> {
        let prefix = if at.is_empty() { String::new() } else { format!("{at}/") };
        let mut todo = vec![root.to_path_buf()];
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))? {
                let entry = entry?;
                let (path, kind) = (entry.path(), entry.file_type()?);
                let at = format!("{prefix}{}", text(path.strip_prefix(root)?)?);
                if kind.is_symlink() {
                    self.symlink(&at, text(&fs::read_link(&path)?)?);
                } else if kind.is_dir() {
                    self.nodes.insert(at, Node::Dir);
                    todo.push(path);
                } else if kind.is_file() {
                    self.file(&at, &path)?;
                }
            }
        }
        Ok(())
    }

    /// Whether there is something at this path.
    pub fn has(&self, at: &str) -> bool {
        self.nodes.contains_key(at)
    }

    fn parents(&mut self, at: &str) {
        for (i, _) in at.match_indices('/') {
            self.nodes.entry(at[..i].into()).or_insert(Node::Dir);
        }
    }

    /// The content key.
    pub fn key(&self) -> String {
        let mut key = Key::new();
        for (path, node) in &self.nodes {
            key = match node {
                Node::Dir => key.add(path, "dir"),
                Node::File { mode, content } => key.add(path, format!("file {mode:o}")).add("content", content),
                Node::Symlink(target) => key.add(path, format!("link {target}")),
                Node::Char(major, minor) => key.add(path, format!("char {major}:{minor}")),
            };
        }
        key.finish()
    }

    /// Writes the archive.
    pub fn write(&self, to: &Path) -> Result<()> {
        fs::write(to, self.archive()?).with_context(|| format!("cannot write {}", to.display()))
    }

    /// The archive (newc; not compressed, because unpacking is slower in the emulator than reading).
    pub fn archive(&self) -> Result<Vec<u8>> {
        let mut archive = Vec::new();
        for (i, (path, node)) in self.nodes.iter().enumerate() {
            let entry = newc::Builder::new(path).ino(i as u32 + 1).nlink(1);
            let (entry, content) = match node {
                Node::Dir => (entry.mode(0o755).set_mode_file_type(ModeFileType::Directory).nlink(2), &[][..]),
                Node::File { mode, content } => {
                    (entry.mode(*mode).set_mode_file_type(ModeFileType::Regular), content.as_slice())
                }
                Node::Symlink(target) => {
                    (entry.mode(0o777).set_mode_file_type(ModeFileType::Symlink), target.as_bytes())
                }
                Node::Char(major, minor) => {
                    let entry = entry.rdev_major(*major).rdev_minor(*minor).mode(0o600);
                    (entry.set_mode_file_type(ModeFileType::Char), &[][..])
                }
            };
            let Ok(size) = u32::try_from(content.len()) else { bail!("{path} is too large for the guest") };
            let mut writer = entry.write(&mut archive, size);
            std::io::Write::write_all(&mut writer, content)?;
            writer.finish()?;
        }
        newc::trailer(&mut archive)?;
        Ok(archive)
    }
}

/// The text of a name; another name in its place would be a surprise.
fn text(name: &Path) -> Result<&str> {
    name.to_str().with_context(|| format!("the name {} is not UTF-8", name.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Initramfs {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "content").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let mut fs = Initramfs::with_init(&file, &file).unwrap();
        fs.content("a/b/c", 0o644, "x");
        fs
    }

    #[test]
    fn folders_come_before_contents_and_devices_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("i");
        small().write(&path).unwrap();
        let mut bytes: &[u8] = &fs::read(&path).unwrap();
        let mut names = Vec::new();
        loop {
            let reader = newc::Reader::new(bytes).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            if name == "dev/console" {
                assert_eq!(mode & 0o170000, 0o020000);
                assert_eq!((reader.entry().rdev_major(), reader.entry().rdev_minor()), (5, 1));
            }
            if name == "init" {
                assert_eq!(mode, 0o100755);
            }
            names.push(name);
            bytes = reader.finish().unwrap();
        }
        let at = |name: &str| names.iter().position(|n| n == name).unwrap_or_else(|| panic!("no {name}"));
        assert!(at("a") < at("a/b") && at("a/b") < at("a/b/c"));
        assert!(at("dev") < at("dev/console"));
    }

    #[test]
    fn a_tree_keeps_folders_links_and_modes() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
        fs::create_dir(dir.path().join("empty")).unwrap();
        fs::write(dir.path().join("usr/bin/x"), "1").unwrap();
        fs::set_permissions(dir.path().join("usr/bin/x"), fs::Permissions::from_mode(0o750)).unwrap();
        std::os::unix::fs::symlink("usr/bin", dir.path().join("bin")).unwrap();
        let mut fs = Initramfs::default();
        fs.tree(dir.path()).unwrap();
        assert_eq!(fs.nodes.keys().collect::<Vec<_>>(), ["bin", "empty", "usr", "usr/bin", "usr/bin/x"]);
        assert!(matches!(&fs.nodes["bin"], Node::Symlink(target) if target == "usr/bin"));
        assert!(matches!(&fs.nodes["usr/bin/x"], Node::File { mode: 0o750, .. }));
        assert!(matches!(&fs.nodes["empty"], Node::Dir));
    }

    #[test]
    fn the_key_depends_on_the_content() {
        let (a, mut b) = (small(), small());
        assert_eq!(a.key(), b.key());
        b.content("a/b/c", 0o755, "x");
        assert_ne!(a.key(), b.key());
    }
}
