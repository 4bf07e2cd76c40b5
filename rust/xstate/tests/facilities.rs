// SPDX-License-Identifier: GPL-2.0
//! One to three facilities of one or two components each, requested and used in any order. There is
//! at most one #NM per thread and facility, and always space for whatever is not armed.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use xstate::arming;
use xstate::buffer::{self, Masks, Need};
use xstate::capacity::Capacities;
use xstate::facility::{Facilities, Facility};
use xstate::idle::{classify, Clock, Idleness};
use xstate::layout::{Component, Format, Layout};
use xstate::nm_event::NmEvent;
use xstate::permission::{self, Answer, PermissionKind};
use xstate::xfeature::Xfeatures;

/// The components that every process has.
const DEFAULT: Xfeatures = Xfeatures::from_bits(0x7);
/// The first component that a facility may use.
const FIRST: u32 = 3;
const COMPONENTS: usize = 17;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// `ARCH_REQ_XCOMP_PERM` for this facility, an index into the table.
    Ask(usize),
    /// An instruction that uses this component of this facility.
    Use(usize, usize),
    /// The other thread runs.
    Switch,
    /// TILERELEASE, or its counterpart for this facility.
    Release(usize),
    /// Two reclaim scans, both of which find the thread blocked.
    Reclaim,
}

#[derive(Clone)]
struct Thread {
    masks: Masks,
    kernel_size: u32,
    user_size: u32,
    /// Components that are not in their initial state.
    live: Xfeatures,
    /// The number of #NMs served for each facility since the buffer was last reclaimed.
    served: [u32; 3],
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0usize..3).prop_map(Step::Ask),
        (0usize..3, 0usize..2).prop_map(|(facility, part)| Step::Use(facility, part)),
        (0usize..3).prop_map(Step::Release),
        Just(Step::Switch),
        Just(Step::Reclaim),
    ];
    vec(step, 1..40)
}

/// Tables of disjoint facilities with one or two components each.
fn tables() -> impl Strategy<Value = Vec<Facility>> {
    let all: Vec<u32> = (FIRST..FIRST + COMPONENTS as u32).collect();
    (subsequence(all, 6).prop_shuffle(), vec(1usize..=2, 1..=3)).prop_map(|(numbers, sizes)| {
        let mut numbers = numbers.into_iter();
        let facility = |&size: &usize| {
            let bits = numbers
                .by_ref()
                .take(size)
                .fold(0, |bits, nr| bits | 1 << nr);
            Facility::of(Xfeatures::from_bits(bits), Xfeatures::NONE)
        };
        sizes.iter().map(facility).collect()
    })
}

fn layout(format: Format, sizes: &[u32], aligned: &[bool]) -> Layout {
    let ends: Vec<u32> = sizes
        .iter()
        .scan(576 + 256u32, |end, size| {
            let begin: u32 = (*end).next_multiple_of(64);
            *end = begin + size;
            Some(begin)
        })
        .collect();
    Layout::new(format, |i| match i {
        2 => Component {
            size: 256,
            offset: 576,
            aligned64: false,
        },
        _ => {
            let n = (i - FIRST) as usize;
            Component {
                size: sizes[n],
                offset: ends[n],
                aligned64: aligned[n],
            }
        }
    })
}

impl Thread {
    /// A thread with the built-in buffer. Everything that can be requested is armed.
    fn new(dynamic: Xfeatures, capacities: &Capacities) -> Self {
        let capacity = capacities.with(DEFAULT);
        Thread {
            masks: Masks {
                xfeatures: DEFAULT,
                user_xfeatures: DEFAULT,
                xfd: dynamic,
            },
            kernel_size: capacity.kernel_size(),
            user_size: capacity.user_size(),
            live: Xfeatures::NONE,
            served: [0; 3],
        }
    }

    fn check(&self, dynamic: Xfeatures, capacities: &Capacities, format: Format) {
        let Masks {
            xfeatures,
            user_xfeatures,
            xfd,
        } = self.masks;
        assert!(xfeatures.contains(dynamic & !xfd), "disarmed without space");
        assert!(xfeatures.contains(self.live), "live without space");
        assert!(capacities.layout().size(xfeatures, format) <= self.kernel_size);
        assert!(capacities.layout().size(user_xfeatures, Format::Standard) <= self.user_size);
        assert!(self.served.iter().all(|&n| n <= 1), "{:?}", self.served);
    }
}

proptest! {
    #[test]
    fn one_nm_for_each_thread_and_facility(
        table in tables(),
        compacted: bool,
        sizes in vec(select(vec![8u32, 16, 64, 128, 1024, 8192]), COMPONENTS),
        aligned in vec(any::<bool>(), COMPONENTS),
        steps in steps(),
    ) {
        let format = if compacted { Format::Compacted } else { Format::Standard };
        let facilities = Facilities::new(&table);
        let dynamic = facilities.components();
        let supported = DEFAULT | dynamic;
        let capacities = Capacities::new(layout(format, &sizes, &aligned), supported, [supported, DEFAULT]);
        let mut permitted = DEFAULT;
        let mut threads = [Thread::new(dynamic, &capacities), Thread::new(dynamic, &capacities)];
        let mut running = 0;
        // IA32_XFD and the kernel's copy of it, which must agree.
        let mut cpu = dynamic;
        for step in steps {
            match step {
                Step::Ask(n) => {
                    let Some(facility) = table.get(n) else { continue };
                    let asked = facilities.requested(u64::from(facility.number().nr()), supported).unwrap();
                    prop_assert_eq!(asked, facility.components());
                    match permission::request(permitted, asked, PermissionKind::Host, &capacities).unwrap() {
                        Answer::Already => prop_assert!(permitted.contains(asked)),
                        Answer::Grant(granted) => {
                            prop_assert_eq!(granted.xfeatures, permitted | asked);
                            permitted = granted.xfeatures;
                        }
                    }
                }
                Step::Use(n, part) => {
                    let Some(facility) = table.get(n) else { continue };
                    let components: Vec<_> = facility.components().extended().collect();
                    let used = components[part % components.len()].mask();
                    if (cpu & used).is_empty() {
                        threads[running].live = threads[running].live | used;
                        continue;
                    }
                    let NmEvent::FirstUse(used) = NmEvent::from_xfd_err(used.bits(), facilities) else {
                        panic!("not served")
                    };
                    prop_assert_eq!(used, facility.components());
                    if !permission::allows(permitted, used) {
                        continue;
                    }
                    let thread = &mut threads[running];
                    let Need::Enlarge(capacity) = buffer::need(thread.masks, used, permitted, &capacities) else {
                        panic!("the CPU was armed, the thread was not")
                    };
                    thread.masks = buffer::commit(thread.masks, used, &capacity).unwrap();
                    (thread.kernel_size, thread.user_size) = (capacity.kernel_size(), capacity.user_size());
                    thread.served[n] += 1;
                    thread.live = thread.live | used;
                    cpu = arming::write_needed(cpu, thread.masks.xfd).unwrap_or(cpu);
                    prop_assert!((cpu & used).is_empty(), "the instruction would trap again");
                }
                Step::Switch => {
                    running ^= 1;
                    cpu = arming::write_needed(cpu, threads[running].masks.xfd).unwrap_or(cpu);
                }
                Step::Release(n) => {
                    if let Some(facility) = table.get(n) {
                        let live = &mut threads[running].live;
                        *live = *live & !facility.components();
                    }
                }
                Step::Reclaim => {
                    let blocked = &mut threads[running ^ 1];
                    let seen = |noted| classify(blocked.live, noted, Clock::at(1), 0, 0);
                    let noted = match seen(None) {
                        Idleness::IdleSince(note) => Some(note),
                        Idleness::InUse => None,
                        Idleness::Reclaimable => panic!("reclaimed at the first scan"),
                    };
                    if seen(noted) == Idleness::Reclaimable {
                        prop_assert!(blocked.live.is_empty());
                        *blocked = Thread::new(dynamic, &capacities);
                    }
                }
            }
            for thread in &threads {
                thread.check(dynamic, &capacities, format);
            }
            prop_assert_eq!(cpu, threads[running].masks.xfd);
        }
    }
}
