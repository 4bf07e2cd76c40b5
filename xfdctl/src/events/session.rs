// SPDX-License-Identifier: GPL-2.0
//! Reads events from first to last. It waits without polling, and ends on a signal or with the program.

use super::event::{Event, What, Who};
use super::format::{Format, Name};
use super::instance::{Instance, Source};
use super::page::Layout;
use super::program::Program;
use super::selection::{Known, Selection, Wanted};
use super::tracefs::Tracefs;
use super::who::Lookup;
use crate::module;
use crate::signals::Signals;
use anyhow::{bail, ensure, Context};
use nix::sys::resource::{getrlimit, setrlimit, Resource};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// The link that identifies the initial PID namespace.
const INITIAL_PIDS: &str = "pid:[4026531836]";

/// The formats, keyed by the number that begins each record.
type Formats = HashMap<u32, Format>;

/// A source of events.
pub struct Session {
    // Dropped first: an instance can be removed only once its files are closed.
    sources: Vec<Source>,
    _instances: Vec<Instance>,
    root: PathBuf,
    tracefs: Tracefs,
    layout: Layout,
    formats: Formats,
    selection: Selection,
    selected: Vec<Name>,
    known: Known,
    /// The number of events whose thread ended before it was known whether it was selected.
    pub unidentified: u64,
    ended: bool,
}

impl Session {
    /// Enables the selected events, and prints which ones the module lacks. `program` may begin once this returns.
    ///
    /// # Errors
    ///
    /// Fails if there is no module, tracefs, permission or such process.
    pub fn start(root: &Path, selection: &Selection, program: Option<&Program>) -> anyhow::Result<Self> {
        // Without the module, tracing is of no use, whatever else is missing.
        ensure!(module::is_loaded(root), "xfd is not loaded, so there is nothing to trace (modprobe xfd)");
        let tracefs = Tracefs::find(root)?;
        let named = !selection.pid.is_empty() || !selection.tid.is_empty() || program.is_some();
        if named && fs::read_link(root.join("proc/self/ns/pid")).is_ok_and(|of| of != Path::new(INITIAL_PIDS)) {
            bail!("process IDs in a PID namespace are not the kernel's: run it in the initial PID namespace");
        }
        let (selected, formats) = formats(&tracefs, selection)?;
        let layout = tracefs.layout()?;
        let follows = !selection.pid.is_empty() || program.is_some();
        let workers: Vec<_> = selected.iter().copied().filter(|name| !name.is_of_writer()).collect();
        let mut own: Vec<_> = selected.clone();
        if follows {
            own.retain(|name| name.is_of_writer());
            if program.is_some() && !own.contains(&Name::FirstUse) {
                own.push(Name::FirstUse);
            }
        }
        allow_many_files();
        let mut instances = Vec::new();
        // Events that workers write about threads are read first: a thread's own events precede them.
        if follows && !workers.is_empty() {
            let mut instance = Instance::make(tracefs.instance("-workers"), selection.buffer)?;
            for &name in &workers {
                instance.enable(name, selection.filter(name).as_deref())?;
            }
            instances.push(instance);
        }
        if !own.is_empty() {
            let mut instance = Instance::make(tracefs.instance(""), selection.buffer)?;
            match program {
                Some(program) => instance.follow([program.pid()])?,
                None => follow(root, &instance, &selection.pid)?,
            }
            for &name in &own {
                // All first uses are needed to know the program's threads.
                let all = name == Name::FirstUse && program.is_some() && !workers.is_empty();
                instance.enable(name, selection.filter(name).filter(|_| !all).as_deref())?;
            }
            instances.push(instance);
        }
        let mut sources = Vec::new();
        for instance in &instances {
            sources.extend(instance.sources()?);
        }
        Ok(Self {
            sources,
            _instances: instances,
            root: root.to_owned(),
            tracefs,
            layout,
            formats,
            selection: selection.clone(),
            selected,
            known: Known { tree: program.map(|_| HashSet::new()) },
            unidentified: 0,
            ended: false,
        })
    }

    /// The names of the selected events.
    pub fn events(&self) -> Vec<&'static str> {
        self.selected.iter().map(|name| name.word()).collect()
    }

    /// Waits for the next events, and returns them in order; `None` after the last ones.
    ///
    /// # Errors
    ///
    /// Fails if events cannot be read.
    pub fn next(&mut self, signals: &Signals, program: Option<&mut Program>) -> anyhow::Result<Option<Vec<Event>>> {
        if self.ended {
            return Ok(None);
        }
        let files = self.sources.iter().map(|source| source.pages.as_fd());
        let files: Vec<_> = files.chain(program.as_ref().map(|program| program.ends())).collect();
        if !signals.has_ended() {
            signals.wait(&files, None).context("cannot wait for events")?;
        }
        // Events recorded before the end are still read afterwards.
        self.ended = signals.has_ended();
        if let Some(program) = program {
            self.ended |= program.status()?.is_some();
        }
        let mut events = self.read()?;
        events.sort_by_key(|event| event.ns);
        if let Some(tree) = &mut self.known.tree {
            let of_writers = |event: &&Event| matches!(event.what, What::FirstUse(_) | What::GuestGrown { .. });
            tree.extend(events.iter().filter(of_writers).map(|event| event.who.tid));
        }
        let mut lookup = Lookup::new(&self.root, &self.tracefs.path);
        let mut wanted = Vec::with_capacity(events.len());
        for mut event in events {
            if event.who.tid != 0 {
                lookup.complete(&mut event.who);
            }
            match self.selection.wants(&event, &self.known) {
                Wanted::Yes if self.shows(&event.what) => wanted.push(event),
                Wanted::CannotTell if self.shows(&event.what) => self.unidentified += 1,
                _ => {}
            }
        }
        Ok(Some(wanted))
    }

    /// First uses may have been enabled only to learn the program's threads.
    fn shows(&self, what: &What) -> bool {
        !matches!(what, What::FirstUse(_)) || self.selected.contains(&Name::FirstUse)
    }

    fn read(&mut self) -> anyhow::Result<Vec<Event>> {
        let mut events = Vec::new();
        let mut page = vec![0; self.layout.size];
        for source in &mut self.sources {
            loop {
                let length = match source.pages.read(&mut page) {
                    Ok(0) => break,
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error).context("cannot read events"),
                };
                let found = self.layout.read(&page[..length]);
                if let Some(count) = found.lost {
                    let ns = found.records.first().map_or(0, |(ns, _)| *ns);
                    events.push(Event { ns, cpu: source.cpu, who: Who::default(), what: What::Lost { count } });
                }
                for (ns, record) in found.records {
                    let Some(format) = id(record).and_then(|id| self.formats.get(&id)) else { continue };
                    let Some((mut who, what)) = format.read(record) else { continue };
                    if who.comm.is_none() {
                        who.comm =
                            self.selection.filtered_comm().filter(|_| self.known.tree.is_none()).map(str::to_owned);
                    }
                    events.push(Event { ns, cpu: source.cpu, who, what });
                }
            }
        }
        Ok(events)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.sources.clear();
    }
}

/// The selected events that the module has, and their formats.
fn formats(tracefs: &Tracefs, selection: &Selection) -> anyhow::Result<(Vec<Name>, Formats)> {
    let (mut selected, mut formats) = (Vec::new(), HashMap::new());
    // Every version of the module has this one, and it is always needed.
    let first = tracefs.format(Name::FirstUse)?.context("this module has no trace event xfd_first_use")?;
    formats.insert(first.id(), first);
    for name in selection.events() {
        if name == Name::FirstUse {
            selected.push(name);
            continue;
        }
        match tracefs.format(name)? {
            Some(format) => {
                formats.insert(format.id(), format);
                selected.push(name);
            }
            None => {
                let _ = writeln!(
                    io::stderr(),
                    "xfdctl: this module has no trace event {}, which is left out",
                    name.word()
                );
            }
        }
    }
    ensure!(!selected.is_empty(), "no event is left: --verdict selects first uses");
    Ok((selected, formats))
}

/// The number of the event, which is the first field of every record.
fn id(record: &[u8]) -> Option<u32> {
    Some(u16::from_ne_bytes(record.get(..2)?.try_into().ok()?).into())
}

/// Follows all threads of these processes. The kernel adds the threads that they create.
fn follow(root: &Path, instance: &Instance, processes: &[i32]) -> anyhow::Result<()> {
    let mut followed = HashSet::new();
    for pid in processes {
        loop {
            let folder = root.join(format!("proc/{pid}/task"));
            let threads = fs::read_dir(folder).with_context(|| format!("there is no process {pid}"))?;
            let threads = threads.filter_map(|thread| thread.ok()?.file_name().to_str()?.parse().ok());
            let new: Vec<i32> = threads.filter(|thread| followed.insert(*thread)).collect();
            if new.is_empty() {
                break;
            }
            instance.follow(new)?;
        }
    }
    Ok(())
}

/// Two files per CPU may exceed the usual limit of 1024.
fn allow_many_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, PageMaker, FIRST_USE, RECLAIMED};
    use super::*;
    use crate::events::event::FirstUse;
    use crate::events::Verdict;
    use crate::signals::ENDING;
    use nix::sys::pthread::{pthread_kill, pthread_self};
    use nix::sys::signal::Signal;
    use std::ffi::OsString;

    fn first_uses(events: &[Event]) -> Vec<(i32, Verdict)> {
        let first = |event: &Event| match &event.what {
            What::FirstUse(FirstUse { verdict, .. }) => Some((event.who.tid, *verdict)),
            _ => None,
        };
        events.iter().filter_map(first).collect()
    }

    fn page(records: &[Vec<u8>]) -> PageMaker {
        let mut page = PageMaker::at(1000);
        for record in records {
            page.record(1, record);
        }
        page
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn events_are_read_until_a_signal() {
        let root = fixture::root(&[FIRST_USE, RECLAIMED]);
        fixture::thread(root.path(), 130, 129, "amx", "/a");
        let signals = Signals::hold(&ENDING).unwrap();
        let mut session = Session::start(root.path(), &Selection::default(), None).unwrap();
        assert_eq!(session.events(), ["xfd_first_use", "xfd_reclaimed"]);
        let instances = fixture::instances(root.path());
        assert_eq!(instances.len(), 1);
        let mut pipe = fixture::pipe(&instances[0]);
        let mut some = page(&[fixture::first_use(130, 0, 6600), fixture::reclaimed(131, 129, "b")]);
        some.lost = Some(5);
        fixture::give(&mut pipe, &some);
        let events = session.next(&signals, None).unwrap().unwrap();
        assert_eq!(events.len(), 3);
        assert_eq!(events[0].what, What::Lost { count: 5 });
        assert_eq!((events[1].who.tgid, events[1].who.comm.as_deref()), (Some(129), Some("amx")));
        assert_eq!((events[2].ns, events[2].what.clone()), (1002, What::Reclaimed { bytes: 12288 }));
        // Events from before the signal are returned before the end, in order.
        let mut later = PageMaker::at(2000);
        later.record(1, &fixture::first_use(133, 1, 9));
        fixture::give(&mut pipe, &later);
        fixture::give(&mut pipe, &page(&[fixture::first_use(132, 1, 9)]));
        pthread_kill(pthread_self(), Signal::SIGTERM).unwrap();
        let last = session.next(&signals, None).unwrap().unwrap();
        assert_eq!(first_uses(&last), [(132, Verdict::Sigill), (133, Verdict::Sigill)]);
        assert_eq!(session.next(&signals, None).unwrap(), None);
        drop(session);
        assert!(fixture::instances(root.path()).is_empty());
    }

    #[test]
    fn a_program_and_its_threads() {
        let root = fixture::root(&[FIRST_USE, RECLAIMED]);
        let signals = Signals::hold(&ENDING).unwrap();
        let words = ["true"].map(OsString::from);
        let mut program = Program::prepare(&words, true, &signals).unwrap().unwrap();
        let mut session = Session::start(root.path(), &Selection::default(), Some(&program)).unwrap();
        let mut instances = fixture::instances(root.path());
        instances.sort();
        let [own, workers] = &instances[..] else { panic!("{instances:?}") };
        assert_eq!(text(&own.join("set_event_pid")), format!("{}\n", program.pid()));
        assert_eq!(
            (text(&own.join("options/event-fork")), text(&workers.join("set_event_pid"))),
            ("1".into(), String::new())
        );
        fixture::give(&mut fixture::pipe(own), &page(&[fixture::first_use(7, 0, 1)]));
        let others = page(&[fixture::reclaimed(7, 6, "a"), fixture::reclaimed(8, 6, "a")]);
        fixture::give(&mut fixture::pipe(workers), &others);
        // Both pipes stay open, so what was written to them stays.
        let events = session.next(&signals, Some(&mut program)).unwrap().unwrap();
        assert_eq!(events.iter().map(|event| event.who.tid).collect::<Vec<_>>(), [7, 7]);
        program.begin().unwrap();
        while session.next(&signals, Some(&mut program)).unwrap().is_some() {}
        assert_eq!(program.status().unwrap(), Some(0));
        drop(session);
        assert!(fixture::instances(root.path()).is_empty());
    }

    #[test]
    fn a_process_that_is_running() {
        let root = fixture::root(&[FIRST_USE, RECLAIMED]);
        fixture::thread(root.path(), 4, 4, "amx", "/");
        fixture::thread(root.path(), 5, 4, "amx", "/");
        fixture::thread(root.path(), 6, 6, "amx", "/");
        for tid in [4, 5] {
            fs::create_dir_all(root.path().join(format!("proc/4/task/{tid}"))).unwrap();
        }
        let signals = Signals::hold(&ENDING).unwrap();
        let selection = Selection { pid: vec![4], ..Selection::default() };
        let mut session = Session::start(root.path(), &selection, None).unwrap();
        let mut instances = fixture::instances(root.path());
        instances.sort();
        let pids = text(&instances[0].join("set_event_pid"));
        assert!(pids == "4\n5\n" || pids == "5\n4\n", "{pids}");
        assert_eq!(text(&instances[1].join("events/xfd/xfd_reclaimed/filter")), "(tgid == 4)");
        // The kernel would also follow a child process. A thread that is gone cannot be identified.
        let some = [fixture::first_use(5, 0, 1), fixture::first_use(6, 0, 1), fixture::first_use(99, 0, 1)];
        fixture::give(&mut fixture::pipe(&instances[0]), &page(&some));
        let events = session.next(&signals, None).unwrap().unwrap();
        assert_eq!((first_uses(&events), session.unidentified), (vec![(5, Verdict::Resume)], 1));
        drop(session);
        let nobody = Selection { pid: vec![77], ..Selection::default() };
        let error = Session::start(root.path(), &nobody, None).err().unwrap();
        assert_eq!(error.to_string(), "there is no process 77");
    }

    #[test]
    fn what_is_missing_is_named() {
        let root = fixture::root(&[RECLAIMED]);
        let error = |selection: &Selection| Session::start(root.path(), selection, None).err().unwrap().to_string();
        assert_eq!(error(&Selection::default()), "this module has no trace event xfd_first_use");
        let nothing = tempfile::tempdir().unwrap();
        let error_there = Session::start(nothing.path(), &Selection::default(), None).err().unwrap();
        assert!(error_there.to_string().starts_with("xfd is not loaded"), "{error_there}");
        let namespace = root.path().join("proc/self/ns");
        fs::create_dir_all(&namespace).unwrap();
        std::os::unix::fs::symlink("pid:[1]", namespace.join("pid")).unwrap();
        assert!(error(&Selection { tid: vec![3], ..Selection::default() }).contains("PID namespace"));
        assert!(fixture::instances(root.path()).is_empty());
    }
}
