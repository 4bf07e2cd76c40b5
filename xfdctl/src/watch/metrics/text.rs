// SPDX-License-Identifier: GPL-2.0
//! Prometheus' text format, version 0.0.4: base units, `_total` for counters, a bounded number of series.

use super::super::cgroups::Cgroups;
use super::super::clock;
use super::super::sight::Sight;
use super::super::snapshot::Snapshot;
use crate::module::counters::Kind;
use crate::module::tasks::{Thread, STATES};
use crate::module::Module;
use crate::proc;
use prometheus::core::Collector;
use prometheus::{Gauge, GaugeVec, IntCounter, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use std::collections::BTreeMap;
use std::path::Path;

/// Everything that is exported.
pub struct Seen {
    kernel: String,
    /// `None` without the module.
    module: Option<(Module, Snapshot)>,
    sight: Sight,
}

impl Seen {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// Fails if the module is loaded but one of its files cannot be read.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let snapshot = Snapshot::take(root)?;
        let module = snapshot.and_then(|snapshot| Some((Module::read(root)?, snapshot)));
        Ok(Self { kernel: proc::kernel_release(root), module, sight: Sight::read(root) })
    }
}

/// The metrics as text; also by cgroup if there are `cgroups`.
///
/// # Errors
///
/// Fails if a name or value from the module is not valid in a metric.
pub fn text(seen: &Seen, cgroups: Option<&mut Cgroups>) -> anyhow::Result<String> {
    let registry = Registry::new();
    let out = Out(&registry);
    out.gauge("xfd_up", "Whether the module xfd is loaded.", i64::from(seen.module.is_some()))?;
    if let Some((module, snapshot)) = &seen.module {
        let labels = [
            ("version", module.version.as_deref().unwrap_or_default()),
            ("build_id", module.build_id.as_deref().unwrap_or_default()),
            ("kernel", &seen.kernel),
        ];
        out.info("xfd_info", "The module xfd and the kernel that has loaded it.", &labels)?;
        out.charge(snapshot)?;
        out.parameters(&module.parameters)?;
        out.counters(snapshot)?;
        let help = "Whether xfd_threads and xfd_buffer_bytes include the threads of all users.";
        out.gauge("xfd_sees_all_threads", help, i64::from(seen.sight == Sight::All))?;
        out.threads(&snapshot.threads, cgroups)?;
    }
    Ok(TextEncoder::new().encode_to_string(&registry.gather())?)
}

/// Sums by label values.
type Sums = BTreeMap<Vec<String>, i64>;

struct Out<'a>(&'a Registry);

impl Out<'_> {
    fn add<C: Collector + Clone + 'static>(&self, metric: prometheus::Result<C>) -> prometheus::Result<C> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn gauge(&self, name: &str, help: &str, value: i64) -> prometheus::Result<()> {
        self.add(IntGauge::new(name, help))?.set(value);
        Ok(())
    }

    fn seconds(&self, name: &str, help: &str, value: f64) -> prometheus::Result<()> {
        self.add(Gauge::new(name, help))?.set(value);
        Ok(())
    }

    fn info(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> prometheus::Result<()> {
        let (names, values): (Vec<_>, Vec<_>) = labels.iter().copied().unzip();
        self.add(GaugeVec::new(Opts::new(name, help), &names))?.with_label_values(&values).set(1.0);
        Ok(())
    }

    fn charge(&self, snapshot: &Snapshot) -> prometheus::Result<()> {
        let age = snapshot.in_charge_for();
        let help = "Whether the module handles first uses; if not, the kernel's own code does.";
        self.gauge("xfd_in_charge", help, i64::from(age.is_some()))?;
        let Some(age) = age else { return Ok(()) };
        #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch fit in 53 bits")]
        let since = clock::wall_time(age).as_second() as f64;
        let help = "When the module took over, in seconds since the epoch.";
        self.seconds("xfd_in_charge_start_time_seconds", help, since)
    }

    /// The parameters that are useful as metrics.
    fn parameters(&self, parameters: &BTreeMap<String, String>) -> prometheus::Result<()> {
        let number = |name: &str| parameters.get(name).and_then(|value| value.parse::<u32>().ok());
        if let Some(ms) = number("reclaim_ms") {
            let help = "Time between two passes that reclaim buffers (parameter reclaim_ms).";
            self.seconds("xfd_reclaim_interval_seconds", help, f64::from(ms) / 1000.0)?;
        }
        if let Some(pool) = number("pool") {
            let help = "Maximum number of buffers that each CPU keeps for the next first use (parameter pool).";
            self.gauge("xfd_pool_limit_buffers", help, i64::from(pool))?;
        }
        Ok(())
    }

    fn counters(&self, snapshot: &Snapshot) -> prometheus::Result<()> {
        let mut unknown = None;
        for (name, value, kind, meaning) in snapshot.counters.iter() {
            let help = format!("{}{}.", meaning[..1].to_uppercase(), &meaning[1..]);
            match kind {
                Kind::Counter => {
                    let counter = self.add(IntCounter::new(format!("xfd_{name}_total"), help))?;
                    counter.inc_by(u64::try_from(value).unwrap_or(0));
                }
                Kind::Now => {
                    let what = match name {
                        "pooled" => "xfd_pooled_buffers",
                        "owed" => "xfd_owed_threads",
                        _ => &format!("xfd_{name}_tasks"),
                    };
                    self.gauge(what, &help, value)?;
                }
                // The metric's final name depends on the number's unit and type, which are unknown.
                Kind::Unknown => unknown.get_or_insert_with(Vec::new).push((name, value)),
            }
        }
        let Some(unknown) = unknown else { return Ok(()) };
        let help = "Numbers from the module that this xfdctl does not know.";
        let gauge = self.add(IntGaugeVec::new(Opts::new("xfd_unknown", help), &["name"]))?;
        for (name, value) in unknown {
            gauge.with_label_values(&[name]).set(value);
        }
        Ok(())
    }

    fn threads(&self, threads: &[Thread], mut cgroups: Option<&mut Cgroups>) -> prometheus::Result<()> {
        let mut labels = vec!["state"];
        // Without cgroups there are few series, and each of them exists from the beginning.
        let (mut states, mut bytes) = (Sums::new(), Sums::new());
        if let Some(cgroups) = &mut cgroups {
            cgroups.learn(threads.iter().map(|thread| thread.cgroup));
            labels.push("cgroup");
        } else {
            states.extend(STATES.iter().map(|state| (vec![state.to_string()], 0)));
            bytes.extend(["thread", "vcpu"].map(|kind| (vec![kind.to_owned()], 0)));
        }
        for thread in threads {
            let cgroup = cgroups.as_ref().map(|cgroups| cgroups.path(thread.cgroup));
            let add = |sums: &mut Sums, label: &str, value: u64| {
                let sum = sums.entry([label.to_owned()].into_iter().chain(cgroup.clone()).collect()).or_default();
                *sum = sum.saturating_add(i64::try_from(value).unwrap_or(i64::MAX));
            };
            add(&mut states, thread.state.name(), 1);
            add(&mut bytes, "thread", thread.bytes);
            add(&mut bytes, "vcpu", thread.guest_bytes);
        }
        let help = "Threads that may use tiles, or run a vCPU that may, by the state of their tiles.";
        self.family("xfd_threads", help, &labels, &states)?;
        labels[0] = "kind";
        self.family("xfd_buffer_bytes", "Memory of enlarged register buffers.", &labels, &bytes)
    }

    fn family(&self, name: &str, help: &str, labels: &[&str], sums: &Sums) -> prometheus::Result<()> {
        let family = self.add(IntGaugeVec::new(Opts::new(name, help), labels))?;
        for (labels, value) in sums {
            family.with_label_values(labels).set(*value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::counters::Counters;
    use crate::module::tasks;
    use std::time::{Duration, Instant};

    const COUNTERS: &str = "first_uses 3\nrepeated 0\npooled 2\nin_flight 1\nowed 4\nnews 7\n";
    const THREADS: &str = "pid tid state permitted guest_permitted bytes guest_bytes since_ms cgroup comm\n\
                           1 1 live 0 0 12288 0 0 5 a\n1 2 live 0 0 12288 4096 0 0 \\134\"\n";

    fn seen(counters: &str) -> Seen {
        let module = Module {
            version: Some("0.1\"\\".into()),
            build_id: None,
            enabled: true,
            transition: false,
            parameters: [("reclaim_ms".into(), "1500".into()), ("pool".into(), "64".into())].into(),
        };
        let snapshot = Snapshot {
            taken: Instant::now(),
            uptime: Duration::from_secs(10),
            counters: Counters::parse(counters).unwrap(),
            threads: tasks::parse(THREADS).unwrap(),
        };
        Seen { kernel: "7.3".into(), module: Some((module, snapshot)), sight: Sight::Own }
    }

    #[track_caller]
    fn has(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|of| of == *line), "no line {line:?} in\n{text}");
        }
    }

    #[test]
    fn everything_is_exported() {
        let text = text(&seen(&format!("{COUNTERS}in_charge_since_ms 4000\n")), None).unwrap();
        has(
            &text,
            &[
                "# TYPE xfd_up gauge",
                "xfd_up 1",
                r#"xfd_info{build_id="",kernel="7.3",version="0.1\"\\"} 1"#,
                "xfd_in_charge 1",
                "# HELP xfd_first_uses_total First uses served, one per thread and facility.",
                "# TYPE xfd_first_uses_total counter",
                "xfd_first_uses_total 3",
                "xfd_repeated_total 0",
                "xfd_pooled_buffers 2",
                "xfd_in_flight_tasks 1",
                "xfd_owed_threads 4",
                r#"xfd_unknown{name="news"} 7"#,
                r#"xfd_threads{state="live"} 2"#,
                r#"xfd_threads{state="idle"} 0"#,
                r#"xfd_buffer_bytes{kind="thread"} 24576"#,
                r#"xfd_buffer_bytes{kind="vcpu"} 4096"#,
                "xfd_reclaim_interval_seconds 1.5",
                "xfd_pool_limit_buffers 64",
                "xfd_sees_all_threads 0",
            ],
        );
        let since = text.lines().find_map(|line| line.strip_prefix("xfd_in_charge_start_time_seconds ")).unwrap();
        let age = jiff::Timestamp::now().as_second() - since.parse::<i64>().unwrap();
        assert!((5..=7).contains(&age), "{age}");
    }

    #[test]
    fn the_kernels_own_code_is_in_charge() {
        let text = text(&seen("in_charge_since_ms 0\n"), None).unwrap();
        has(&text, &["xfd_up 1", "xfd_in_charge 0"]);
        assert!(!text.contains("start_time"));
    }

    #[test]
    fn by_cgroup() {
        let mut cgroups = Cgroups::new(Path::new("/nowhere"));
        let text = text(&seen(COUNTERS), Some(&mut cgroups)).unwrap();
        has(
            &text,
            &[
                r##"xfd_threads{cgroup="#5",state="live"} 1"##,
                r#"xfd_threads{cgroup="-",state="live"} 1"#,
                r#"xfd_buffer_bytes{cgroup="-",kind="vcpu"} 4096"#,
            ],
        );
    }

    #[test]
    fn without_the_module() {
        let seen = Seen { kernel: "7.3".into(), module: None, sight: Sight::All };
        let expected = "# HELP xfd_up Whether the module xfd is loaded.\n# TYPE xfd_up gauge\nxfd_up 0\n";
        assert_eq!(text(&seen, None).unwrap(), expected);
    }
}
