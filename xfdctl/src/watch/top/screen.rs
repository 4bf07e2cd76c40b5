// SPDX-License-Identifier: GPL-2.0
//! A terminal that is given back as it was, however the program ends.

use ratatui::DefaultTerminal;
use std::io;

/// The whole screen, until it is dropped; a panic gives it back before it is told.
pub struct Screen(pub DefaultTerminal);

impl Screen {
    /// Takes it: keys come one by one and unseen, and what was on it is kept.
    ///
    /// # Errors
    ///
    /// The terminal's.
    pub fn take() -> io::Result<Self> {
        ratatui::try_init().map(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Who has lost the terminal has nothing to give back.
        let _ = self.0.show_cursor();
        let _ = ratatui::try_restore();
    }
}
