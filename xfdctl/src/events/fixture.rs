// SPDX-License-Identifier: GPL-2.0
//! Imitations for tests of what the kernel provides: pages of a ring buffer, format files, a tracefs.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

pub const HEADER_PAGE: &str = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;
";

const COMMON: &str = "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;
";

pub const FIRST_USE: u16 = 2001;
pub const RECLAIMED: u16 = 2002;
/// `xfd_first_use` of a module after 0.1.0, which names the thread.
pub const FIRST_USE_NAMED: u16 = 2003;

/// The format file of an event.
pub fn format(id: u16) -> String {
    let first: &[(&str, usize)] = &[
        ("u64 xfd_err", 8),
        ("u64 xfd_err_after", 8),
        ("u64 permitted", 8),
        ("u32 size_before", 4),
        ("u32 size_after", 4),
        ("u64 xfd_before", 8),
        ("u64 xfd_after", 8),
        ("u32 verdict", 4),
        ("u64 tsc", 8),
    ];
    let thread: &[(&str, usize)] = &[("pid_t tid", 4), ("pid_t tgid", 4), ("char comm[16]", 16)];
    let (name, fields) = match id {
        FIRST_USE => ("xfd_first_use", first.to_vec()),
        FIRST_USE_NAMED => ("xfd_first_use", [first, thread].concat()),
        _ => ("xfd_reclaimed", [thread, &[("u64 bytes", 8)]].concat()),
    };
    let mut text = format!("name: {name}\nID: {id}\nformat:\n{COMMON}\n");
    let mut at: usize = 8;
    for (field, size) in fields {
        at = at.next_multiple_of(size.min(8));
        writeln!(text, "\tfield:{field};\toffset:{at};\tsize:{size};\tsigned:0;").unwrap();
        at += size;
    }
    text + "\nprint fmt: \"x\"\n"
}

/// A record of `xfd_first_use`, granted or denied.
pub fn first_use(tid: i32, verdict: u32, tsc: u64) -> Vec<u8> {
    let mut record = FIRST_USE.to_ne_bytes().to_vec();
    record.extend([0, 0]);
    record.extend(tid.to_ne_bytes());
    let (after, xfd) = if verdict == 0 { (10752_u32, 0_u64) } else { (2560, 0x40000) };
    for word in [0x40000_u64, 0, 0x60ae7] {
        record.extend(word.to_ne_bytes());
    }
    record.extend(2560_u32.to_ne_bytes());
    record.extend(after.to_ne_bytes());
    record.extend(0x40000_u64.to_ne_bytes());
    record.extend(xfd.to_ne_bytes());
    record.extend(verdict.to_ne_bytes());
    record.extend([0; 4]);
    record.extend(tsc.to_ne_bytes());
    record
}

/// A record of `xfd_first_use` that names the thread; the name's unused bytes begin with `unused`.
pub fn first_use_named(tid: i32, process: i32, comm: &str, unused: &str) -> Vec<u8> {
    let mut record = first_use(99, 0, 1039);
    record[..2].copy_from_slice(&FIRST_USE_NAMED.to_ne_bytes());
    record.extend([tid, process].iter().flat_map(|id| id.to_ne_bytes()));
    let mut name = format!("{comm}\0{unused}").into_bytes();
    name.resize(16, 0);
    record.extend(name);
    record
}

/// A record of `xfd_reclaimed`, written by a worker.
pub fn reclaimed(tid: i32, process: i32, comm: &str) -> Vec<u8> {
    let mut record = RECLAIMED.to_ne_bytes().to_vec();
    record.extend([0, 0]);
    record.extend(9_i32.to_ne_bytes());
    record.extend(tid.to_ne_bytes());
    record.extend(process.to_ne_bytes());
    let mut name = comm.as_bytes().to_vec();
    name.resize(16, 0);
    record.extend(name);
    record.extend(12288_u64.to_ne_bytes());
    record
}

/// A page that is being written.
pub struct PageMaker {
    start: u64,
    data: Vec<u8>,
    /// The number of events lost before it; 0 if the number is not stored.
    pub lost: Option<u64>,
}

impl PageMaker {
    pub fn at(start: u64) -> Self {
        Self { start, data: Vec::new(), lost: None }
    }

    fn header(&mut self, kind: u32, delta: u32) {
        self.data.extend((kind | delta << 5).to_ne_bytes());
    }

    pub fn record(&mut self, delta: u32, record: &[u8]) {
        assert!(record.len() % 4 == 0);
        self.header(u32::try_from(record.len() / 4).unwrap(), delta);
        self.data.extend(record);
    }

    pub fn long_record(&mut self, delta: u32, record: &[u8]) {
        self.header(0, delta);
        self.data.extend(u32::try_from(record.len() + 4).unwrap().to_ne_bytes());
        self.data.extend(record);
    }

    pub fn extend(&mut self, delta: u64) {
        self.header(30, u32::try_from(delta % (1 << 27)).unwrap());
        self.data.extend(u32::try_from(delta >> 27).unwrap().to_ne_bytes());
    }

    pub fn stamp(&mut self, now: u64) {
        self.header(31, u32::try_from(now % (1 << 27)).unwrap());
        self.data.extend(u32::try_from(now >> 27).unwrap().to_ne_bytes());
    }

    /// A record that was discarded before it was committed.
    pub fn discarded(&mut self, delta: u32, bytes: u32) {
        self.header(29, delta);
        self.data.extend(bytes.to_ne_bytes());
        self.data.extend(vec![0xff; bytes as usize - 4]);
    }

    pub fn finish(&self) -> Vec<u8> {
        let mut page = self.start.to_ne_bytes().to_vec();
        let mut commit = self.data.len() as u64;
        if let Some(lost) = self.lost {
            commit |= 1 << 31 | u64::from(lost != 0) << 30;
        }
        page.extend(commit.to_ne_bytes());
        page.extend(&self.data);
        page.extend(
            match self.lost {
                // Stale data.
                Some(0) | None => 99_u64,
                Some(lost) => lost,
            }
            .to_ne_bytes(),
        );
        page.resize(4096, 0);
        page
    }
}

/// A root folder with a tracefs, the module, and the trace events `ids`.
pub fn root(ids: &[u16]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("sys/kernel/tracing/events/header_page", HEADER_PAGE);
    for id in ids {
        let name = if *id == FIRST_USE { "xfd_first_use" } else { "xfd_reclaimed" };
        write(&format!("sys/kernel/tracing/events/xfd/{name}/format"), &format(*id));
    }
    for folder in ["sys/kernel/tracing/instances", "sys/module/xfd"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    root
}

/// Adds a thread to `/proc`.
pub fn thread(root: &Path, tid: i32, process: i32, comm: &str, cgroup: &str) {
    for folder in [format!("proc/{tid}"), format!("proc/{process}/task/{tid}")] {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("comm"), format!("{comm}\n")).unwrap();
        fs::write(folder.join("status"), format!("Name:\t{comm}\nTgid:\t{process}\nNgid:\t0\n")).unwrap();
        fs::write(folder.join("cgroup"), format!("1:cpu:/old\n0::{cgroup}\n")).unwrap();
    }
}

/// Creates an instance as the kernel does, with one CPU.
pub fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    let tracing = path.parent().unwrap().parent().unwrap();
    for event in fs::read_dir(tracing.join("events/xfd"))? {
        let folder = path.join("events/xfd").join(event?.file_name());
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("filter"), "none\n")?;
        fs::write(folder.join("enable"), "0\n")?;
    }
    fs::create_dir_all(path.join("options"))?;
    fs::create_dir_all(path.join("per_cpu/cpu0"))?;
    for file in ["trace_clock", "buffer_percent", "buffer_size_kb", "set_event_pid", "options/event-fork"] {
        fs::write(path.join(file), "")?;
    }
    nix::unistd::mkfifo(&path.join("per_cpu/cpu0/trace_pipe_raw"), nix::sys::stat::Mode::S_IRWXU)?;
    Ok(())
}

/// Removes an instance as the kernel does, with everything in it.
pub fn remove_folder(path: impl AsRef<Path>) -> io::Result<()> {
    fs::remove_dir_all(path)
}

/// The pipe for the pages that the kernel writes.
pub fn pipe(instance: &Path) -> File {
    File::options().read(true).write(true).open(instance.join("per_cpu/cpu0/trace_pipe_raw")).unwrap()
}

/// The existing instances.
pub fn instances(root: &Path) -> Vec<PathBuf> {
    let folder = fs::read_dir(root.join("sys/kernel/tracing/instances")).unwrap();
    folder.map(|entry| entry.unwrap().path()).collect()
}

/// Writes the page for the reader.
pub fn give(pipe: &mut File, page: &PageMaker) {
    pipe.write_all(&page.finish()).unwrap();
}
