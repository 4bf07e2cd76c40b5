// SPDX-License-Identifier: GPL-2.0
//! A tracing instance for this process, so that it and other users of tracing do not disturb each other.

use super::format::Name;
use anyhow::Context;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[cfg(test)]
pub use super::fixture::{make_folder, remove_folder};
#[cfg(not(test))]
pub use std::fs::{create_dir as make_folder, remove_dir as remove_folder};

/// `CLOCK_MONOTONIC`: comparable between CPUs, and with other logs.
pub const CLOCK: &str = "mono";

/// A tracing instance, which is removed when this is dropped.
pub struct Instance {
    path: PathBuf,
    /// Whether an event has been enabled.
    enabled: bool,
}

/// The events of one CPU.
pub struct Source {
    /// The CPU.
    pub cpu: u32,
    /// The pages of its ring buffer.
    pub pages: File,
}

impl Instance {
    /// Creates an instance at `path`, with a ring buffer of this size for each CPU.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses.
    pub fn make(path: PathBuf, buffer_kib: u32) -> anyhow::Result<Self> {
        make_folder(&path).with_context(|| format!("cannot create the tracing instance {}", path.display()))?;
        let instance = Self { path, enabled: false };
        instance.write("trace_clock", CLOCK)?;
        instance.write("buffer_size_kb", &buffer_kib.to_string())?;
        // The first event wakes the reader.
        instance.write("buffer_percent", "0")?;
        // Keeps the process IDs of threads that have ended. Older kernels do not have this option.
        let _ = instance.write("options/record-tgid", "1");
        Ok(instance)
    }

    /// Limits it to these threads, and to the threads and processes that they create from now on.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses.
    ///
    /// # Panics
    ///
    /// If an event is enabled: those of all threads would have been recorded up to now.
    pub fn follow(&self, threads: impl IntoIterator<Item = i32>) -> anyhow::Result<()> {
        assert!(!self.enabled, "threads are chosen before events are enabled");
        self.write("options/event-fork", "1")?;
        threads.into_iter().try_for_each(|thread| self.append("set_event_pid", &thread.to_string()))
    }

    /// Enables an event, with a filter.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses.
    pub fn enable(&mut self, event: Name, filter: Option<&str>) -> anyhow::Result<()> {
        self.enabled = true;
        let folder = format!("events/xfd/{}", event.word());
        if let Some(filter) = filter {
            self.write(&format!("{folder}/filter"), filter)?;
        }
        self.write(&format!("{folder}/enable"), "1")
    }

    /// Opens each CPU's ring buffer.
    ///
    /// # Errors
    ///
    /// Fails if one cannot be opened.
    pub fn sources(&self) -> anyhow::Result<Vec<Source>> {
        let folder = self.path.join("per_cpu");
        let cpus = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let mut sources = Vec::new();
        for entry in cpus {
            let entry = entry?;
            let name = entry.file_name();
            let Some(cpu) = name.to_str().and_then(|name| name.strip_prefix("cpu")?.parse().ok()) else { continue };
            let path = entry.path().join("trace_pipe_raw");
            let pages = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&path);
            sources.push(Source { cpu, pages: pages.with_context(|| format!("cannot open {}", path.display()))? });
        }
        sources.sort_by_key(|source| source.cpu);
        Ok(sources)
    }

    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        put(&self.path.join(file), text, OpenOptions::new().write(true).truncate(true))
    }

    fn append(&self, file: &str, text: &str) -> anyhow::Result<()> {
        put(&self.path.join(file), &format!("{text}\n"), OpenOptions::new().append(true))
    }
}

fn put(path: &Path, text: &str, how: &OpenOptions) -> anyhow::Result<()> {
    let written = how.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {:?} to {}", text.trim(), path.display()))
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Err(error) = remove_folder(&self.path) {
            let _ = writeln!(io::stderr(), "xfdctl: cannot remove {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn it_is_set_up_and_removed() {
        let root = fixture::root(&[fixture::FIRST_USE]);
        let path = root.path().join("sys/kernel/tracing/instances/xfdctl-1");
        let text = |file: &str| fs::read_to_string(path.join(file)).unwrap();
        let mut instance = Instance::make(path.clone(), 64).unwrap();
        instance.follow([3, 4]).unwrap();
        instance.enable(Name::FirstUse, Some("verdict == 1")).unwrap();
        assert_eq!((text("trace_clock").as_str(), text("buffer_size_kb").as_str()), ("mono", "64"));
        assert_eq!((text("set_event_pid").as_str(), text("options/event-fork").as_str()), ("3\n4\n", "1"));
        assert_eq!(text("events/xfd/xfd_first_use/filter"), "verdict == 1");
        assert_eq!(text("events/xfd/xfd_first_use/enable"), "1");
        assert_eq!(instance.sources().unwrap().iter().map(|source| source.cpu).collect::<Vec<_>>(), [0]);
        drop(instance);
        assert!(!path.exists());
    }

    #[test]
    fn a_failure_leaves_no_instance() {
        let root = fixture::root(&[]);
        let path = root.path().join("sys/kernel/tracing/instances/no/such/folder");
        assert!(Instance::make(path, 64).is_err());
        // There is no event to enable.
        fs::create_dir(root.path().join("sys/kernel/tracing/events/xfd")).unwrap();
        let path = root.path().join("sys/kernel/tracing/instances/xfdctl-1");
        let error = Instance::make(path.clone(), 64).unwrap().enable(Name::FirstUse, None).unwrap_err();
        assert!(error.to_string().starts_with("cannot write \"1\" to "), "{error}");
        assert!(!path.exists());
    }
}
