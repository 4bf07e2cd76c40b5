// SPDX-License-Identifier: GPL-2.0
//! The sequences that a terminal sends for keys. (Crossterm's reader cannot wait for a signal at the same time.)

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// A letter with Ctrl.
    Ctrl(char),
}

/// The sequences used by xterm and its imitators.
const SEQUENCES: [(&[u8], Key); 12] = [
    (b"\x1b[A", Key::Up),
    (b"\x1bOA", Key::Up),
    (b"\x1b[B", Key::Down),
    (b"\x1bOB", Key::Down),
    (b"\x1b[5~", Key::PageUp),
    (b"\x1b[6~", Key::PageDown),
    (b"\x1b[H", Key::Home),
    (b"\x1bOH", Key::Home),
    (b"\x1b[1~", Key::Home),
    (b"\x1b[F", Key::End),
    (b"\x1bOF", Key::End),
    (b"\x1b[4~", Key::End),
];

/// The keys in the bytes read. Any other escape sequence discards the rest.
pub fn keys(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let Some((&first, rest)) = bytes.split_first() {
        let sequence = SEQUENCES.iter().find(|(sequence, _)| bytes.starts_with(sequence));
        match (sequence, first) {
            (Some((sequence, key)), _) => {
                keys.push(*key);
                bytes = &bytes[sequence.len()..];
                continue;
            }
            (None, 0x1b) => return keys,
            (None, 1..=0x1a) => keys.push(Key::Ctrl(char::from(first + b'a' - 1))),
            (None, 0x1c) => keys.push(Key::Ctrl('\\')),
            (None, b' '..=b'~') => keys.push(Key::Char(char::from(first))),
            _ => {}
        }
        bytes = rest;
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sequences_are_recognized() {
        assert_eq!(keys(b"q\x03\x1b[Bs"), [Key::Char('q'), Key::Ctrl('c'), Key::Down, Key::Char('s')]);
        assert_eq!(keys(b"\x1a\x1c\x1b[6~\x1bOH"), [Key::Ctrl('z'), Key::Ctrl('\\'), Key::PageDown, Key::Home]);
        // An unknown sequence, and half of one.
        assert_eq!(keys(b"p\x1b[1;5Cq"), [Key::Char('p')]);
        assert_eq!(keys(b"\x1b"), []);
        assert_eq!(keys("ü".as_bytes()), []);
    }

    proptest! {
        #[test]
        fn any_input_is_survived(bytes: Vec<u8>) {
            prop_assert!(keys(&bytes).len() <= bytes.len());
        }
    }
}
