// SPDX-License-Identifier: GPL-2.0
//! The search for the call of the #NM handler, in the text of several kernels. There is one file
//! per kernel, with one line per function, as printed by `kernel_look text=FUNCTION`.

use proptest::collection::vec;
use proptest::prelude::*;
use std::fs;
use std::path::Path;
use xstate::near_call::{find_all, LENGTH};

const HANDLER: &str = "exc_device_not_available";

struct Function {
    name: String,
    start: usize,
    text: Vec<u8>,
}

fn function(line: &str) -> Function {
    let [name, start, text] = line.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{line}")
    };
    Function {
        name: name.into(),
        start: usize::from_str_radix(start.trim_start_matches("0x"), 16).unwrap(),
        text: (0..text.len() / 2)
            .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
            .collect(),
    }
}

fn kernels() -> Vec<(String, Vec<Function>)> {
    let files = fs::read_dir(Path::new("tests/near_calls")).unwrap();
    files
        .map(|file| {
            let path = file.unwrap().path();
            let lines = fs::read_to_string(&path).unwrap();
            let functions = lines
                .lines()
                .filter(|line| !line.starts_with('#'))
                .map(function);
            (path.display().to_string(), functions.collect())
        })
        .collect()
}

#[test]
fn each_kernel_has_one_call_in_each_stub() {
    let kernels = kernels();
    assert!(kernels.len() >= 5, "{}", kernels.len());
    for (kernel, functions) in kernels {
        let handler = functions.iter().find(|f| f.name == HANDLER).unwrap().start;
        for stub in ["asm_exc_device_not_available", "fred_hwexc"] {
            let stub = functions.iter().find(|f| f.name == stub).unwrap();
            let calls: Vec<_> = find_all(&stub.text, stub.start, handler).collect();
            let [call] = calls[..] else {
                panic!("{kernel}: {}: {calls:?}", stub.name)
            };
            // It is the instruction that is there, and a new target changes it.
            let at = call.address - stub.start;
            let there = &stub.text[at..at + LENGTH];
            assert_eq!(call.leading_to(handler).unwrap(), there, "{kernel}");
            assert_ne!(call.leading_to(handler + 16).unwrap(), there);
            // No call of another handler is mistaken for it.
            assert_eq!(find_all(&stub.text, stub.start, handler + 1).count(), 0);
        }
    }
}

proptest! {
    /// Calls inserted into random text are found at their addresses, with their targets.
    #[test]
    fn what_is_put_in_is_found(
        mut text in vec(any::<u8>(), 0..200),
        start: usize,
        target: usize,
        places in vec(0usize..200, 0..4),
        jump: bool,
    ) {
        let target = start.wrapping_add(target % (1 << 30));
        let opcode = if jump { 0xe9 } else { 0xe8 };
        let mut put = Vec::new();
        for place in places {
            let free = put.iter().all(|&other: &usize| other.abs_diff(place) >= LENGTH);
            if free && place + LENGTH <= text.len() {
                let distance = target.wrapping_sub(start.wrapping_add(place + LENGTH)) as i32;
                text[place] = opcode;
                text[place + 1..place + LENGTH].copy_from_slice(&distance.to_le_bytes());
                put.push(place);
            }
        }
        let found: Vec<_> = find_all(&text, start, target).collect();
        for place in &put {
            prop_assert!(found.iter().any(|call| call.address == start.wrapping_add(*place)));
        }
        for call in &found {
            let at = call.address.wrapping_sub(start);
            prop_assert_eq!(&call.leading_to(target).unwrap()[..], &text[at..at + LENGTH]);
        }
    }

    /// There is no instruction for a target that is out of reach.
    #[test]
    fn two_gigabytes_are_the_reach(start in 1usize << 40..1 << 41, distance in -(1i64 << 33)..1 << 33) {
        let text = [0xe8, 0, 0, 0, 0];
        let call = find_all(&text, start, start + LENGTH).next().unwrap();
        let target = (start + LENGTH).wrapping_add_signed(distance as isize);
        prop_assert_eq!(call.leading_to(target).is_some(), i32::try_from(distance).is_ok());
    }
}
