// SPDX-License-Identifier: GPL-2.0
//! Threads that have released their tiles and sleep, and whose buffers the module has reclaimed. Prints `asleep`
//! once all buffers are reclaimed, and continues when standard input has a line or ends: the threads use tiles, and
//! it prints `right` if everything is as before.

use anyhow::{ensure, Context};
use clap::{Parser, ValueEnum};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;
use xfd_selftests::avx::{self, Ymm};
use xfd_selftests::slow_memory::{SlowMemory, PAGE};
use xfd_selftests::uring::SlowRead;
use xfd_selftests::worker::checked_tiles;
use xfd_selftests::{idle, sys, tile, verdict};

/// Sleeps without its buffers.
#[derive(Parser)]
struct Arguments {
    /// What happens to the threads.
    how: How,

    /// Number of threads.
    #[arg(long, default_value_t = 3)]
    threads: usize,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum How {
    /// They continue.
    GoOn,
    /// Another thread executes this program again, which ends them all, including the first thread.
    Exec,
    /// Each must first write to memory that does not arrive (io_uring), before the work that gives it its buffer. It
    /// has reached that point when `asleep` is printed.
    Write,
    /// They belong to the executed program.
    Executed,
}

fn main() -> ExitCode {
    verdict::say(work(&Arguments::parse()))
}

fn work(arguments: &Arguments) -> anyhow::Result<()> {
    ensure!(!tile::configured(), "tiles from the program before");
    xcomp::request(xcomp::Feature::TILE_DATA).context("permission for tile data")?;
    if arguments.how == How::Executed {
        return checked_tiles(1, || Ok(()));
    }
    let stage = &Stage::new(arguments)?;
    thread::scope(|scope| {
        let others: Vec<_> = (1..arguments.threads)
            .map(|number| scope.spawn(move || stage.sleep(number)))
            .collect();
        scope.spawn(|| {
            // The threads may sleep forever.
            if let Err(error) = stage.conduct() {
                println!("wrong: {error:#}");
                sys::exit_now(1);
            }
        });
        let first = stage.sleep(0);
        for thread in others {
            thread.join().expect("no panic")?;
        }
        first
    })
}

/// What the threads share.
struct Stage {
    how: How,
    before: u64,
    begun: Barrier,
    /// They sleep until there is a byte to read.
    wake: Pipe,
    /// The source of each thread's data; a reader holds the pipe's lock while waiting for a page, so each has its own.
    bytes: Vec<Pipe>,
    pages: SlowMemory,
}

type Pipe = (OwnedFd, OwnedFd);

impl Stage {
    fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let bytes = (0..arguments.threads).map(|_| rustix::pipe::pipe());
        Ok(Stage {
            how: arguments.how,
            before: idle::reclaimed()?,
            begun: Barrier::new(arguments.threads + 1),
            wake: rustix::pipe::pipe()?,
            bytes: bytes.collect::<Result<_, _>>()?,
            pages: SlowMemory::new(arguments.threads)?,
        })
    }

    fn conduct(&self) -> anyhow::Result<()> {
        self.begun.wait();
        idle::wait_until_reclaimed(self.before, self.bytes.len() as u64)?;
        if self.how == How::Write {
            self.begin_to_write()?;
        }
        println!("asleep");
        io::stdin().read_line(&mut String::new())?;
        if self.how == How::Exec {
            let error = Command::new("/proc/self/exe").arg("executed").exec();
            return Err(error).context("exec");
        }
        for page in (0..self.bytes.len()).filter(|_| self.how == How::Write) {
            self.pages.give(page, &[0; PAGE])?;
        }
        for _ in &self.bytes {
            rustix::io::write(&self.wake.1, &[0])?;
        }
        Ok(())
    }

    /// Supplies the bytes, until each thread waits for its page.
    fn begin_to_write(&self) -> anyhow::Result<()> {
        for (_, into) in &self.bytes {
            rustix::io::write(into, &[7])?;
        }
        let mut waited_for = BTreeSet::new();
        while waited_for.len() < self.bytes.len() {
            let page = self.pages.next_fault(Duration::from_secs(20))?;
            waited_for.insert(page.context("no thread waits for a page")?);
        }
        Ok(())
    }

    /// One thread: it has used tiles, and sleeps until woken.
    #[expect(unsafe_code, reason = "a read into memory that arrives late")]
    fn sleep(&self, number: usize) -> anyhow::Result<()> {
        let (from, to) = (self.bytes[number].0.as_fd(), self.pages.address(number));
        // SAFETY: only this thread uses the page, and nothing in Rust refers to it.
        let read = (self.how == How::Write)
            .then(|| unsafe { SlowRead::begin(from, to) })
            .transpose()?;
        let registers = Ymm::filled(number as u8);
        checked_tiles(number as u64, || Ok(()))?;
        self.begun.wait();
        let after = avx::read_with(self.wake.0.as_fd(), &registers).context("read")?;
        ensure!(
            after == registers,
            "thread {number}: registers have changed"
        );
        ensure!(!tile::configured(), "thread {number}: it has tiles");
        if let Some(read) = read {
            ensure!(read.result() == Some(1), "its read: {:?}", read.result());
        }
        checked_tiles(number as u64 + 100, || Ok(()))
    }
}
