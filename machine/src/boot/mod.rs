// SPDX-License-Identifier: GPL-2.0
//! Runs one boot: starts the emulator as a child process, reads the guest's serial ports and channel, and watches for
//! hangs.

pub mod channel;
pub mod console;
pub mod debugger;
pub mod installed;
pub mod klog;
pub mod linux_guest;
pub mod machine;
pub mod verdict;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::stat::Mode;

use crate::boot::channel::Frames;
use crate::boot::console::{Event, Lines, Records};
use crate::boot::klog::{Kind, Problem};
use crate::boot::verdict::End;
use crate::piece::emulator::Emulator;
use crate::piece::image::bochsrc;
use crate::workshop::cache::Cache;
use crate::workshop::child::spawn;

/// How long the kernel gets after a panic to print its trace.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// A busy host must not look like a hang. The limit for silence is therefore in CPU time of the emulator; in wall time
/// it is this many times longer.
const BUSY_HOST: u32 = 5;
/// Bochs's name for the configuration in a saved state. Each run writes its own.
const CONFIG: &str = "config";
/// The variable in the emulator's environment that names the folder to save the machine in.
const SAVE: &str = "BOCHS_SAVE";
/// Plugins that Bochs loads by itself only with an ordinary configuration.
const PLUGINS: &str =
    "plugin_ctrl: unmapped=true, biosdev=true, speaker=true, extfpuirq=true, parallel=true, serial=true\n";
/// The time limit from `done` to power-off.
const POWER_OFF: Duration = Duration::from_secs(60);

/// What to boot, how, and how long to wait.
pub struct Boot<'a> {
    pub name: &'a str,
    pub from: From<'a>,
    pub template: &'a str,
    pub cpus: u8,
    pub memory_mib: u32,
    /// The longest time without output, in CPU time of the emulator.
    pub quiet: Duration,
    /// The longest time for the whole boot.
    pub total: Duration,
    /// Whether to show the kernel console on stderr.
    pub show_console: bool,
    /// Options to add to the configuration's `cpu` line.
    pub cpu_more: &'a str,
    /// Where to save the machine when the guest asks for it, which also ends the run.
    pub save: Option<&'a Path>,
    /// Writes everything that the guest's agent gets, from when it asks.
    pub feed: Option<Feed>,
    /// A file that `cpu_more` names without its folder.
    pub cpu_file: &'a Path,
    /// More lines for the emulator's configuration.
    pub config: &'a str,
    /// The socket for a debugger, if there is one.
    pub debugger: Option<&'a Path>,
    /// A terminal device for the second port, and its other end; otherwise the port is a pipe.
    pub terminal: Option<(PathBuf, File)>,
}

/// What a machine starts from.
pub enum From<'a> {
    /// A boot image.
    Image(&'a Path),
    /// The folder of a saved state.
    State(&'a Path),
}

/// Sends the guest's agent its job.
pub type Feed = Box<dyn FnOnce(File) + Send>;

/// The outcome of a boot.
#[derive(Debug)]
pub struct Report {
    pub end: End,
    pub problems: Vec<Problem>,
    /// The kernel console's log.
    pub log: PathBuf,
    /// The name in its logs: the boot's own, with a number if another run uses that at the same time.
    pub name: String,
}

/// Boots the machine; `event` gets what the guest's init and programs report.
///
/// # Errors
///
/// The host cannot create the pipes or start the emulator. A failure of the machine itself is in the report.
pub fn boot(cache: &Cache, emulator: &Emulator, boot: Boot, mut event: impl FnMut(Event)) -> Result<Report> {
    let scratch = cache.scratch("boot")?;
    let console_path = scratch.path().join("console");
    let mut console = fifo(&console_path)?;
    let (output_path, mut output) = match boot.terminal {
        Some((path, end)) => (path, end),
        None => {
            let path = scratch.path().join("output");
            let end = fifo(&path)?;
            (path, end)
        }
    };
    let (input_path, channel_path) = (scratch.path().join("to-agent"), scratch.path().join("from-agent"));
    let (input, mut channel) = (fifo(&input_path)?, fifo(&channel_path)?);
    let (cpus, memory) = (boot.cpus.to_string(), boot.memory_mib.to_string());
    let bochs_log = cache.log(&format!("bochs-{}", boot.name));
    let path = |to: &Path| near(scratch.path(), to);
    path(boot.cpu_file)?;
    let iso = match boot.from {
        From::Image(iso) => path(iso)?,
        // A saved machine needs no boot image.
        From::State(_) => "none".into(),
    };
    let mut config = bochsrc(
        boot.template,
        &[
            ("CPUS", &cpus),
            ("MEMORY_MIB", &memory),
            ("CPU_MORE", boot.cpu_more),
            ("SHARE", &path(&emulator.share())?),
            ("ISO", &iso),
            ("CONSOLE", &path(&console_path)?),
            ("OUTPUT", &path(&output_path)?),
            ("LOG", &path(&bochs_log)?),
        ],
    )?;
    if output_path.starts_with("/dev") {
        config.push_str(&format!("com2: enabled=1, mode=term, dev={}\n", output_path.display()));
    }
    config.push_str(boot.config);
    let begin = begin(scratch.path(), &boot.from, &config)?;
    let save = boot.save.map(|folder| anyhow::Ok((SAVE, path(folder)?))).transpose()?;
    let log_path = cache.log(&format!("console-{}", boot.name));
    let mut log = File::create(&log_path).with_context(|| format!("cannot create {}", log_path.display()))?;
    let stderr_path = cache.log(&format!("emulator-stderr-{}", boot.name));
    let mut child = spawn(
        Command::new(emulator.program())
            .arg("-q")
            .args(&begin)
            .env("BOCHS_INPUT", &input_path)
            .env("BOCHS_OUTPUT", &channel_path)
            .env_remove(SAVE)
            .envs(save)
            .current_dir(scratch.path())
            .env(debugger::SOCKET, boot.debugger.unwrap_or(Path::new("")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&stderr_path)?),
    )?;

    let mut feed = boot.feed;
    let restored = matches!(boot.from, From::State(_));
    let mut guest =
        Guest { event: &mut event, ready: restored, waits: false, done: None, records: Records::default() };
    let mut frames = Frames::default();
    let mut kernel = KernelLog::default();
    let start = Instant::now();
    let mut last = Sign::now(&child);
    let mut buffer = [0; 65536];
    let end = loop {
        let mut fds = [console.as_fd(), output.as_fd(), channel.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let ready = poll(&mut fds, PollTimeout::from(100u8));
        let has = |fd: &PollFd| fd.revents().is_some_and(|r| r.contains(PollFlags::POLLIN));
        let [from_console, from_output, from_channel] =
            [0, 1, 2].map(|number: usize| ready.is_ok() && has(&fds[number]));
        if from_console {
            let bytes = read(&mut console, &mut buffer)?;
            last = Sign::now(&child);
            log.write_all(bytes)?;
            if boot.show_console {
                std::io::stderr().write_all(bytes)?;
            }
            kernel.push(bytes);
        }
        if from_output {
            let bytes = read(&mut output, &mut buffer)?;
            last = Sign::now(&child);
            guest.push(bytes);
        }
        if from_channel {
            let bytes = read(&mut channel, &mut buffer)?;
            last = Sign::now(&child);
            if let Err(what) = frames.push(bytes, |event| guest.take(event)) {
                break End::Died(format!("it sent {what}, which its agent never does"));
            }
        }
        if let Some(feed) = feed.take_if(|_| guest.waits) {
            let input = input.try_clone()?;
            std::thread::spawn(move || feed(input));
        }
        if from_console || from_output || from_channel {
            if start.elapsed() < boot.total {
                continue;
            }
        } else if let Some(status) = child.try_wait()? {
            break match guest.done {
                Some(_) => End::Orderly,
                None if boot.save.is_some() && status.success() => End::Orderly,
                None if kernel.panicked.is_some() => End::Panic,
                None if guest.ready => End::Died(last_words(&stderr_path)),
                None => End::NoStart(last_words(&stderr_path)),
            };
        }
        // After `done`, a restored machine has nothing left to show, and its power-off would take longer than most
        // programs.
        if restored && guest.done.is_some() && !(from_console || from_output || from_channel) {
            break End::Orderly;
        }
        if kernel.panicked.is_some_and(|at| kernel.ended || at.elapsed() > LAST_WORDS) {
            break End::Panic;
        }
        if guest.done.is_some_and(|at: Instant| at.elapsed() > POWER_OFF) {
            break End::Hang("no power-off after the end of the run".into());
        }
        if last.is_older_than(boot.quiet, &child) {
            break End::Hang(format!("no output for {} s", boot.quiet.as_secs()));
        }
        if start.elapsed() > boot.total {
            break End::Hang(format!("not finished after {} s", boot.total.as_secs()));
        }
    };
    stop(&mut child);
    kernel.finish();
    Ok(Report { end, problems: kernel.problems, log: log_path, name: boot.name.to_owned() })
}

/// The emulator's arguments for what it starts from: a configuration, or a folder with one and with a saved state.
fn begin(scratch: &Path, from: &From, config: &str) -> Result<[OsString; 2]> {
    match from {
        From::Image(_) => {
            let path = scratch.join("bochsrc");
            fs::write(&path, config)?;
            Ok(["-f".into(), "bochsrc".into()])
        }
        From::State(state) => {
            let folder = scratch.join("state");
            fs::create_dir(&folder)?;
            for file in fs::read_dir(state).with_context(|| format!("cannot list {}", state.display()))? {
                let file = file?;
                symlink(file.path(), folder.join(file.file_name()))?;
            }
            let path = folder.join(CONFIG);
            fs::remove_file(&path).context("the saved machine has no configuration")?;
            fs::write(&path, [PLUGINS, config].concat())?;
            Ok(["-r".into(), "state".into()])
        }
    }
}

/// When the machine last gave a sign of life.
struct Sign {
    at: Instant,
    processor_time: Duration,
}

impl Sign {
    fn now(child: &Child) -> Sign {
        Sign { at: Instant::now(), processor_time: processor_time(child) }
    }

    fn is_older_than(&self, limit: Duration, child: &Child) -> bool {
        self.at.elapsed() > limit
            && (processor_time(child).saturating_sub(self.processor_time) > limit
                || self.at.elapsed() > limit.saturating_mul(BUSY_HOST))
    }
}

/// The CPU time that a child process has used.
fn processor_time(child: &Child) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    ticks(&stat).map_or(Duration::ZERO, |ticks| Duration::from_millis(ticks * 10))
}

/// User and system time in /proc/PID/stat, in hundredths of a second (USER_HZ is 100 on x86).
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

struct Guest<'a> {
    event: &'a mut dyn FnMut(Event),
    ready: bool,
    /// The agent waits for its job.
    waits: bool,
    done: Option<Instant>,
    records: Records,
}

impl Guest<'_> {
    fn push(&mut self, bytes: &[u8]) {
        let mut events = Vec::new();
        self.records.push(bytes, |event| events.push(event));
        events.into_iter().for_each(|event| self.take(event));
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Ready => self.ready = true,
            Event::Waiting => self.waits = true,
            Event::Done => self.done = Some(Instant::now()),
            _ => {}
        }
        (self.event)(event);
    }
}

#[derive(Default)]
struct KernelLog {
    lines: Lines,
    judge: klog::Judge,
    problems: Vec<Problem>,
    panicked: Option<Instant>,
    ended: bool,
}

impl KernelLog {
    fn push(&mut self, bytes: &[u8]) {
        let (problems, panicked, ended) = (&mut self.problems, &mut self.panicked, &mut self.ended);
        let judge = &mut self.judge;
        self.lines.push(bytes, |line| {
            *ended |= klog::is_end_of_panic(line);
            if let Some(problem) = judge.push(line) {
                if problem.kind == Kind::Panic && !*ended {
                    panicked.get_or_insert_with(Instant::now);
                }
                problems.push(problem);
            }
        });
    }

    fn finish(&mut self) {
        let (problems, judge) = (&mut self.problems, &mut self.judge);
        self.lines.finish(|line| problems.extend(judge.push(line)));
        problems.extend(judge.finish());
    }
}

/// A name for `to`, for a process whose working directory is `folder`; creates a link there if needed. Bochs's
/// configuration cannot hold every path: blanks, `$`, `%`, `"` and commas have a meaning in it.
fn near(folder: &Path, to: &Path) -> Result<String> {
    if to.starts_with("/dev") {
        return Ok(to.display().to_string());
    }
    let name = to.file_name().with_context(|| format!("{} has no file name", to.display()))?;
    let link = folder.join(name);
    if link != to {
        std::os::unix::fs::symlink(to, &link).with_context(|| format!("cannot create {}", link.display()))?;
    }
    Ok(name.to_string_lossy().into_owned())
}

/// A FIFO, opened for reading and writing, so that neither end waits for the other or sees an end of file.
fn fifo(path: &Path) -> Result<File> {
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)
        .with_context(|| format!("cannot create the FIFO {}", path.display()))?;
    let open = OpenOptions::new().read(true).write(true).open(path);
    open.with_context(|| format!("cannot open {}", path.display()))
}

fn read<'a>(from: &mut File, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
    let n = from.read(buffer).context("cannot read from the machine")?;
    Ok(&buffer[..n])
}

fn stop(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The most telling line of the emulator's stderr: its last panic, or else its last line with any text.
fn last_words(stderr: &Path) -> String {
    let text = fs::read(stderr).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: VecDeque<&str> = text.lines().map(str::trim).filter(|l| l.chars().any(char::is_alphabetic)).collect();
    let panic = lines.iter().rev().find(|l| l.contains("PANIC") || l.contains(">>"));
    (*panic.or(lines.back()).unwrap_or(&"the emulator said nothing")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_emulators_last_words_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stderr");
        fs::write(&path, "====\n00000p[      ] >>PANIC<< could not open ROM image\n  quit\n====\n").unwrap();
        assert!(last_words(&path).contains("could not open ROM image"));
        assert_eq!(last_words(&dir.path().join("none")), "the emulator said nothing");
    }

    #[test]
    fn the_emulator_gets_paths_without_folders() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("a b,$HOME%d\"");
        fs::create_dir(&odd).unwrap();
        fs::write(odd.join("boot.iso"), "image").unwrap();
        let scratch = odd.join("scratch");
        fs::create_dir(&scratch).unwrap();
        assert_eq!(near(&scratch, &odd.join("boot.iso")).unwrap(), "boot.iso");
        assert_eq!(fs::read(scratch.join("boot.iso")).unwrap(), b"image");
        assert_eq!(near(&scratch, &scratch.join("console")).unwrap(), "console");
        assert!(!scratch.join("console").is_symlink());
        assert_eq!(near(&scratch, Path::new("/dev/pts/3")).unwrap(), "/dev/pts/3");
    }

    #[test]
    fn cpu_time_is_read_after_an_odd_process_name() {
        let stat = "42 (a) b) R 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0\n";
        assert_eq!(ticks(stat), Some(175));
        assert_eq!(ticks("42 (a) R 1"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn a_panic_is_followed_to_its_end() {
        let mut log = KernelLog::default();
        log.push(b"[ 1.0] Kernel panic - not syncing: x\n[ 1.1] Call Trace:\n");
        assert!(log.panicked.is_some() && !log.ended);
        log.push(b"[ 1.2] ---[ end Kernel panic - not syncing: x ]---\n");
        assert!(log.ended);
        assert_eq!(log.problems[0].kind, Kind::Panic);
    }
}
