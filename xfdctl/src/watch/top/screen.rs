// SPDX-License-Identifier: GPL-2.0
//! A terminal that is given back as it was, however the program ends.

use ratatui::DefaultTerminal;
use std::io;
use std::mem::ManuallyDrop;

/// The whole screen, until it is dropped; a panic gives it back before it is told.
pub struct Screen(pub ManuallyDrop<DefaultTerminal>);

impl Screen {
    /// Takes it: keys come one by one and unseen, and what was on it is kept.
    ///
    /// # Errors
    ///
    /// The terminal's.
    pub fn take() -> io::Result<Self> {
        ratatui::try_init().map(ManuallyDrop::new).map(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Who has lost the terminal has nothing to give back. Ratatui would say so on stderr, where it panics if that
        // is the same terminal.
        if self.0.show_cursor().is_ok() {
            // SAFETY: it is used no more.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
        let _ = ratatui::try_restore();
    }
}

#[cfg(test)]
#[path = "../../../tests/support/terminal.rs"]
#[allow(dead_code)]
mod terminal;

#[cfg(test)]
mod tests {
    use super::terminal::Terminal;
    use super::*;
    use std::process::Command;

    const PANICS: &str = "XFDCTL_TEST_PANICS";

    /// This test once more, on a terminal where it panics.
    #[test]
    fn a_panic_gives_it_back_and_is_read() {
        if std::env::var_os(PANICS).is_some() {
            let mut screen = Screen::take().unwrap();
            screen.0.draw(|frame| frame.render_widget("drawn", frame.area())).unwrap();
            panic!("on purpose");
        }
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["a_panic_gives_it_back_and_is_read", "--nocapture"]).env(PANICS, "1");
        let mut terminal = Terminal::start(again);
        assert!(!terminal.end().success());
        terminal.expect_as_before();
        let said = terminal.shown.find("on purpose").unwrap();
        let after = &terminal.shown[terminal.shown.find("drawn").unwrap()..];
        assert!(terminal.shown[..said].contains("\u{1b}[?1049l"), "{:?}", terminal.shown);
        assert!(after.contains("\u{1b}[?25h"), "{after:?}");
    }
}
