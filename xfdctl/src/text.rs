// SPDX-License-Identifier: GPL-2.0
//! Text for the values in events.

use crate::events::event::{FirstUse, Verdict, Who};
use anstyle::{AnsiColor, Style};

/// The xstate component of tile data, as a mask.
const TILE_DATA: u64 = 1 << 18;

/// A thread's name, with everything escaped that a terminal would interpret.
pub fn name(who: &Who) -> String {
    who.comm.as_deref().map_or_else(|| "(gone)".to_owned(), plain)
}

/// Whether a terminal interprets the character or displays nothing: it could make a name look like another one, or
/// reverse its line (bidirectional text).
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The text with such characters escaped.
pub fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if is_hidden(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

/// A number and its noun, in the plural if needed.
pub fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Nanoseconds as seconds with six decimals.
pub fn seconds(ns: u64) -> String {
    format!("{}.{:06}", ns / 1_000_000_000, ns % 1_000_000_000 / 1000)
}

/// The components in `IA32_XFD_ERR`.
pub fn facility(mask: u64) -> String {
    match mask {
        TILE_DATA => "tile data".into(),
        0 => "nothing".into(),
        _ => {
            let bits = (0..64).filter(|bit| mask >> bit & 1 != 0).map(|bit: u32| bit.to_string());
            format!("components {}", bits.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Whether the process has permission for all components that were used.
pub fn is_permitted(first: &FirstUse) -> bool {
    first.xfd_err & !first.permitted == 0
}

/// The outcome of a first use, and its colour.
pub fn end(verdict: Verdict) -> (&'static str, Style) {
    match verdict {
        Verdict::Resume => ("back to the instruction", AnsiColor::Green.on_default()),
        Verdict::Sigill => ("SIGILL", AnsiColor::Red.on_default().bold()),
        Verdict::Sigsegv => ("SIGSEGV", AnsiColor::Red.on_default().bold()),
        Verdict::Unknown => ("an outcome that this xfdctl does not know", Style::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_control_the_terminal() {
        let who = |comm: &str| Who { comm: Some(comm.into()), ..Who::default() };
        assert_eq!(name(&who("a\x1b[2J\nb ü")), "a\\u{1b}[2J\\nb ü");
        assert_eq!(name(&who("a\u{202e}b\u{200b}c\u{feff}")), "a\\u{202e}b\\u{200b}c\\u{feff}");
        assert_eq!(name(&Who::default()), "(gone)");
    }

    #[test]
    fn numbers_as_text() {
        assert_eq!(seconds(12_345_678_901), "12.345678");
        assert_eq!((count(1, "event"), count(0, "CPU")), ("1 event".into(), "0 CPUs".into()));
        assert_eq!((facility(TILE_DATA).as_str(), facility(0).as_str()), ("tile data", "nothing"));
        assert_eq!(facility(3 << 18), "components 18, 19");
    }
}
