// SPDX-License-Identifier: GPL-2.0
//! The instruction that raised an exception.

use super::tracee::Fault;
use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Formatter, IntelFormatter, Mnemonic, OpKind};

/// A decoded instruction.
pub struct Instruction {
    /// Its disassembly.
    pub text: String,
    /// Whether it is an AMX instruction.
    pub is_amx: bool,
    /// Whether it is LDTILECFG.
    pub loads_config: bool,
    /// Whether it reads or writes memory.
    pub has_address: bool,
    /// The features that it needs.
    pub features: &'static [CpuidFeature],
}

/// Decodes the instruction that raised `fault`.
pub fn instruction(fault: &Fault) -> Instruction {
    let decoded = Decoder::with_ip(64, &fault.bytes, fault.ip, DecoderOptions::NONE).decode();
    let features = decoded.cpuid_features();
    let mut text = String::new();
    if fault.bytes.is_empty() {
        text.push_str("in unreadable memory");
    } else if decoded.is_invalid() {
        text.push_str("an unknown instruction");
    } else {
        IntelFormatter::new().format(&decoded, &mut text);
    }
    Instruction {
        text,
        is_amx: features.iter().any(|feature| format!("{feature:?}").starts_with("AMX")),
        has_address: decoded.op_kinds().any(|kind| kind == OpKind::Memory),
        loads_config: decoded.mnemonic() == Mnemonic::Ldtilecfg,
        features,
    }
}
