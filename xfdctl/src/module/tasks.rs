// SPDX-License-Identifier: GPL-2.0
//! `/proc/xfd/tasks`: a line with the column names, then one line per thread.

use crate::text::is_hidden;
use anyhow::{ensure, Context};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// The state of a thread's tiles.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It has a buffer, and is on a CPU.
    Running,
    /// It has a buffer, is not on a CPU, and its tiles hold data.
    Live,
    /// It has a buffer, is not on a CPU, and its tiles are in their initial state.
    Idle,
    /// Its buffer was reclaimed; it gets another one when it runs.
    Reclaimed,
    /// It has permission but has not used tiles.
    Permitted,
    /// It has no permission itself, though its vCPU may.
    None,
    /// A state that this program does not know.
    Other(String),
}

/// The states that this program knows.
pub const STATES: [State; 6] =
    [State::Running, State::Live, State::Idle, State::Reclaimed, State::Permitted, State::None];

impl State {
    /// The name in the file.
    pub fn name(&self) -> &str {
        match self {
            Self::Running => "running",
            Self::Live => "live",
            Self::Idle => "idle",
            Self::Reclaimed => "reclaimed",
            Self::Permitted => "permitted",
            Self::None => "none",
            Self::Other(name) => name,
        }
    }

    fn parse(name: &str) -> Self {
        STATES.into_iter().find(|state| state.name() == name).unwrap_or_else(|| Self::Other(name.to_owned()))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Thread {
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// The state of its tiles.
    pub state: State,
    /// The process's permission, a mask of components.
    #[serde(serialize_with = "hexadecimal")]
    pub permitted: u64,
    /// The process's permission for guests.
    #[serde(serialize_with = "hexadecimal")]
    pub guest_permitted: u64,
    /// The size of its enlarged buffer; 0 if it has none.
    pub bytes: u64,
    /// The size of the enlarged buffer of the vCPU that it runs; 0 if there is none.
    pub guest_bytes: u64,
    /// Milliseconds since it was last put on a CPU.
    pub since_ms: u64,
    /// The ID of its cgroup; 0 if it has none.
    pub cgroup: u64,
    /// Its name in printable form. A name that is not plain text stays escaped as by the kernel.
    pub comm: String,
    /// Columns that this program does not know.
    #[serde(flatten)]
    pub others: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn hexadecimal<S: Serializer>(mask: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{mask:#x}"))
}

/// Parses the file's text.
///
/// # Errors
///
/// Fails if a column is missing, or a line does not match the first one.
pub fn parse(text: &str) -> anyhow::Result<Vec<Thread>> {
    let mut lines = text.lines();
    let columns: Vec<_> = lines.next().context("it is empty")?.split_ascii_whitespace().collect();
    ensure!(columns.last() == Some(&"comm"), "the last column is not comm");
    let threads = lines.enumerate().map(|(number, line)| {
        let place = || format!("line {}: {line:?}", number + 2);
        thread(&columns, line).with_context(place)
    });
    threads.collect()
}

fn thread(columns: &[&str], line: &str) -> anyhow::Result<Thread> {
    let mut rest = line;
    let mut values = BTreeMap::new();
    let (_, before) = columns.split_last().context("no column")?;
    for column in before {
        let (value, after) =
            rest.trim_start_matches(' ').split_once(' ').unwrap_or((rest.trim_start_matches(' '), ""));
        ensure!(!value.is_empty(), "no value for {column}");
        values.insert(*column, value);
        rest = after;
    }
    let mut take = |column: &'static str| values.remove(column).with_context(|| format!("no column {column}"));
    let number = |text: &str| text.parse::<u64>().with_context(|| format!("{text:?} is not a number"));
    let id = |text: &str| text.parse::<u32>().with_context(|| format!("{text:?} is not an ID"));
    let mask = |text: &str| {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        u64::from_str_radix(digits, 16).with_context(|| format!("{text:?} is not a mask"))
    };
    Ok(Thread {
        pid: id(take("pid")?)?,
        tid: id(take("tid")?)?,
        state: State::parse(take("state")?),
        permitted: mask(take("permitted")?)?,
        guest_permitted: mask(take("guest_permitted")?)?,
        bytes: number(take("bytes")?)?,
        guest_bytes: number(take("guest_bytes")?)?,
        since_ms: number(take("since_ms")?)?,
        cgroup: number(take("cgroup")?)?,
        comm: comm(rest),
        others: values.into_iter().map(|(column, value)| (column.to_owned(), value.to_owned())).collect(),
    })
}

/// The name with its escapes resolved, if that is safe to print.
fn comm(escaped: &str) -> String {
    let is_plain = |text: &String| !text.chars().any(is_hidden);
    unescape(escaped).and_then(|bytes| String::from_utf8(bytes).ok()).filter(is_plain).unwrap_or(escaped.to_owned())
}

/// Resolves the escapes; `None` if a backslash is not followed by three octal digits that form a byte.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut pieces = text.split('\\');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let digits = piece.get(..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
        bytes.push(u8::from_str_radix(digits, 8).ok()?);
        bytes.extend(piece[3..].bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COLUMNS: &str = "pid tid state permitted guest_permitted bytes guest_bytes since_ms cgroup comm";

    fn one(line: &str) -> Thread {
        parse(&format!("{COLUMNS}\n{line}\n")).unwrap().remove(0)
    }

    #[test]
    fn a_line_is_read() {
        let thread = one("7 8 idle 0x602e7 202e7 12288 16384 1500 4021 worker 1");
        let expected = Thread {
            pid: 7,
            tid: 8,
            state: State::Idle,
            permitted: 0x602e7,
            guest_permitted: 0x202e7,
            bytes: 12288,
            guest_bytes: 16384,
            since_ms: 1500,
            cgroup: 4021,
            comm: "worker 1".into(),
            others: BTreeMap::new(),
        };
        assert_eq!(thread, expected);
    }

    #[test]
    fn new_and_reordered_columns() {
        let text = "tid news pid guest_permitted permitted state bytes guest_bytes since_ms cgroup comm\n\
                    8   good 7   1 2 dozing 3 4 5 6 a b\n";
        let thread = parse(text).unwrap().remove(0);
        assert_eq!((thread.pid, thread.tid, thread.permitted, thread.comm.as_str()), (7, 8, 2, "a b"));
        assert_eq!(thread.state, State::Other("dozing".into()));
        let json = serde_json::to_value(&thread).unwrap();
        assert_eq!(
            (&json["news"], &json["state"], &json["permitted"]),
            (&"good".into(), &"dozing".into(), &"0x2".into())
        );
    }

    #[test]
    fn names_are_unescaped() {
        let comm = |comm: &str| one(&format!("1 1 live 0 0 0 0 0 0 {comm}")).comm;
        assert_eq!(comm("a  b c "), "a  b c ");
        assert_eq!(comm(" a"), " a");
        assert_eq!(comm(""), "");
        assert_eq!(one("1 1 live 0 0 0 0 0 0").comm, "");
        assert_eq!(comm("gr\\303\\274n"), "grün");
        assert_eq!(comm("a\\134b"), "a\\b");
        // A sequence that moves the cursor, one that reverses the line, and half a character.
        assert_eq!(comm("\\033[2J"), "\\033[2J");
        assert_eq!(comm("\\342\\200\\256a"), "\\342\\200\\256a");
        assert_eq!(comm("\\303"), "\\303");
        assert_eq!(comm("\\9\\12"), "\\9\\12");
        assert_eq!(comm("\\777"), "\\777");
    }

    #[test]
    fn an_error_names_the_column() {
        let error = |text: &str| format!("{:#}", parse(text).unwrap_err());
        assert_eq!(error(""), "it is empty");
        assert_eq!(error("comm pid\n"), "the last column is not comm");
        assert!(error("pid tid comm\n1 2 a\n").contains("line 2: \"1 2 a\": no column state"));
        assert!(error(&format!("{COLUMNS}\n1 1 live 0 0\n")).contains("no value for bytes"));
        assert!(error(&format!("{COLUMNS}\n1 1 live 0 0 0 0 0 x a\n")).contains("\"x\" is not a number"));
        assert!(error(&format!("{COLUMNS}\n-1 1 live 0 0 0 0 0 x a\n")).contains("\"-1\" is not an ID"));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC*", lines in "([0-9a-z\\\\ ]{0,40}\n){0,5}", header: bool) {
            let _ = parse(&text);
            let _ = parse(&if header { format!("{COLUMNS}\n{lines}") } else { lines });
        }

        #[test]
        fn the_order_of_columns_does_not_matter(
            order in Just(COLUMNS.split(' ').take(9).enumerate().collect::<Vec<_>>()).prop_shuffle(),
            numbers in proptest::collection::vec(0..u32::MAX, 9),
            comm in "[ -\\[\\]-~]{0,15}",
        ) {
            let value = |&(at, column): &(usize, &str)| match column {
                "state" => "live".to_owned(),
                "permitted" | "guest_permitted" => format!("{:#x}", numbers[at]),
                _ => numbers[at].to_string(),
            };
            let line = |order: &[(usize, &str)]| order.iter().map(value).collect::<Vec<_>>().join(" ");
            let header = order.iter().map(|(_, column)| *column).collect::<Vec<_>>().join(" ");
            let straight: Vec<_> = COLUMNS.split(' ').take(9).enumerate().collect();
            let shuffled = parse(&format!("{header} comm\n{} {comm}\n", line(&order))).unwrap();
            prop_assert_eq!(&shuffled, &parse(&format!("{COLUMNS}\n{} {comm}\n", line(&straight))).unwrap());
            prop_assert_eq!(&shuffled[0].comm, &comm);
        }

        #[test]
        fn any_name_survives_its_escapes(name in "[^\\pC\\p{Zl}\\p{Zp}]{0,15}") {
            let escape = |byte: u8| match byte {
                b' '..=b'[' | b']'..=b'~' => char::from(byte).to_string(),
                other => format!("\\{other:03o}"),
            };
            let escaped: String = name.bytes().map(escape).collect();
            prop_assert_eq!(comm(&escaped), name);
        }
    }
}
