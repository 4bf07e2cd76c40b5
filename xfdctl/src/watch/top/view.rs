// SPDX-License-Identifier: GPL-2.0
//! What the table shows, as text.

use super::super::clock;
use super::super::snapshot::states;
use super::columns::Column;
use super::group::{groups, By};
use super::Seen;
use crate::paint;
use crate::text::count;
use bytesize::ByteSize;

/// What a line stands for, and the order of the lines.
#[derive(Clone, Copy, Debug)]
pub struct View {
    by: By,
    sort: Column,
}

impl View {
    /// A view sorted by that column, by default with the largest buffers at the top.
    ///
    /// # Errors
    ///
    /// Fails if these lines do not have that column. The message names those that they have.
    pub fn new(by: By, sort: Option<Column>) -> Result<Self, String> {
        let sort = sort.unwrap_or(Column::Buffer);
        let columns = Column::of(by);
        if columns.contains(&sort) {
            return Ok(Self { by, sort });
        }
        let names: Vec<_> = columns.iter().map(|column| column.name()).collect();
        Err(format!("--sort {}: this table has no such column; it has {}", sort.name(), names.join(", ")))
    }

    /// What a line stands for.
    pub fn by(self) -> By {
        self.by
    }

    /// The column that sorts the lines.
    pub fn sort(self) -> Column {
        self.sort
    }

    /// Another kind of lines, sorted the same way if they have that column.
    pub fn with(self, by: By) -> Self {
        let sort = Some(self.sort).filter(|sort| Column::of(by).contains(sort));
        Self { by, sort: sort.unwrap_or(Column::Buffer) }
    }

    /// The same lines, sorted by the next column.
    pub fn next(self) -> Self {
        let columns = Column::of(self.by);
        let at = columns.iter().position(|column| *column == self.sort).unwrap_or(0);
        Self { sort: columns[(at + 1) % columns.len()], ..self }
    }

    /// The titles of the columns, and whether each holds numbers.
    pub fn titles(self) -> Vec<(String, bool)> {
        Column::of(self.by).iter().map(|column| (column.title(), !column.is_text())).collect()
    }

    /// All lines. The last column is truncated to fit `width`.
    pub fn rows(self, seen: &Seen, width: Option<usize>) -> Vec<Vec<String>> {
        let mut groups = groups(&seen.now.threads, self.by, &seen.cgroups);
        groups.sort_by(|a, b| self.sort.order(a, b));
        let columns = Column::of(self.by);
        let mut rows: Vec<Vec<_>> =
            groups.iter().map(|group| columns.iter().map(|column| column.text(group)).collect()).collect();
        if let Some(width) = width {
            let titles = self.titles();
            let titles: Vec<_> = titles.iter().map(|(title, is_number)| (title.as_str(), *is_number)).collect();
            let left = width.saturating_sub(paint::width_of_all_but_last(&titles, &rows)).max(8);
            for last in rows.iter_mut().filter_map(|row| row.last_mut()) {
                *last = paint::end_of(last, left).into_owned();
            }
        }
        rows
    }
}

/// The lines above the table.
pub fn head(seen: &Seen) -> Vec<String> {
    let version = seen.module.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    let charge = match seen.now.in_charge_for() {
        Some(age) => format!("in charge for {}", clock::age(age)),
        None => "not in charge: the kernel's own code is".to_owned(),
    };
    let counters =
        [("first uses", "first_uses"), ("reclaimed", "reclaimed"), ("regrown", "regrown"), ("denied", "denied")];
    let counters = counters.map(|(what, name)| {
        let rate = seen.rates.text(name).map(|rate| format!(" ({rate}/s)")).unwrap_or_default();
        format!("{what} {}{rate}", seen.now.counters.get(name))
    });
    let rates = if seen.rates.of_interval { "; rates are of this interval" } else { "" };
    let threads = &seen.now.threads;
    let states: Vec<_> = states(threads).iter().map(|(state, number)| format!("{number} {state}")).collect();
    let total = |bytes: fn(&_) -> u64| {
        let sum = threads.iter().map(bytes).fold(0, u64::saturating_add);
        ByteSize::b(sum).display().iec().to_string()
    };
    let mut lines = vec![
        format!("xfd{version} on Linux {}, {charge}", seen.kernel),
        format!("{}{rates}", counters.join(", ")),
        format!(
            "{}{}{}; buffers {}, of vCPUs {}",
            count(threads.len() as u64, "thread"),
            if states.is_empty() { "" } else { ": " },
            states.join(", "),
            total(|thread| thread.bytes),
            total(|thread| thread.guest_bytes)
        ),
    ];
    lines.extend(seen.sight.remark().map(str::to_owned));
    lines
}
