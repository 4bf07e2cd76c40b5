// SPDX-License-Identifier: GPL-2.0
//! The kernel's tracing folder: whether it can be used, which events it has, and what killed processes left in it.

use super::format::{Format, Name};
use super::instance::remove_folder;
use super::page::Layout;
use anyhow::{bail, Context};
use nix::unistd::geteuid;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Where it is mounted.
const FOLDER: &str = "sys/kernel/tracing";
/// The names of our instances begin with this, followed by the process ID.
const OURS: &str = "xfdctl-";

/// The tracing folder.
pub struct Tracefs {
    /// Where it is.
    pub path: PathBuf,
    root: PathBuf,
}

impl Tracefs {
    /// Finds it below `root`, and removes instances left by killed xfdctl processes.
    ///
    /// # Errors
    ///
    /// Fails if it is not mounted, or access is denied.
    pub fn find(root: &Path) -> anyhow::Result<Self> {
        let path = root.join(FOLDER);
        match fs::read_dir(path.join("instances")) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("tracefs is not mounted: mount -t tracefs tracefs /{FOLDER}")
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied && !geteuid().is_root() => {
                bail!("only root may trace: run it with sudo")
            }
            Err(error) => return Err(error).with_context(|| format!("cannot use tracefs at {}", path.display())),
        }
        let tracefs = Self { path, root: root.to_owned() };
        tracefs.remove_leftovers();
        Ok(tracefs)
    }

    /// The folder for an instance of this process.
    pub fn instance(&self, suffix: &str) -> PathBuf {
        self.path.join("instances").join(format!("{OURS}{}{suffix}", std::process::id()))
    }

    /// The layout of a page.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be read or parsed.
    pub fn layout(&self) -> anyhow::Result<Layout> {
        let text = self.text("events/header_page")?;
        Layout::parse(&text).with_context(|| format!("cannot parse events/header_page: {text:?}"))
    }

    /// The format of an event; `None` if the module does not have it.
    ///
    /// # Errors
    ///
    /// Fails if the module has no trace events, or this one lacks a field.
    pub fn format(&self, name: Name) -> anyhow::Result<Option<Format>> {
        let events = self.path.join("events/xfd");
        if !events.is_dir() {
            bail!("{} is missing: this kernel or this module has no trace events", events.display());
        }
        let file = format!("events/xfd/{}/format", name.word());
        if !self.path.join(&file).exists() {
            return Ok(None);
        }
        let text = self.text(&file)?;
        let format = Format::parse(name, &text);
        format.map(Some).with_context(|| format!("cannot read the trace event {} of this module", name.word()))
    }

    fn text(&self, file: &str) -> anyhow::Result<String> {
        let path = self.path.join(file);
        let read = || -> std::io::Result<String> {
            let (mut file, mut text, mut some) = (File::open(&path)?, Vec::new(), vec![0; 65536]);
            // A second read() of events/header_page returns 0, however short the first one was.
            loop {
                match file.read(&mut some)? {
                    0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
                    length => text.extend_from_slice(&some[..length]),
                }
            }
        };
        read().with_context(|| format!("cannot read {}", path.display()))
    }

    /// A killed process left its instance. The events in it are still enabled, which pins the module.
    fn remove_leftovers(&self) {
        let Ok(instances) = fs::read_dir(self.path.join("instances")) else { return };
        for instance in instances.filter_map(Result::ok) {
            let name = instance.file_name().to_string_lossy().into_owned();
            let Some(pid) = name.strip_prefix(OURS).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok())
            else {
                continue;
            };
            let comm = fs::read_to_string(self.root.join(format!("proc/{pid}/comm"))).unwrap_or_default();
            if comm.trim() != "xfdctl" || pid == std::process::id() {
                // EBUSY if somebody is using it: it stays.
                let _ = remove_folder(instance.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let said = |root: &Path| Tracefs::find(root).err().unwrap().to_string();
        let nothing = tempfile::tempdir().unwrap();
        assert_eq!(said(nothing.path()), "tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing");
        let root = fixture::root(&[]);
        let tracefs = Tracefs::find(root.path()).unwrap();
        assert!(tracefs.format(Name::FirstUse).unwrap_err().to_string().contains("events/xfd is missing"));
        let root = fixture::root(&[fixture::FIRST_USE]);
        let tracefs = Tracefs::find(root.path()).unwrap();
        assert!(tracefs.format(Name::FirstUse).unwrap().is_some());
        assert!(tracefs.format(Name::Reclaimed).unwrap().is_none());
    }

    #[test]
    fn leftovers_of_killed_processes_are_removed() {
        let root = fixture::root(&[]);
        let folder = root.path().join("sys/kernel/tracing/instances");
        fixture::thread(root.path(), 5, 5, "xfdctl", "/");
        fixture::thread(root.path(), 6, 6, "bash", "/");
        for name in ["xfdctl-5", "xfdctl-5-workers", "xfdctl-6", "xfdctl-7-workers", "xfdctl-x", "other"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        Tracefs::find(root.path()).unwrap();
        let mut left: Vec<_> =
            fixture::instances(root.path()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        left.sort();
        assert_eq!(left, ["other", "xfdctl-5", "xfdctl-5-workers", "xfdctl-x"]);
    }
}
