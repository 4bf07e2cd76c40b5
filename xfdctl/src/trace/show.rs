// SPDX-License-Identifier: GPL-2.0
//! Events as text.

use super::{Event, What};
use crate::text::{end, facility, is_permitted, name, seconds};
use std::fmt::Write;

/// A JSON object on one line.
pub fn json(event: &Event) -> anyhow::Result<String> {
    Ok(serde_json::to_string(event)? + "\n")
}

/// The five steps of a first use; a line for any other event.
pub fn steps(event: &Event) -> anyhow::Result<String> {
    let What::FirstUse(first) = &event.what else { return Ok(line(event)) };
    let who = &event.who;
    let process = who.tgid.map_or_else(String::new, |tgid| format!(" of process {tgid}"));
    let mut text = format!("{} {} (thread {}{process}, CPU {})\n", seconds(event.ns), name(who), who.tid, event.cpu);
    let mut step = |number: u32, what: &str, outcome: String| writeln!(text, "  {number}  {what:<15}{outcome}");
    step(1, "read XFD_ERR", format!("{:#x}, {}", first.xfd_err, facility(first.xfd_err)))?;
    step(2, "clear XFD_ERR", format!("{:#x}", first.xfd_err_after))?;
    let is = if is_permitted(first) { "is in it" } else { "is not in it" };
    step(3, "permission", format!("{:#x}, {} {is}", first.permitted, facility(first.xfd_err)))?;
    step(4, "buffer", format!("{} bytes", change(first.size_before, first.size_after)))?;
    let xfd = if first.xfd_before == first.xfd_after {
        format!("still {:#x}, armed", first.xfd_after)
    } else {
        format!("{:#x} -> {:#x}", first.xfd_before, first.xfd_after)
    };
    step(5, "XFD", xfd)?;
    let (word, style) = end(first.verdict);
    writeln!(text, "     {style}{word}{style:#}, after {} ticks", first.tsc)?;
    Ok(text)
}

/// An event on one line.
pub fn line(event: &Event) -> String {
    let who = &event.who;
    let at = seconds(event.ns);
    let what = match &event.what {
        What::FirstUse(first) => {
            let (_, style) = end(first.verdict);
            let change = if first.size_before == first.size_after {
                first.size_after.to_string()
            } else {
                format!("{}->{}", first.size_before, first.size_after)
            };
            let word = first.verdict.word();
            format!("{style}{word:<8}{style:#} {change} bytes, {} ticks", first.tsc)
        }
        What::Reclaimed { bytes } => format!("reclaimed {bytes} bytes"),
        What::Regrown { bytes } => format!("regrown  {bytes} bytes"),
        What::GuestGrown { size_before, size_after, .. } => {
            format!("guest {} bytes", change(*size_before, *size_after))
        }
        What::Lost { count: 0 } => return format!("{at} some events were lost on CPU {}\n", event.cpu),
        What::Lost { count } => return format!("{at} {count} events were lost on CPU {}\n", event.cpu),
        What::Other => "an event that this xfdctl does not know".to_owned(),
    };
    format!("{at:>13} {:<3} {:<15} {:>7} {what}\n", event.cpu, name(who), who.tid)
}

/// The old and the new value, or the one that did not change.
fn change(before: u64, after: u64) -> String {
    if before == after {
        format!("still {after}")
    } else {
        format!("{before} -> {after}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::event::{FirstUse, Who};
    use crate::events::Verdict;
    use proptest::prelude::*;

    fn event(what: What) -> Event {
        let who = Who { tid: 130, tgid: Some(129), comm: Some("amx_demo".into()), cgroup: None };
        Event { ns: 12_345_678_901, cpu: 1, who, what }
    }

    fn first_use(verdict: Verdict) -> Event {
        let granted = verdict == Verdict::Resume;
        event(What::FirstUse(FirstUse {
            xfd_err: 0x40000,
            xfd_err_after: 0,
            permitted: if granted { 0x60ae7 } else { 0x20ae7 },
            size_before: 2560,
            size_after: if granted { 10752 } else { 2560 },
            xfd_before: 0x40000,
            xfd_after: if granted { 0 } else { 0x40000 },
            verdict,
            tsc: 1039,
        }))
    }

    fn shown(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn five_steps() {
        let text = "12.345678 amx_demo (thread 130 of process 129, CPU 1)
  1  read XFD_ERR   0x40000, tile data
  2  clear XFD_ERR  0x0
  3  permission     0x20ae7, tile data is not in it
  4  buffer         still 2560 bytes
  5  XFD            still 0x40000, armed
     SIGILL, after 1039 ticks
";
        assert_eq!(shown(&steps(&first_use(Verdict::Sigill)).unwrap()), text);
        let text = shown(&steps(&first_use(Verdict::Resume)).unwrap());
        for line in
            ["0x60ae7, tile data is in it", "2560 -> 10752 bytes", "0x40000 -> 0x0\n", "     back to the instr"]
        {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn lines() {
        let of = |what| shown(&steps(&event(what)).unwrap());
        assert_eq!(
            of(What::Reclaimed { bytes: 12288 }),
            "    12.345678 1   amx_demo            130 reclaimed 12288 bytes\n"
        );
        assert!(of(What::Regrown { bytes: 12288 }).ends_with("130 regrown  12288 bytes\n"));
        assert_eq!(of(What::Lost { count: 7 }), "12.345678 7 events were lost on CPU 1\n");
        let text = shown(&line(&first_use(Verdict::Resume)));
        assert_eq!(text, "    12.345678 1   amx_demo            130 resume   2560->10752 bytes, 1039 ticks\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            ns: u64,
            cpu: u32,
            tid: i32,
            comm in ".*",
            verdict in 0..4_usize,
            tsc: u64,
            lost: bool,
        ) {
            let mut event = first_use([Verdict::Resume, Verdict::Sigill, Verdict::Sigsegv, Verdict::Unknown][verdict]);
            (event.ns, event.cpu, event.who.tid, event.who.comm) = (ns, cpu, tid, Some(comm));
            if let What::FirstUse(first) = &mut event.what {
                first.tsc = tsc;
            }
            if lost {
                event.what = What::Lost { count: tsc };
            }
            let text = json(&event).unwrap();
            prop_assert_eq!(text.matches('\n').count(), 1);
            prop_assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        }
    }
}
