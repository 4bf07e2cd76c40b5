// SPDX-License-Identifier: GPL-2.0
#![no_main]

#[path = "../history.rs"]
mod history;

libfuzzer_sys::fuzz_target!(|data: &[u8]| history::run(data));
