// SPDX-License-Identifier: GPL-2.0
//! Counts KTAP output (Documentation/dev-tools/ktap.rst of the kernel), including nested, malformed and truncated
//! output.
//!
//! Each leaf result counts once. A result with subtests counts through its subtests, and as one failure of its own if
//! it is `not ok` although none of them failed. A missing plan, missing results, results out of order and an early end
//! of the program count as failures, with a remark.

use crate::workshop::count::Count;

/// One open level of nesting.
struct Level {
    indent: usize,
    plan: Option<usize>,
    seen: usize,
    count: Count,
    /// The plan says that all tests are skipped.
    skip_all: bool,
}

impl Level {
    fn new(indent: usize) -> Level {
        Level { indent, plan: None, seen: 0, count: Count::default(), skip_all: false }
    }

    /// Checks the results against the plan; `name` is for the remark.
    fn close(mut self, name: &str) -> Count {
        match self.plan {
            None => self.count.fail(format!("{name}: no plan")),
            Some(plan) if plan > self.seen => {
                let missing = plan - self.seen;
                self.count.fail(format!("{name}: {missing} of {plan} planned tests gave no result"));
                self.count.failed += missing - 1;
            }
            Some(plan) if plan < self.seen => {
                self.count.fail(format!("{name}: {} results, only {plan} planned", self.seen))
            }
            Some(0) if !self.skip_all && self.count.total() == 0 => self.count.fail(format!("{name}: no tests")),
            Some(_) => {}
        }
        self.count
    }
}

/// Counts the output of the program `name`, which ended with `status`; `None` if it did not end.
pub fn count(name: &str, output: &str, status: Option<i32>) -> Count {
    let mut levels = vec![Level::new(0)];
    let mut bailed = false;
    for line in output.lines() {
        let text = line.trim_start_matches(' ');
        let indent = line.len() - text.len();
        if text.starts_with("Bail out!") {
            levels[0].count.fail(format!("{name}: {}", text.trim_end()));
            bailed = true;
        } else if let Some((plan, skip)) = plan(text) {
            level_at(&mut levels, indent).plan = Some(plan);
            if let Some(reason) = skip {
                let level = level_at(&mut levels, indent);
                level.skip_all = true;
                level.count.skip(format!("{name}: skipped: {reason}"));
            }
        } else if let Some(result) = Result::parse(text) {
            take(&mut levels, indent, name, result);
        }
    }
    let mut total = Count::default();
    while let Some(level) = levels.pop() {
        if levels.is_empty() {
            total.add(if bailed { level.count } else { level.close(name) });
        } else {
            let mut count = level.close(name);
            count.fail(format!("{name}: subtests without a result of their parent"));
            total.add(count);
        }
    }
    match status {
        None => total.fail(format!("{name}: did not end")),
        // kselftest programs return 4 when everything was skipped.
        Some(0 | 4) => {}
        Some(_) if total.failed > 0 => {}
        Some(status) => total.fail(format!("{name}: exit status {status} although no test failed")),
    }
    total
}

/// Whether the output has a plan or a result.
pub fn is_spoken(output: &str) -> bool {
    output.lines().map(str::trim_start).any(|text| plan(text).is_some() || Result::parse(text).is_some())
}

/// The level for lines indented by `indent`; opens one if it is deeper than the current one.
fn level_at(levels: &mut Vec<Level>, indent: usize) -> &mut Level {
    if levels.last().is_some_and(|level| level.indent < indent) {
        levels.push(Level::new(indent));
    }
    let at = levels.iter().rposition(|level| level.indent <= indent).unwrap_or(0);
    &mut levels[at]
}

/// Records a result. This also closes the deeper levels, which are its subtests.
fn take(levels: &mut Vec<Level>, indent: usize, program: &str, result: Result) {
    let mut subtests: Option<Count> = None;
    while levels.len() > 1 && levels.last().is_some_and(|level| level.indent > indent) {
        if let Some(level) = levels.pop() {
            subtests.get_or_insert_with(Count::default).add(level.close(&result.name));
        }
    }
    let level = level_at(levels, indent);
    level.seen += 1;
    let name = format!("{program}: {}", result.name);
    if result.number.is_some_and(|number| number != level.seen) {
        level.count.fail(format!("{name}: out of order, expected number {}", level.seen));
    }
    match (subtests, result.outcome) {
        (Some(subtests), Outcome::Failed(why)) => {
            if subtests.failed == 0 {
                level.count.fail(format!("{name}{why}"));
            }
            level.count.add(subtests);
        }
        (Some(subtests), _) => level.count.add(subtests),
        (None, Outcome::Passed) => level.count.pass_of(name),
        (None, Outcome::Failed(why)) => level.count.fail(format!("{name}{why}")),
        (None, Outcome::Skipped(why)) => level.count.skip(format!("{name}: skipped{why}")),
    }
}

/// Parses `1..N`, with the reason if all tests are skipped.
pub fn plan(text: &str) -> Option<(usize, Option<String>)> {
    let rest = text.strip_prefix("1..")?;
    let (number, directive) = rest.split_once('#').unwrap_or((rest, ""));
    let number = number.trim().parse().ok()?;
    let directive = directive.trim();
    let skipped = directive.get(..4).is_some_and(|d| d.eq_ignore_ascii_case("skip"));
    Some((number, (number == 0 && skipped).then(|| directive[4..].trim().to_owned())))
}

/// How one test ended; the text follows the name in a remark.
pub enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// A result line.
pub struct Result {
    number: Option<usize>,
    pub name: String,
    pub outcome: Outcome,
}

impl Result {
    /// `ok 3 - name # DIRECTIVE reason`
    pub fn parse(text: &str) -> Option<Result> {
        let (ok, rest) = match text.strip_prefix("not ok") {
            Some(rest) => (false, rest),
            None => (true, text.strip_prefix("ok")?),
        };
        if !rest.is_empty() && !rest.starts_with(' ') {
            return None;
        }
        let (description, directive) = rest.split_once(" # ").map_or((rest, None), |(d, x)| (d, Some(x.trim())));
        let description = description.trim();
        let digits = description.find(|c: char| !c.is_ascii_digit()).unwrap_or(description.len());
        let number = description[..digits].parse().ok();
        let name = description[digits..].trim_start_matches([' ', '-']).trim().to_owned();
        let word =
            directive.and_then(|d| d.split_whitespace().next()).unwrap_or("").trim_end_matches(':').to_uppercase();
        let reason = directive.map(|d| format!(" ({d})")).unwrap_or_default();
        let outcome = match (ok, word.as_str()) {
            (_, "SKIP") => Outcome::Skipped(reason),
            (true, _) | (false, "XFAIL" | "TODO") => Outcome::Passed,
            (false, _) => Outcome::Failed(reason),
        };
        Some(Result { number, name, outcome })
    }
}

#[cfg(test)]
#[path = "ktap_tests.rs"]
mod tests;
