// SPDX-License-Identifier: GPL-2.0
//! Tests `machine run` as a user runs it: each case starts this program with a script for the guest.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{ensure, Result};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::pty::{openpty, Winsize};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use signal_hook::consts::SIGPIPE;

use crate::boot::machine::Machine;
use crate::piece::project::Project;
use crate::workshop::count::Count;
use crate::workshop::progress::Step;

/// The name of this test in `machine check`.
pub const NAME: &str = "run";

/// This program, even if the tests of its own crate have built another one in its place.
const SELF: &str = "/proc/self/exe";

/// The folder in which a case has its files.
struct Bench<'a> {
    project: &'a Project,
    folder: PathBuf,
}

impl Bench<'_> {
    /// Runs a script in the guest, with `options` for `run` and `arguments` for the script.
    fn script(&self, text: &str, options: &[&str], arguments: &[&str], input: &[u8]) -> Result<Output> {
        let script = self.folder.join("script.sh");
        fs::write(&script, format!("#!/bin/sh\n{text}\n"))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let file = self.folder.join("input");
        fs::write(&file, input)?;
        let mut command = self.command(&["run", "--timeout", "300"]);
        Ok(command.args(options).arg("./script.sh").args(arguments).stdin(File::open(file)?).output()?)
    }

    /// This program, in the case's folder.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(SELF);
        command.current_dir(&self.folder).env("XFD_CACHE", self.project.cache.root()).args(arguments);
        command.stdin(Stdio::null());
        command
    }
}

/// Checks that the program printed exactly `text` and exited with `status`.
fn said(output: &Output, text: &[u8], status: i32) -> Result<()> {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.stdout == text && output.status.code() == Some(status),
        "status {:?}, output {:?}, errors {:?}",
        output.status.code(),
        shown(&output.stdout),
        shown(&output.stderr)
    );
    Ok(())
}

fn errors(output: &Output) -> String {
    // Leave out the runner's own progress messages.
    let text = String::from_utf8_lossy(&output.stderr);
    let own = |line: &&str| !line.contains(": ready after") && !line.contains(": booting the machine");
    text.lines().filter(own).map(|line| format!("{line}\n")).collect()
}

fn output_may_be_anything(bench: &Bench) -> Result<()> {
    let script = r"printf '\036end run 0\n\000\377'; echo wrong >&2; exit 3";
    let output = bench.script(script, &[], &[], b"")?;
    said(&output, b"\x1eend run 0\n\0\xff", 3)?;
    ensure!(errors(&output) == "wrong\n", "{:?}", errors(&output));
    Ok(())
}

fn input_arrives_whole(bench: &Bench) -> Result<()> {
    let input: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    said(&bench.script("exec cat", &[], &[], &input)?, &input, 0)?;
    // Empty input is an immediate end of file, and fd 0 stays in use: the next file opened does not get it.
    said(&bench.script("cat; exec 9</dev/null; ls /proc/self/fd | head -n 1", &[], &[], b"")?, b"0\n", 0)
}

/// A reader that goes away ends the run, and output that cannot be written is not lost without a word.
fn output_has_a_reader(bench: &Bench) -> Result<()> {
    let mut run = bench.command(&["run", "--timeout", "300", "yes"]).stdout(Stdio::piped()).spawn()?;
    let mut first = [0; 2];
    run.stdout.take().map_or(Ok(()), |mut output| output.read_exact(&mut first))?;
    let status = run.wait()?;
    ensure!(first == *b"y\n" && status.signal() == Some(SIGPIPE), "{first:?}, {status}");
    let full = File::options().write(true).open("/dev/full")?;
    let output = bench.command(&["run", "--timeout", "300", "echo"]).stdout(full).output()?;
    said(&output, b"", 205)?;
    ensure!(errors(&output).contains("could not be written"), "{}", errors(&output));
    Ok(())
}

fn files_come_along(bench: &Bench) -> Result<()> {
    fs::create_dir_all(bench.folder.join("data/empty"))?;
    fs::write(bench.folder.join("data/odd name"), "1\n")?;
    std::os::unix::fs::symlink("nowhere", bench.folder.join("data/dangling"))?;
    let script = r#"cat "data/odd name" deep/er/x "$(dirname "$0")/x"; ls -d data/empty; readlink data/dangling"#;
    fs::write(bench.folder.join("x"), "2\n")?;
    let options = ["--with", "data", "--with", "x", "--with", "x:deep/er/x"];
    said(&bench.script(script, &options, &[], b"")?, b"1\n2\n2\ndata/empty\nnowhere\n", 0)
}

fn files_come_back(bench: &Bench) -> Result<()> {
    fs::write(bench.folder.join("same"), "old")?;
    fs::write(bench.folder.join("changed"), "old")?;
    let script = r#"mkdir -p a/b; echo new | tee changed >a/b/c; ln -s b a/l; touch -d 2001-01-01 past; mkfifo p; ln changed twice;
                  touch "$(printf '\377\n')""#;
    let output = bench.script(script, &["--with", "same", "--with", "changed", "--out", "out"], &[], b"")?;
    said(&output, b"", 0)?;
    let out = bench.folder.join("out");
    let text = |name: &str| fs::read_to_string(out.join(name)).unwrap_or_else(|e| e.to_string());
    ensure!(
        text("a/l/c") == "new\n" && text("changed") == "new\n" && text("twice") == "new\n" && text("past").is_empty(),
        "{}",
        errors(&output)
    );
    ensure!(!out.join("same").exists() && !out.join("p").exists() && !out.join("script.sh").exists(), "too much");
    ensure!(errors(&output).contains("5 files in out"), "{}", errors(&output));
    Ok(())
}

fn variables_and_arguments(bench: &Bench) -> Result<()> {
    let script = r#"printf '%s|' "$A" "$XFD_CACHE" "$@"; pwd"#;
    let options = ["--env", "A=it's \"$HOME\"", "--env", "XFD_CACHE"];
    let cache = bench.project.cache.root().display();
    let expected = format!("it's \"$HOME\"|{cache}|a b|'|--cpus|/work\n");
    said(&bench.script(script, &options, &["a b", "'", "--cpus"], b"")?, expected.as_bytes(), 0)
}

fn a_status_of_its_own(bench: &Bench) -> Result<()> {
    let output = bench.script("exit 203", &[], &[], b"")?;
    said(&output, b"", 203)?;
    ensure!(errors(&output).contains("the program itself ended with status 203"), "{}", errors(&output));
    said(&bench.script("kill -SEGV $$", &[], &[], b"")?, b"", 139)
}

fn mistakes_are_wrong_usage(bench: &Bench) -> Result<()> {
    for (options, why) in [
        (["--env", "1=2"], "not a valid variable name"),
        (["--env", "XFD_NOT_SET"], "not set"),
        (["--with", "nothing"], "cannot find"),
        (["--with", "script.sh"], "already has"),
        (["--with", "script.sh:../x"], "DEST"),
        (["--out", "script.sh"], "cannot write there"),
    ] {
        let output = bench.script("echo ran", &options, &[], b"")?;
        said(&output, b"", 2)?;
        ensure!(errors(&output).contains(why) && errors(&output).lines().count() == 1, "{}", errors(&output));
    }
    Ok(())
}

/// Two runs from one saved machine: the clock is right, random numbers are not the same, nothing is left of the other.
fn each_is_a_machine_of_its_own(bench: &Bench) -> Result<()> {
    let script = "ls /tmp; touch /tmp/left; date +%s; head -c 16 /dev/urandom | md5sum";
    let mut before = String::new();
    for _ in 0..2 {
        let begin = now()?;
        let output = bench.script(script, &["--cpus", "2"], &[], b"")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<_> = text.lines().collect();
        let [date, random] = lines.as_slice() else { anyhow::bail!("{text:?}") };
        let (date, now): (u64, _) = (date.parse()?, now()?);
        ensure!((begin..=now + 1).contains(&date), "{date}, and it is {now}");
        ensure!(*random != before, "{random} twice");
        before = (*random).to_owned();
    }
    Ok(())
}

/// The same with `--boot`. The clock has the time at which the program starts, not the machine.
fn booted(bench: &Bench) -> Result<()> {
    let begin = now()?;
    let output = bench.script("cat; nproc; date +%s >&2", &["--boot", "--cpus", "2"], &[], b"in\n")?;
    let end = now()?;
    said(&output, b"in\n2\n", 0)?;
    let date: u64 = errors(&output).trim().parse()?;
    ensure!(end.abs_diff(date) < date.abs_diff(begin), "{date}, and it ran from {begin} to {end}");
    Ok(())
}

/// Seconds since 1970.
fn now() -> Result<u64> {
    Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs())
}

/// The run ends with the program, whatever it left running says; and if nobody can say how the program ended.
fn the_end_is_found(bench: &Bench) -> Result<()> {
    let output = bench.script("yes & usleep 100000; exit 3", &["--cpus", "2"], &[], b"")?;
    ensure!(output.status.code() == Some(3) && output.stdout.starts_with(b"y\n"), "{}", output.status);
    let output = bench.script("echo begun; kill -9 $(pidof agent); sleep 100", &[], &[], b"")?;
    said(&output, b"begun\n", 203)?;
    ensure!(errors(&output).contains("the agent in the guest has ended before it"), "{}", errors(&output));
    let output = bench.script("echo begun", &["--with", "script.sh:/proc/x"], &[], b"")?;
    said(&output, b"", 205)?;
    ensure!(errors(&output).contains("cannot be started in the machine: unpacking its files"), "{}", errors(&output));
    Ok(())
}

/// A terminal in which `machine shell` runs.
struct Terminal {
    master: File,
    said: Vec<u8>,
}

impl Terminal {
    fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: TIOCSWINSZ reads a struct winsize, which `size` is, and keeps no pointer to it.
        let done = unsafe { nix::libc::ioctl(self.master.as_raw_fd(), nix::libc::TIOCSWINSZ, &size) };
        Ok(nix::errno::Errno::result(done).map(drop)?)
    }

    /// Reads until the shell has said `what`.
    fn hears(&mut self, what: &str) -> Result<()> {
        let has = |said: &[u8]| said.windows(what.len()).any(|part| part == what.as_bytes());
        while !has(&self.said) {
            let ready =
                poll(&mut [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)], PollTimeout::from(60_000u16))?;
            let mut bytes = [0; 4096];
            let read = if ready == 0 { 0 } else { self.master.read(&mut bytes).unwrap_or(0) };
            ensure!(read > 0, "no {what:?} in {:?}", String::from_utf8_lossy(&self.said));
            self.said.extend(&bytes[..read]);
        }
        Ok(())
    }
}

/// The shell's terminal has the size of the host's, also when that changes. The answers are not what is typed.
fn a_shell_has_the_terminals_size(bench: &Bench) -> Result<()> {
    let pty = openpty(None, None)?;
    let mut terminal = Terminal { master: pty.master.into(), said: Vec::new() };
    terminal.resize(30, 100)?;
    let end = || Ok::<_, anyhow::Error>(Stdio::from(pty.slave.try_clone()?));
    let mut shell = bench.command(&["shell"]);
    let mut shell = shell.stdin(end()?).stdout(end()?).stderr(Stdio::null()).spawn()?;
    let mut talk = || -> Result<()> {
        terminal.hears("switches the machine off")?;
        terminal.master.write_all(b"echo begins with $(stty size)\r")?;
        terminal.hears("begins with 30 100")?;
        terminal.resize(40, 120)?;
        kill(Pid::from_raw(i32::try_from(shell.id())?), Signal::SIGWINCH)?;
        terminal.master.write_all(b"while [ \"$(stty size)\" = '30 100' ]; do usleep 10000; done\r")?;
        terminal.master.write_all(b"echo goes on with $(stty size); exit 7\r")?;
        terminal.hears("goes on with 40 120")
    };
    let talked = talk();
    if talked.is_err() {
        shell.kill()?;
    }
    let status = shell.wait()?;
    talked?;
    ensure!(status.code() == Some(7), "{status}");
    Ok(())
}

fn with_the_module(bench: &Bench) -> Result<()> {
    said(&bench.script("ls -d /sys/module/xfd", &["--module"], &[], b"")?, b"/sys/module/xfd\n", 0)
}

type Case = fn(&Bench) -> Result<()>;

const CASES: [(&str, Case); 13] = [
    ("output may be anything", output_may_be_anything),
    ("input arrives whole", input_arrives_whole),
    ("output has a reader", output_has_a_reader),
    ("files come along", files_come_along),
    ("files come back", files_come_back),
    ("variables and arguments", variables_and_arguments),
    ("a status of its own", a_status_of_its_own),
    ("mistakes are wrong usage", mistakes_are_wrong_usage),
    ("each is a machine of its own", each_is_a_machine_of_its_own),
    ("the end is found", the_end_is_found),
    ("a fresh boot", booted),
    ("a shell has the terminal's size", a_shell_has_the_terminals_size),
    ("with the module", with_the_module),
];

/// Builds what a run needs, for all to see: the cases compare what is printed, and must not find progress in it.
fn prepare(project: &Project, folder: &Path) -> Result<()> {
    Machine::prepare(project)?.module_and_programs(true)?;
    let mut nothing = Command::new(SELF);
    nothing.current_dir(folder).env("XFD_CACHE", project.cache.root()).args(["run", "true"]).stdin(Stdio::null());
    let status = nothing.status()?;
    ensure!(status.success(), "`machine run true` ended with {status}");
    Ok(())
}

/// Runs all cases.
///
/// # Errors
///
/// No space. Cases that fail are in the count.
pub fn check(project: &Project) -> Result<Count> {
    let scratch = project.cache.scratch(NAME)?;
    let step = Step::start(NAME, "running programs as a user does");
    let mut count = Count::default();
    if let Err(error) = prepare(project, scratch.path()) {
        count.fail(format!("no program could be run: {error:#}"));
        return Ok(count);
    }
    for (name, case) in CASES {
        step.now(name);
        let folder = scratch.path().join(Path::new(name));
        fs::create_dir(&folder)?;
        match case(&Bench { project, folder }) {
            Ok(()) => count.pass(),
            Err(error) => count.fail(format!("{name}: {error:#}")),
        }
    }
    step.done();
    Ok(count)
}
