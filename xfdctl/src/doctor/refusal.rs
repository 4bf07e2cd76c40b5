// SPDX-License-Identifier: GPL-2.0
//! Why a program's request for tiles was refused.

use super::cure;
use super::program::{Process, Request};
use nix::errno::Errno;

/// The last refused request, unless a later one of the same kind was granted.
pub fn last_refused(process: &Process) -> Option<&Request> {
    let refused = process.requests.iter().rposition(|request| request.errno != 0 && !request.void)?;
    let request = &process.requests[refused];
    let made_up = |later: &Request| later.errno == 0 && later.for_guests == request.for_guests;
    (!process.requests[refused..].iter().any(made_up)).then_some(request)
}

/// The reason for a refusal. `gives_tiles` says whether the kernel grants tiles.
pub fn why(process: &Process, request: &Request, gives_tiles: bool) -> String {
    let errno = Errno::from_raw(request.errno);
    match (errno, &request.stack) {
        (Errno::ENOSPC, Some(stack)) => format!(
            "the alternate signal stack of thread {} ({}) has {} bytes, too few for signal frames with tiles (ENOSPC)",
            stack.tid, stack.thread, stack.bytes
        ),
        (Errno::ENOSPC, None) => {
            "an alternate signal stack is too small for signal frames with tiles (ENOSPC)".to_owned()
        }
        (Errno::EBUSY, _) => "the process had created a virtual CPU before it asked (EBUSY)".to_owned(),
        _ if is_filters(process, errno, gives_tiles) => {
            format!("its request failed with {errno}, which comes from its seccomp filter and not from the kernel")
        }
        _ => format!("its request failed with {errno}"),
    }
}

/// What to do about it.
pub fn cure_of(process: &Process, request: &Request, gives_tiles: bool) -> &'static str {
    match Errno::from_raw(request.errno) {
        Errno::ENOSPC => cure::ALT_STACK,
        Errno::EBUSY => cure::VCPU,
        errno if is_filters(process, errno, gives_tiles) => cure::FILTER,
        _ => "this machine or kernel has no usable tiles: see above",
    }
}

/// Whether the errno comes from a filter, because the kernel never returns it.
fn is_filters(process: &Process, errno: Errno, gives_tiles: bool) -> bool {
    let of_a_kernel = matches!(errno, Errno::ENOSPC | Errno::EBUSY | Errno::EOPNOTSUPP);
    process.filtered && !of_a_kernel && (gives_tiles || errno != Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(requests: &[(bool, Errno)]) -> Process {
        let request = |&(for_guests, errno)| Request { for_guests, errno: errno as i32, void: false, stack: None };
        Process { requests: requests.iter().map(request).collect(), filtered: true, ..Process::default() }
    }

    #[test]
    fn a_request_that_was_granted_later_is_not_refused() {
        let granted = Errno::UnknownErrno;
        assert_eq!(granted as i32, 0);
        assert!(last_refused(&asked(&[(false, Errno::ENOSPC), (false, granted)])).is_none());
        assert!(last_refused(&asked(&[(false, Errno::ENOSPC), (true, granted)])).is_some());
        let mut asked = asked(&[(false, granted), (false, Errno::EPERM)]);
        assert!(last_refused(&asked).is_some());
        // The program before exec was refused.
        asked.requests[1].void = true;
        assert!(last_refused(&asked).is_none());
    }

    #[test]
    fn a_filter_is_recognized_by_its_errno() {
        let filters = |errno, gives_tiles| is_filters(&asked(&[]), errno, gives_tiles);
        assert!(filters(Errno::EPERM, true) && filters(Errno::EINVAL, true));
        assert!(!filters(Errno::EINVAL, false) && !filters(Errno::EOPNOTSUPP, true) && !filters(Errno::ENOSPC, true));
        assert!(!is_filters(&Process::default(), Errno::EPERM, true));
    }
}
