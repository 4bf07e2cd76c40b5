// SPDX-License-Identifier: GPL-2.0
//! The table on a screen. It is redrawn at each interval, after a keypress, and when the terminal size changes.

use super::super::NOT_LOADED_WHAT;
use super::group::By;
use super::keys::{keys, Key};
use super::screen::Screen;
use super::view::{head, View};
use super::Seen;
use crate::output::{is_interruption, Output};
use crate::paint;
use crate::signals::{self, Event, Signals};
use nix::sys::signal::Signal;
use ratatui::layout::{Alignment, Constraint, Layout};
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Row, Table};
use ratatui::Frame;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// The signals that end or stop it, and the one for a new terminal size.
const SIGNALS: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGWINCH];

/// Shows the table until the user ends it; returns the exit status.
///
/// # Errors
///
/// Fails if the module or the terminal cannot be read.
pub fn run(root: &Path, view: View, interval: Duration) -> anyhow::Result<u8> {
    let Some(seen) = Seen::read(root, None)? else {
        return super::not_loaded(&mut anstream::stdout().lock(), false);
    };
    let mut live = Live { seen: Ok(Some(seen)), view, colours: colours(), above: 0, rows: 0, room: 0 };
    let (signals, output, keyboard) = (Signals::hold(&SIGNALS)?, Output::stdout()?, io::stdin());
    let mut next = Instant::now() + interval;
    loop {
        let end = {
            let mut screen = Screen::take(output.until(&signals, Some(keyboard.as_fd())))?;
            loop {
                match screen.draw(|frame| live.draw(frame)) {
                    // The wait below returns immediately, for the event that interrupted the output.
                    Err(error) if is_interruption(&error) => {}
                    done => done?,
                }
                match signals.wait(&[keyboard.as_fd()], Some(next))? {
                    Event::Time => {
                        // What cannot be read while the module is being loaded can be read next time.
                        let before = std::mem::replace(&mut live.seen, Ok(None)).ok().flatten();
                        live.seen = Seen::read(root, before);
                        next = (next + interval).max(Instant::now());
                    }
                    Event::Signal => match signals.next() {
                        // Drawing adapts to the new size.
                        Some(Signal::SIGWINCH) | None => {}
                        end => break end,
                    },
                    Event::Input => {
                        if let Some(end) = live.read_keys()? {
                            break end;
                        }
                    }
                }
            }
        };
        match end {
            None => return Ok(0),
            // It returns if that was a job-control stop.
            Some(signal) => signals::obey(signal)?,
        }
    }
}

fn colours() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

struct Live {
    /// `None` without the module, and an error if its files could not be read.
    seen: anyhow::Result<Option<Seen>>,
    view: View,
    colours: bool,
    /// The number of lines above the first visible one.
    above: usize,
    /// The number of lines.
    rows: usize,
    /// The number of lines that fit on the screen.
    room: usize,
}

/// What ends or stops it: a signal, or `None` if the user asked for it.
type End = Option<Signal>;

impl Live {
    /// Handles keypresses.
    fn read_keys(&mut self) -> io::Result<Option<End>> {
        let mut bytes = [0; 64];
        match nix::unistd::read(io::stdin(), &mut bytes)? {
            // The terminal has hung up.
            0 => Ok(Some(Some(Signal::SIGHUP))),
            count => Ok(keys(&bytes[..count]).into_iter().find_map(|key| self.press(key))),
        }
    }

    fn press(&mut self, key: Key) -> Option<End> {
        // Drawing limits `above`.
        match key {
            Key::Char('q') | Key::Ctrl('c') => return Some(None),
            Key::Ctrl('z') => return Some(Some(Signal::SIGTSTP)),
            Key::Ctrl('\\') => return Some(Some(Signal::SIGQUIT)),
            Key::Char('t') => self.view = self.view.with(By::Thread),
            Key::Char('p') => self.view = self.view.with(By::Process),
            Key::Char('c') => self.view = self.view.with(By::Cgroup),
            Key::Char('s') => self.view = self.view.next(),
            Key::Down | Key::Char('j') => self.above += 1,
            Key::Up | Key::Char('k') => self.above = self.above.saturating_sub(1),
            Key::PageDown => self.above += self.room,
            Key::PageUp => self.above = self.above.saturating_sub(self.room),
            Key::Home => self.above = 0,
            Key::End => self.above = self.rows,
            Key::Char(_) | Key::Ctrl(_) => {}
        }
        None
    }

    fn draw(&mut self, frame: &mut Frame) {
        let width = usize::from(frame.area().width);
        let head: Vec<_> = match &self.seen {
            Ok(Some(seen)) => head(seen),
            Ok(None) => vec![NOT_LOADED_WHAT.to_owned()],
            Err(error) => vec![format!("{error:#}")],
        };
        let head: Vec<_> = head.iter().flat_map(|line| paint::lines(line, Some(width.max(1)))).collect();
        let height = u16::try_from(head.len()).unwrap_or(u16::MAX);
        let [top, _, middle, bottom] = Layout::vertical([
            Constraint::Length(height),
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(Text::from_iter(head), top);
        let seen = self.seen.as_ref().ok().and_then(Option::as_ref);
        let rows = seen.map(|seen| self.view.rows(seen, Some(width))).unwrap_or_default();
        self.rows = rows.len();
        self.room = usize::from(middle.height).saturating_sub(1);
        self.above = self.above.min(self.rows.saturating_sub(self.room));
        frame.render_widget(self.table(&rows), middle);
        let hidden = self.rows - self.above - self.room.min(self.rows - self.above);
        let below = if hidden > 0 { format!("  {hidden} more below") } else { String::new() };
        let keys = format!("q quit  t p c by thread, process, cgroup  s sort: {}{below}", self.view.sort().name());
        frame.render_widget(Line::from(keys).style(self.faint()), bottom);
    }

    fn table(&self, rows: &[Vec<String>]) -> Table<'static> {
        let titles = self.view.titles();
        let columns: Vec<_> = titles.iter().map(|(title, is_number)| (title.as_str(), *is_number)).collect();
        let widths = paint::widths(&columns, rows);
        let cell = |(text, (_, is_number)): (&str, &paint::Column)| {
            let alignment = if *is_number { Alignment::Right } else { Alignment::Left };
            Cell::from(Text::from(text.to_owned()).alignment(alignment))
        };
        let header = Row::new(columns.iter().map(|column| cell((column.0, column)))).style(self.strong());
        let shown = rows.iter().skip(self.above).take(self.room);
        let lines = shown.map(|row| Row::new(row.iter().map(String::as_str).zip(&columns).map(cell)));
        let widths = widths.into_iter().map(|width| Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX)));
        Table::new(lines, widths).header(header).column_spacing(1)
    }

    fn strong(&self) -> Style {
        if self.colours {
            Style::new().reversed()
        } else {
            Style::new()
        }
    }

    fn faint(&self) -> Style {
        if self.colours {
            Style::new().dim()
        } else {
            Style::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::cgroups::Cgroups;
    use super::super::super::rates::Rates;
    use super::super::super::sight::Sight;
    use super::super::super::snapshot::Snapshot;
    use super::*;
    use crate::module::counters::Counters;
    use crate::module::{tasks, Module};
    use proptest::prelude::*;
    use ratatui::backend::TestBackend;
    use ratatui::Terminal;

    fn seen(threads: usize, comm: &str) -> Seen {
        let line = |tid| format!("{} {tid} live 0 0 12288 4096 3 1 {comm}\n", tid / 9 + 1);
        let text = (1..=threads).map(line).collect::<Vec<_>>().concat();
        let columns = "pid tid state permitted guest_permitted bytes guest_bytes since_ms cgroup comm";
        let now = Snapshot {
            taken: Instant::now(),
            uptime: Duration::from_secs(9),
            counters: Counters::parse("first_uses 9\nin_charge_since_ms 5\n").unwrap(),
            threads: tasks::parse(&format!("{columns}\n{text}")).unwrap(),
        };
        let module = Module {
            version: None,
            build_id: None,
            enabled: true,
            transition: false,
            parameters: std::collections::BTreeMap::new(),
        };
        let (rates, cgroups) = (Rates::new(None, &now), Cgroups::new(Path::new("/nowhere")));
        Seen { module, kernel: "7.3".into(), sight: Sight::Own, now, rates, cgroups }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// With any size, number of threads and keys, the table is drawn and never scrolls past its end.
        #[test]
        fn any_size_is_drawn(
            width in 1..200u16,
            height in 1..60u16,
            threads in 0..200usize,
            comm in "[^\\pC\\\\]{0,15}",
            typed in "[tpcsjk]{0,9}",
        ) {
            let view = View::new(By::Thread, None).unwrap();
            let mut live =
                Live { seen: Ok(Some(seen(threads, &comm))), view, colours: true, above: 0, rows: 0, room: 0 };
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| live.draw(frame)).unwrap();
            for key in keys(typed.as_bytes()) {
                prop_assert!(live.press(key).is_none());
                terminal.draw(|frame| live.draw(frame)).unwrap();
                prop_assert!(live.above + live.room <= live.rows.max(live.room));
            }
        }
    }
}
