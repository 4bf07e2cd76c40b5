// SPDX-License-Identifier: GPL-2.0
//! A terminal that is restored to its previous state, however the program ends.

use crate::output::{Interruptible, Output};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::terminal::{disable_raw_mode, enable_raw_mode, EnterAlternateScreen, LeaveAlternateScreen};
use ratatui::crossterm::Command;
use ratatui::{Frame, Terminal};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Once;
use std::time::Duration;

/// How long a terminal may take to accept the sequence that restores it.
const PATIENCE: Duration = Duration::from_millis(200);

static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The whole screen, until this is dropped. A panic restores the terminal before its message is printed.
pub struct Screen<'a> {
    terminal: Terminal<CrosstermBackend<Pending>>,
    pending: Pending,
    output: Interruptible<'a>,
}

/// What has been drawn but not yet written.
#[derive(Clone, Default)]
struct Pending(Rc<RefCell<VecDeque<u8>>>);

impl<'a> Screen<'a> {
    /// Takes over the terminal: keys arrive one by one and are not echoed, and the screen's contents are saved.
    ///
    /// # Errors
    ///
    /// Fails if the terminal cannot be set up.
    pub fn take(output: Interruptible<'a>) -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                before(panic);
            }));
        });
        let pending = Pending::default();
        let terminal = Terminal::new(CrosstermBackend::new(pending.clone()))?;
        enable_raw_mode()?;
        IS_TAKEN.store(true, Ordering::Relaxed);
        pending.0.borrow_mut().extend(ansi(&EnterAlternateScreen).bytes());
        Ok(Self { terminal, pending, output })
    }

    /// Draws a frame. An interrupted one is completed first, so the terminal always gets whole sequences.
    ///
    /// # Errors
    ///
    /// Fails if the terminal cannot be written to or the output was interrupted.
    pub fn draw(&mut self, draws: impl FnOnce(&mut Frame)) -> io::Result<()> {
        self.write()?;
        self.terminal.draw(draws)?;
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let mut pending = self.pending.0.borrow_mut();
        while !pending.is_empty() {
            let count = self.output.write(pending.as_slices().0)?;
            pending.drain(..count);
        }
        Ok(())
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        give_back();
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Restores the terminal, once. Its modes are restored even if it accepts no output.
fn give_back() {
    if IS_TAKEN.swap(false, Ordering::Relaxed) {
        let _ = disable_raw_mode();
        let text = ansi(&LeaveAlternateScreen) + &ansi(&Show);
        let _ = Output::stdout().and_then(|output| output.write_within(text.as_bytes(), PATIENCE));
    }
}

fn ansi(command: &impl Command) -> String {
    let mut text = String::new();
    let _ = command.write_ansi(&mut text);
    text
}

#[cfg(test)]
#[path = "../../../tests/support/terminal.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod terminal;

#[cfg(test)]
mod tests {
    use super::terminal::Terminal;
    use super::*;
    use crate::signals::{Signals, ENDING};
    use std::process::Command;

    const PANICS: &str = "XFDCTL_TEST_PANICS";

    /// Runs itself again on a terminal, and panics there.
    #[test]
    fn a_panic_gives_the_terminal_back_and_is_readable() {
        if std::env::var_os(PANICS).is_some() {
            let (signals, output) = (Signals::hold(&ENDING).unwrap(), Output::stdout().unwrap());
            let mut screen = Screen::take(output.until(&signals, None)).unwrap();
            screen.draw(|frame| frame.render_widget("drawn", frame.area())).unwrap();
            panic!("on purpose");
        }
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["a_panic_gives_the_terminal_back_and_is_readable", "--nocapture"]).env(PANICS, "1");
        let mut terminal = Terminal::start(again);
        assert!(!terminal.end().success());
        terminal.expect_as_before();
        let said = terminal.shown.find("on purpose").unwrap();
        let after = &terminal.shown[terminal.shown.find("drawn").unwrap()..];
        assert!(terminal.shown[..said].contains("\u{1b}[?1049l"), "{:?}", terminal.shown);
        assert!(after.contains("\u{1b}[?25h"), "{after:?}");
    }
}
