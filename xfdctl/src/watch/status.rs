// SPDX-License-Identifier: GPL-2.0
//! `xfdctl status`: the module, how long it has been in charge, and its counters.

use super::rates::Rates;
use super::snapshot::Snapshot;
use super::{clock, NOT_IN_CHARGE, NOT_LOADED, NOT_LOADED_WHAT};
use crate::module::counters::Kind;
use crate::module::Module;
use crate::root::Root;
use crate::{paint, proc};
use clap::Args;
use serde_json::{json, Map, Value};
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// The exit statuses, for the help.
pub const STATUS: &str = "Exit status: 0 if xfd is in charge; 1 if it is loaded but the kernel's own code is in \
                          charge; 2 on a usage error; 3 if the module could not be read; 4 if xfd is not loaded.";

/// The options.
#[derive(Args)]
pub struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Read the counters twice, this far apart, and show their rates in between
    #[arg(long, value_name = "SECONDS", value_parser = clock::seconds)]
    interval: Option<Duration>,
    #[command(flatten)]
    root: Root,
}

/// Prints the status; returns the exit status.
///
/// # Errors
///
/// Fails if the module cannot be read or nobody reads the output.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let root = &arguments.root.folder;
    let mut out = anstream::stdout().lock();
    let Some(status) = Status::read(root, arguments.interval)? else {
        if arguments.json {
            writeln!(
                out,
                "{}",
                json!({ "loaded": false, "kernel": proc::kernel_release(root), "what": NOT_LOADED_WHAT })
            )?;
        } else {
            for line in paint::lines(NOT_LOADED_WHAT, paint::width()) {
                writeln!(out, "{line}")?;
            }
        }
        return Ok(NOT_LOADED);
    };
    if arguments.json {
        writeln!(out, "{}", status.json())?;
    } else {
        status.print(&mut out, paint::width())?;
    }
    out.flush()?;
    Ok(if status.now.in_charge_for().is_some() { 0 } else { NOT_IN_CHARGE })
}

struct Status {
    module: Module,
    kernel: String,
    now: Snapshot,
    rates: Rates,
}

impl Status {
    fn read(root: &Path, interval: Option<Duration>) -> anyhow::Result<Option<Self>> {
        let mut before = None;
        if let Some(interval) = interval {
            before = Snapshot::take_counters(root)?;
            if before.is_some() {
                thread::sleep(interval);
            }
        }
        let Some(now) = Snapshot::take_counters(root)? else { return Ok(None) };
        let Some(module) = Module::read(root) else { return Ok(None) };
        let rates = Rates::new(before.as_ref(), &now);
        Ok(Some(Self { module, kernel: proc::kernel_release(root), now, rates }))
    }

    fn livepatch(&self) -> &'static str {
        match (self.module.enabled, self.module.transition) {
            (true, false) => "enabled",
            (true, true) => "enabled, in transition: tasks are still being moved",
            (false, true) => "disabled, in transition: tasks are still being moved",
            (false, false) => "disabled",
        }
    }

    fn print(&self, out: &mut impl Write, width: Option<usize>) -> io::Result<()> {
        let module = &self.module;
        let version = module.version.as_deref().unwrap_or("of unknown version");
        let build_id = module.build_id.as_deref().unwrap_or("none");
        let in_charge = self.now.in_charge_for().map_or("no: the kernel's own code is".to_owned(), |age| {
            let since = clock::wall_time(age).to_zoned_datetime(jiff::tz::TimeZone::system());
            format!("since {}, for {}", since.strftime("%Y-%m-%d %H:%M:%S %:z"), clock::age(age))
        });
        let parameters: Vec<_> = module.parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let has_rates = self.rates.of_interval;
        let rates = if has_rates { "rates are of this interval" } else { "--interval SECONDS adds rates" };
        for (about, what) in [
            ("xfd", format!("{version}, on Linux {}", self.kernel)),
            ("build ID", build_id.to_owned()),
            ("in charge", in_charge),
            ("livepatch", self.livepatch().to_owned()),
            ("parameters", parameters.join(", ")),
            ("counters", format!("since the module was loaded; {rates}")),
        ] {
            let lines = paint::lines(&what, width.map(|width| width.saturating_sub(12)));
            writeln!(out, "{about:<12}{}", lines.join(&format!("\n{:12}", "")))?;
        }
        let rows: Vec<_> = self
            .now
            .counters
            .iter()
            .map(|(name, value, kind, meaning)| {
                let rate = has_rates.then(|| self.rates.text(name).unwrap_or_default());
                let meaning = if kind == Kind::Now { format!("now: {meaning}") } else { meaning.to_owned() };
                [name.to_owned(), value.to_string()].into_iter().chain(rate).chain([meaning]).collect()
            })
            .collect();
        let mut columns = vec![("", false), ("COUNT", true), ("", false)];
        if has_rates {
            columns.insert(2, ("RATE/S", true));
        }
        writeln!(out)?;
        write!(out, "{}", paint::table_within(&columns, &rows, 1, width))
    }

    fn json(&self) -> Value {
        let module = &self.module;
        let counters: Map<_, _> = self
            .now
            .counters
            .iter()
            .map(|(name, value, kind, meaning)| {
                let rate = self.rates.per_second.get(name);
                let about = json!({ "value": value, "kind": kind, "per_second": rate, "meaning": meaning });
                (name.to_owned(), about)
            })
            .collect();
        let age = self.now.in_charge_for();
        json!({
            "loaded": true,
            "version": module.version,
            "build_id": module.build_id,
            "kernel": self.kernel,
            "in_charge": age.is_some(),
            "in_charge_since": age.map(|age| clock::wall_time(age).to_string()),
            "in_charge_seconds": age.map(|age| age.as_secs_f64()),
            "livepatch": { "enabled": module.enabled, "transition": module.transition },
            "parameters": module.parameters,
            "rates": { "seconds": self.rates.seconds, "of_interval": self.rates.of_interval },
            "counters": counters,
        })
    }
}
