//! The table's word for a failure of the data plane.

use super::classify::Lost;
use crate::error::Code;
use crate::net::{Failure, Phase};

impl Lost {
    /// What was lost, `late` if the operation's deadline has passed; `None` where another attempt would
    /// fail alike. What cannot have arrived is never a loss that leaves a write's outcome open.
    pub fn of(failure: &Failure, late: bool) -> Option<Lost> {
        let (code, phase) = (failure.code(), failure.phase());
        if phase <= Phase::Tls || !failure.sent() {
            return match (phase, code) {
                _ if failure.is_ours() => None,
                (_, Code::Dns) if failure.is_no_such_host() => Some(Lost::NoSuchHost),
                (_, Code::Dns) => Some(Lost::Resolve),
                (_, Code::Tls) => Some(Lost::Tls),
                (_, Code::Timeout) => Some(Lost::ConnectTimeout),
                (Phase::Connect, Code::Connection | Code::Unavailable | Code::Io) => Some(Lost::Refused),
                (_, Code::Connection | Code::Protocol | Code::Io) => Some(Lost::Unsent),
                _ => None,
            };
        }
        match code {
            Code::Timeout if late || failure.is_deadline() => Some(Lost::Deadline),
            Code::Timeout if failure.errno().is_none() => Some(Lost::ProgressTimeout),
            Code::Truncated => Some(Lost::Truncated),
            Code::Protocol => Some(Lost::Malformed),
            Code::Connection | Code::Timeout | Code::Io | Code::Tls | Code::Dns => Some(match phase {
                _ if failure.stale() => Lost::Stale,
                _ if failure.answered() => Lost::Answering,
                _ if failure.whole() => Lost::Waiting,
                _ => Lost::Sending,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::net::head::Malformed;
    use crate::net::retry::classify::{Failure as Cause, Service, find};
    use std::io;
    use std::time::Duration;

    #[test]
    fn what_cannot_have_arrived_leaves_no_outcome_open() {
        let phases =
            [Phase::Wait, Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Send, Phase::Head, Phase::Body];
        for code in [Code::Timeout, Code::Dns, Code::Tls, Code::Protocol, Code::Connection, Code::Io] {
            for (phase, sent, late) in
                phases.into_iter().flat_map(|p| [(p, false, false), (p, false, true), (p, true, true)])
            {
                let failure = Failure::new(phase, code, "peer", "what").with_sent(sent);
                let lost = Lost::of(&failure, late).unwrap();
                let open = find(Service::Azure, &Cause::Lost(lost)).leaves_open();
                let may_have_arrived = sent && phase > Phase::Tls;
                assert!(may_have_arrived || !open, "{code:?} {phase:?} sent: {sent} late: {late}: {lost:?}");
                if may_have_arrived && phase > Phase::Send && code != Code::Dns {
                    assert!(open, "{code:?} {phase:?} late: {late}: {lost:?}");
                }
            }
        }
        assert_eq!(Lost::of(&Failure::new(Phase::Send, Code::Internal, "peer", "what"), false), None);
    }

    #[test]
    fn i1_each_failure_has_its_word() {
        let eof = io::Error::from(io::ErrorKind::UnexpectedEof);
        let reset = io::Error::from_raw_os_error(libc::ECONNRESET);
        let lost = |phase, error| Failure::from_io(phase, "h:80", error);
        let of = |kind| Failure::unresolved("h:80", &io::Error::from(kind));
        let time = Duration::from_secs(1);
        let ours = Failure::from_error(Phase::Tls, "h:80", Error::new(Code::Tls, "no authorities"));
        let cases = [
            (of(io::ErrorKind::NotFound), Some(Lost::NoSuchHost)),
            (of(io::ErrorKind::Other), Some(Lost::Resolve)),
            (Failure::deadline(Phase::Wait, "h:80"), Some(Lost::ConnectTimeout)),
            (Failure::timeout(Phase::Connect, "h:80", time, "x"), Some(Lost::ConnectTimeout)),
            (Failure::new(Phase::Connect, Code::Unauthenticated, "h:80", "407"), None),
            (Failure::new(Phase::Connect, Code::Unavailable, "h:80", "502"), Some(Lost::Refused)),
            (lost(Phase::Tls, &eof), Some(Lost::Unsent)),
            (ours, None),
            (lost(Phase::Send, &reset).with_sent(false).with_stale(true), Some(Lost::Unsent)),
            (lost(Phase::Send, &reset).with_sent(true), Some(Lost::Sending)),
            (lost(Phase::Send, &reset).with_sent(true).with_whole(true), Some(Lost::Waiting)),
            (lost(Phase::Send, &reset).with_sent(true).with_stale(true), Some(Lost::Stale)),
            (lost(Phase::Head, &eof), Some(Lost::Waiting)),
            (lost(Phase::Head, &eof).with_stale(true), Some(Lost::Stale)),
            (lost(Phase::Head, &eof).with_answered(true), Some(Lost::Answering)),
            (Failure::timeout(Phase::Head, "h:80", time, "x"), Some(Lost::ProgressTimeout)),
            (Failure::deadline(Phase::Body, "h:80"), Some(Lost::Deadline)),
            (Failure::malformed(Phase::Head, "h:80", Malformed("x".into())), Some(Lost::Malformed)),
            (lost(Phase::Body, &eof), Some(Lost::Truncated)),
            (lost(Phase::Body, &reset), Some(Lost::Answering)),
        ];
        for (failure, expected) in cases {
            assert_eq!(Lost::of(&failure, false), expected, "{failure:?}");
        }
        let slow = Failure::timeout(Phase::Head, "h:80", time, "x");
        assert_eq!(Lost::of(&slow, true), Some(Lost::Deadline));
    }
}
