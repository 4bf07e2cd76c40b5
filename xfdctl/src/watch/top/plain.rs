// SPDX-License-Identifier: GPL-2.0
//! The table as text or JSON.

use super::group::{groups, By};
use super::view::{head, View};
use super::Seen;
use crate::paint;
use serde_json::{json, Map, Value};

/// The head and the table, for a terminal of this width if there is one.
pub fn text(seen: &Seen, view: View, width: Option<usize>) -> String {
    let head = head(seen).iter().flat_map(|line| paint::lines(line, width)).collect::<Vec<_>>().join("\n");
    let titles = view.titles();
    let columns: Vec<_> = titles.iter().map(|(title, is_number)| (title.as_str(), *is_number)).collect();
    format!("{head}\n\n{}", paint::table(&columns, &view.rows(seen, width)))
}

/// The same as a JSON object.
pub fn json(seen: &Seen, view: View) -> Value {
    let counters: Map<_, _> =
        seen.now.counters.iter().map(|(name, value, ..)| (name.to_owned(), value.into())).collect();
    let mut object = json!({
        "loaded": true,
        "version": seen.module.version,
        "kernel": seen.kernel,
        "in_charge": seen.now.in_charge_for().is_some(),
        "sees": seen.sight,
        "counters": counters,
        "rates": seen.rates,
    });
    let mut groups = groups(&seen.now.threads, view.by(), &seen.cgroups);
    groups.sort_by(|a, b| view.sort().order(a, b));
    let (name, lines): (_, Vec<Value>) = match view.by() {
        By::Thread => {
            let by_tid: std::collections::HashMap<_, _> =
                seen.now.threads.iter().map(|thread| (thread.tid, thread)).collect();
            let line = |group: &super::group::Group| {
                let mut line = json!(by_tid[&group.tid]);
                line["cgroup_path"] = group.path.as_str().into();
                line
            };
            ("threads", groups.iter().map(line).collect())
        }
        by => {
            let name = if by == By::Process { "processes" } else { "cgroups" };
            (name, groups.iter().map(|group| group.json(by)).collect())
        }
    };
    object[name] = lines.into();
    object
}
