// SPDX-License-Identifier: GPL-2.0
//! The targets for the cost of our code, as a share of what the C code costs in the same boot.

use crate::bench::rows::{Measured, Path, Samples};
use crate::bench::table::simple_table;

/// Row, unit, and the largest ratio of our code to the C code.
const SHARES: &[(&str, &str, f64)] = &[
    ("first_use.warm", "instructions", 0.13),
    // The first thread of a process.
    ("first_use.process", "instructions", 0.6),
    ("thread.release", "instructions", 0.5),
    ("exec.use", "instructions", 0.5),
    ("permission.request", "instructions", 1.0),
    ("permission.repeated", "instructions", 1.0),
    ("permission.query", "instructions", 1.0),
    ("getppid", "instructions", 1.01),
    ("fork.plain", "instructions", 1.01),
    ("fork.amx", "instructions", 1.01),
    ("switch.plain_plain", "instructions", 1.01),
    ("switch.amx_plain", "instructions", 1.01),
    ("switch.amx_amx", "instructions", 1.01),
    ("signal.plain", "instructions", 1.0),
    ("signal.amx", "instructions", 1.0),
    ("thread.plain", "instructions", 1.01),
    ("exec.plain", "instructions", 1.01),
    ("first_use.warm", "nm", 1.0),
    ("first_use.warm", "wrmsr_xfd", 1.0),
    ("first_use.warm", "rdmsr_xfd_err", 1.0),
    ("first_use.warm", "wrmsr_xfd_err", 1.0),
    ("switch.amx_plain", "wrmsr_xfd", 1.0),
    ("kvm.cpuid", "instructions", 1.0),
    ("kvm.life", "instructions", 1.0),
    ("kvm.run", "instructions", 1.0),
    ("kvm.exits.plain", "instructions", 1.0),
    ("kvm.exits.armed", "instructions", 1.0),
    ("kvm.exits.armed", "rdmsr_xfd", 1.0),
    ("kvm.exits.tiles", "instructions", 1.0),
    ("kvm.exits.tiles", "rdmsr_xfd", 1.0),
    ("kvm.first_uses", "instructions", 1.0),
    ("kvm.first_uses", "wrmsr_xfd", 1.0),
    ("memory.reclaimed", "vmalloc_bytes", 0.05),
];

/// Rows that are shown without a target. With an empty pool, a first use costs as much as in the C code
/// (Documentation/benchmark.rst, "Where the instructions go").
const NO_TARGET: &[(&str, &str)] = &[("first_use.cold", "instructions")];

/// A row of ours, the row of ours that it is compared with, and the largest ratio.
const OF_ITS_OWN: &[(&str, &str, f64)] =
    &[("first_use.at_once.4", "first_use.at_once.1", 1.2), ("first_use.read", "first_use.unread", 1.0)];

/// The table of targets, each met, missed or not measured.
pub fn text(parts: &[(String, Measured)]) -> String {
    let ours = parts.first().map_or(Path::Module, |(_, measured)| measured.ours());
    let mut cells =
        vec![["row", "unit", "at most", format!("{} / C", ours.heading()).as_str(), ""].map(str::to_owned).to_vec()];
    let ratio_of = |name: &str, unit: &str| {
        // The first part that has the row: the others repeat a few.
        parts.iter().flat_map(|(_, measured)| &measured.rows).find(|row| row.name == name)?.ratio(unit)
    };
    for &(name, unit, most) in SHARES {
        cells.push(line(format!("``{name}``"), unit, Some(most), ratio_of(name, unit)));
    }
    for &(name, unit) in NO_TARGET {
        cells.push(line(format!("``{name}``"), unit, None, ratio_of(name, unit)));
    }
    let median = |name: &str| {
        let row = parts.iter().flat_map(|(_, measured)| &measured.rows).find(|row| row.name == name)?;
        row.samples(ours, "instructions").map(Samples::median)
    };
    for &(row, other, most) in OF_ITS_OWN {
        let ratio = median(row).zip(median(other)).map(|(row, other)| row as f64 / other as f64);
        cells.push(line(format!("``{row}``, of ``{other}``"), "instructions", Some(most), ratio));
    }
    format!("Targets\n-------\n\n{}", simple_table(&cells))
}

fn line(name: String, unit: &str, most: Option<f64>, ratio: Option<f64>) -> Vec<String> {
    let verdict = match (ratio, most) {
        (None, _) => "not measured",
        (Some(_), None) => "no target",
        (Some(ratio), Some(most)) if ratio <= most => "met",
        (Some(_), Some(_)) => "missed",
    };
    let measured = ratio.map_or("-".into(), |ratio| format!("{ratio:.3}"));
    vec![name, unit.to_owned(), most.map_or("-".into(), |most| most.to_string()), measured, verdict.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_met_missed_or_not_measured() {
        let one = "bench first_use.warm stock instructions 1000\nbench first_use.warm module instructions 130\n\
                   bench first_use.process stock instructions 1000\nbench first_use.process module instructions 601\n\
                   bench first_use.cold stock instructions 1000\nbench first_use.cold module instructions 1015\n";
        let four =
            "bench first_use.at_once.1 module instructions 100\nbench first_use.at_once.4 module instructions 121\n\
                    bench first_use.warm stock instructions 1\nbench first_use.warm module instructions 1\n";
        let part = |text: &str| ("part".to_owned(), Measured::read(text).unwrap());
        let text = text(&[part(one), part(four)]);
        let verdict = |row: &str| {
            let line = text.lines().find(|line| line.starts_with(row)).unwrap();
            line.split_whitespace().rev().take(2).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(verdict("``first_use.warm``"), "met 0.130");
        assert_eq!(verdict("``first_use.process``"), "missed 0.601");
        assert_eq!(verdict("``first_use.cold``"), "target no");
        assert_eq!(verdict("``first_use.at_once.4``"), "missed 1.210");
        assert_eq!(verdict("``thread.release``"), "measured not");
    }
}
