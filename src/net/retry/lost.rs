//! The table's word for a failure of the data plane.

use super::classify::Lost;
use crate::error::Code;
use crate::net::{Failure, Phase};

impl Lost {
    /// What was lost, `late` if the operation's deadline has passed; `None` where another attempt would
    /// fail alike. What cannot have arrived is never a loss that leaves a write's outcome open.
    pub fn of(failure: &Failure, late: bool) -> Option<Lost> {
        let (code, phase) = (failure.code(), failure.phase());
        let unsent = phase <= Phase::Tls || !failure.sent();
        Some(match code {
            Code::Timeout if unsent => Lost::ConnectTimeout,
            Code::Timeout if late => Lost::Deadline,
            Code::Timeout => Lost::ProgressTimeout,
            Code::Dns => Lost::Resolve,
            Code::Tls if unsent => Lost::Tls,
            Code::Truncated => Lost::Truncated,
            Code::Protocol if unsent => Lost::Unsent,
            Code::Protocol => Lost::Malformed,
            Code::Connection | Code::Io | Code::Tls => match phase {
                Phase::Wait | Phase::Resolve | Phase::Connect => Lost::Refused,
                Phase::Tls => Lost::Unsent,
                _ if unsent => Lost::Unsent,
                _ if failure.stale() => Lost::Stale,
                Phase::Send => Lost::Sending,
                Phase::Head => Lost::Waiting,
                Phase::Body => Lost::Answering,
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::retry::classify::{Failure as Cause, Service, find};

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
}
