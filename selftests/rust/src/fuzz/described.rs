// SPDX-License-Identifier: GPL-2.0
//! The arch_prctl options, and the components to request, from syzkaller's description, upstream/syzkaller/xstate.txt.
//! Parses only what that file contains: one-line calls, and lists of numbers and constants.

use std::sync::OnceLock;

const DESCRIPTION: &str = include_str!("../../../../upstream/syzkaller/xstate.txt");
const CONSTANTS: &str = include_str!("../../../../upstream/syzkaller/xstate.txt.const");

/// The contents of the description.
#[derive(Debug, PartialEq, Eq)]
pub struct Described {
    /// Options that write a mask.
    pub queries: Vec<u32>,
    /// Options that request permission.
    pub requests: Vec<u32>,
    /// Components to request; the first one is available.
    pub components: Vec<u64>,
}

/// The description.
///
/// # Panics
///
/// The description lacks something needed here.
#[must_use]
pub fn described() -> &'static Described {
    static DESCRIBED: OnceLock<Described> = OnceLock::new();
    DESCRIBED.get_or_init(|| {
        read(DESCRIPTION, CONSTANTS).expect("upstream/syzkaller/xstate.txt can be read")
    })
}

/// A number, or the value of a constant.
fn value(word: &str, constants: &str) -> Option<u64> {
    if let Some(digits) = word.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    let named = |line: &str| Some(line.strip_prefix(word)?.strip_prefix(" = ")?.to_owned());
    let found = constants.lines().find_map(named);
    found.as_deref().unwrap_or(word).parse().ok()
}

fn read(description: &str, constants: &str) -> Option<Described> {
    let (mut queries, mut requests, mut components) = (Vec::new(), Vec::new(), Vec::new());
    for line in description.lines() {
        if let Some(call) = line.strip_prefix("arch_prctl$") {
            let (name, arguments) = call.split_once('(')?;
            let option = u32::try_from(value(name, constants)?).ok()?;
            let (code, argument) = arguments.strip_suffix(')')?.split_once(", ")?;
            if code != format!("code const[{name}]") {
                return None;
            }
            match argument {
                "arg ptr[out, int64]" => queries.push(option),
                "arg flags[xstate_component]" => requests.push(option),
                _ => return None,
            }
        } else if let Some(list) = line.strip_prefix("xstate_component = ") {
            let values = list.split(", ").map(|word| value(word, constants));
            components = values.collect::<Option<_>>()?;
        }
    }
    let whole = !queries.is_empty() && !requests.is_empty() && !components.is_empty();
    whole.then_some(Described {
        queries,
        requests,
        components,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use xcomp::Feature;

    #[test]
    fn the_description_has_all_five_options() {
        assert_eq!(described().queries, [0x1021, 0x1022, 0x1024]);
        assert_eq!(described().requests, [0x1023, 0x1025]);
    }

    #[test]
    fn the_first_component_can_be_had() {
        assert_eq!(described().components[0], Feature::TILE_DATA.component());
        assert!(described().components.contains(&20));
    }

    #[test]
    fn what_it_does_not_know_is_an_error() {
        let call = "arch_prctl$X(code const[X], arg ptr[out, int64])\n";
        assert_eq!(
            read(call, "X = 1\n"),
            None,
            "neither requests nor components"
        );
        let other = DESCRIPTION.replace("arg flags[xstate_component]", "arg intptr");
        assert_eq!(read(&other, CONSTANTS), None);
        assert_eq!(read(DESCRIPTION, ""), None, "constants without a value");
    }
}
