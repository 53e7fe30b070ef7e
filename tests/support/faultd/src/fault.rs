//! The faults: what each does on the wire, and its parameters. The table in the crate's documentation
//! is made of the same lines.

use crate::call::{Op, Service};
use crate::rng::Rng;
use std::fmt;
use std::time::Duration;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        /// What goes wrong.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Kind { $($(#[doc = $doc])+ $name,)+ }

        impl Kind {
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)+];

            /// The name in scripts and ledgers.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$name => $text,)+ }
            }

            /// One line that says what it does.
            pub fn doc(self) -> &'static str {
                match self { $(Kind::$name => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

kinds! {
    /// The connection is reset and the listener closed for `ms` (200): connects are refused.
    Refuse = "refuse";
    /// Reset (RST) without an answer; the operation is not done (`phase=after`: it is).
    ResetBeforeHead = "reset_before_head";
    /// Half of the answer's head, then reset.
    ResetInHead = "reset_in_head";
    /// The answer's head, then reset.
    ResetAfterHead = "reset_after_head";
    /// `at` bytes of the answer's body, then reset.
    ResetInBody = "reset_in_body";
    /// The whole answer, then reset.
    ResetAfterBody = "reset_after_body";
    /// Reset after `at` bytes of the request's body; the operation is not done.
    ResetInRequest = "reset_in_request";
    /// Closed (FIN) without an answer; the operation is not done (`phase=after`: it is).
    CloseBeforeHead = "close_before_head";
    /// Half of the answer's head, then closed.
    CloseInHead = "close_in_head";
    /// `at` bytes of the body, then closed: Content-Length is honest, so it shows.
    CloseInBody = "close_in_body";
    /// The whole answer, then closed without having announced it.
    CloseAfterBody = "close_after_body";
    /// The body has `at` bytes and Content-Length says so; Content-Range says that it is whole.
    ShortBody = "short_body";
    /// The body has `at` bytes; Content-Length and Content-Range agree on that.
    ShortRange = "short_range";
    /// No Content-Length: the body ends where the connection is closed, after `at` bytes.
    NoLength = "no_length";
    /// Only for `connect`: nothing is accepted for `ms` (0: never again).
    StallAccept = "stall_accept";
    /// No byte of the answer for `ms` (0: until the client leaves); the operation is done (`phase=before`: afterwards).
    StallBeforeHead = "stall_before_head";
    /// Half of the head, a pause of `ms` (0: until the client leaves), the rest.
    StallInHead = "stall_in_head";
    /// `at` bytes of the body, a pause of `ms` (0: until the client leaves), the rest.
    StallInBody = "stall_in_body";
    /// `at` bytes of the request's body are read, then none for `ms` (0: until the client leaves).
    StallInRequest = "stall_in_request";
    /// The body comes in `count` pieces (20) with pauses of `ms` (20) between them.
    Trickle = "trickle";
    /// This `status` (503) instead; `retry_after`, `code`, and `body` xml, none, html, truncated or spaces. The operation is not done (`phase=after`: it is).
    Status = "status";
    /// The operation is done, then the answer is 500.
    ActThen500 = "act_then_500";
    /// Status 200 and an error (`code`, `body` as for status) as body; the operation is not done (`phase=after`: it is).
    ErrorIn200 = "error_in_200";
    /// Content-Range is wrong; `body` says how: shift, longer, total, unit, reversed or missing.
    WrongContentRange = "wrong_content_range";
    /// Content-Length says `count` (1) bytes more than there are; negative: fewer.
    WrongLength = "wrong_length";
    /// The ETag is another one, the bytes are not.
    OtherEtag = "other_etag";
    /// The object is replaced by other bytes of the same size, then read.
    Replace = "replace";
    /// The object is deleted, then read.
    Remove = "remove";
    /// The byte `at` of the body is flipped; `checksum=no` leaves checksum headers out.
    Corrupt = "corrupt";
    /// The byte `at` of the request's body is flipped before the server looks at it.
    CorruptRequest = "corrupt_request";
    /// The answer comes twice.
    Duplicate = "duplicate";
    /// Bytes that are no HTTP, then closed.
    GarbageHead = "garbage_head";
    /// A head of `count` bytes (1 MiB).
    OversizedHead = "oversized_head";
    /// Chunked transfer, correct, with extensions and a trailer: no fault, but rare.
    Chunked = "chunked";
    /// Chunked transfer, broken; `body` says how: size, overflow, data or end.
    ChunkedMalformed = "chunked_malformed";
    /// The operation is done, then the connection is closed without an answer.
    ActThenDrop = "act_then_drop";
    /// The service's answer to credentials that expired.
    ExpiredCredentials = "expired_credentials";
    /// The service's answer to a clock that is wrong, with its own Date `ms` (an hour) ahead.
    SkewedClock = "skewed_clock";
    /// A good answer; at the next request on this connection it is closed.
    Stale = "stale";
    /// `at` bytes of the body, then the sending side is closed and the receiving one left open.
    HalfClose = "half_close";
    /// `status` (307) to `location` (another host), with `region` where given.
    Redirect = "redirect";
    /// `count` (1) answers `100 Continue` that nobody asked for, then the answer.
    Continue = "continue";
    /// The answer and `count` (16) bytes that belong to nothing.
    ExtraBytes = "extra_bytes";
    /// The answer with the header `name` set to `value`.
    SetHeader = "set_header";
    /// The answer without the header `name`.
    DropHeader = "drop_header";
}

/// A place in a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    Byte(usize),
    Mid,
    /// Before the last byte.
    Last,
    /// Behind the last byte.
    End,
}

impl At {
    fn parse(text: &str) -> Result<At, String> {
        match text {
            "mid" => Ok(At::Mid),
            "last" => Ok(At::Last),
            "end" => Ok(At::End),
            _ => text
                .parse()
                .map(At::Byte)
                .map_err(|_| format!("at={text}: expected a number, mid, last or end")),
        }
    }

    /// The offset in a body of `len` bytes, at most `len`.
    pub fn resolve(self, len: usize) -> usize {
        match self {
            At::Byte(at) => at.min(len),
            At::Mid => len / 2,
            At::Last => len.saturating_sub(1),
            At::End => len,
        }
    }
}

/// Whether the operation is done before it fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The operation is not done, or only after the pause.
    Before,
    /// The operation is done.
    After,
}

/// A kind with its parameters. What is not given has the kind's default.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    pub kind: Kind,
    pub at: Option<At>,
    pub ms: Option<u64>,
    pub count: Option<i64>,
    pub status: Option<u16>,
    pub retry_after: Option<String>,
    pub code: Option<String>,
    pub body: Option<String>,
    pub phase: Option<Phase>,
    pub checksum: Option<bool>,
    pub name: Option<String>,
    pub value: Option<String>,
    pub location: Option<String>,
    pub region: Option<String>,
}

impl Fault {
    pub fn new(kind: Kind) -> Fault {
        Fault {
            kind,
            at: None,
            ms: None,
            count: None,
            status: None,
            retry_after: None,
            code: None,
            body: None,
            phase: None,
            checksum: None,
            name: None,
            value: None,
            location: None,
            region: None,
        }
    }

    /// From a kind's name.
    pub fn named(name: &str) -> Result<Fault, String> {
        let kind = Kind::ALL.iter().find(|kind| kind.name() == name);
        kind.map(|kind| Fault::new(*kind)).ok_or_else(|| {
            let all: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            format!("there is no fault {name:?}; there are {}", all.join(", "))
        })
    }

    /// Sets a parameter from text.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let bad = |wanted: &str| format!("{name}={value}: expected {wanted}");
        match name {
            "at" => self.at = Some(At::parse(value)?),
            "ms" => self.ms = Some(value.parse().map_err(|_| bad("milliseconds"))?),
            "count" => self.count = Some(value.parse().map_err(|_| bad("a whole number"))?),
            "status" => {
                let status = value.parse().ok().filter(|status| (200..600).contains(status));
                self.status = Some(status.ok_or_else(|| bad("an HTTP status from 200"))?);
            }
            "phase" => {
                self.phase = Some(match value {
                    "before" => Phase::Before,
                    "after" => Phase::After,
                    _ => return Err(bad("before or after")),
                });
            }
            "checksum" => {
                self.checksum = Some(match value {
                    "yes" | "true" => true,
                    "no" | "false" => false,
                    _ => return Err(bad("yes or no")),
                });
            }
            "retry_after" => self.retry_after = Some(value.to_owned()),
            "code" => self.code = Some(value.to_owned()),
            "body" => self.body = Some(value.to_owned()),
            "name" => self.name = Some(value.to_owned()),
            "value" => self.value = Some(value.to_owned()),
            "location" => self.location = Some(value.to_owned()),
            "region" => self.region = Some(value.to_owned()),
            _ => return Err(format!("there is no parameter {name:?}")),
        }
        Ok(())
    }

    /// As [`Fault::set`], for chains in tests: a parameter that does not parse is a defect of the test.
    ///
    /// # Panics
    /// Where the parameter is unknown or malformed.
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Fault {
        if let Err(why) = self.set(name, &value.to_string()) {
            panic!("{}: {why}", self.kind.name());
        }
        self
    }

    /// Where a body is cut, stalled or changed: the middle unless said.
    pub fn place(&self, len: usize) -> usize {
        let default = if self.kind == Kind::NoLength { At::End } else { At::Mid };
        self.at.unwrap_or(default).resolve(len)
    }

    /// How long a stall lasts; `None`: until the client leaves.
    pub fn pause(&self) -> Option<Duration> {
        self.ms.filter(|ms| *ms > 0).map(Duration::from_millis)
    }

    /// Whether the operation is done before the answer is formed.
    pub fn acts(&self) -> bool {
        let default = match self.kind {
            Kind::Refuse
            | Kind::ResetBeforeHead
            | Kind::CloseBeforeHead
            | Kind::Status
            | Kind::ErrorIn200
            | Kind::ExpiredCredentials
            | Kind::SkewedClock
            | Kind::Redirect
            | Kind::ResetInRequest => Phase::Before,
            _ => Phase::After,
        };
        let fixed = matches!(self.kind, Kind::Refuse | Kind::ResetInRequest);
        (if fixed { default } else { self.phase.unwrap_or(default) }) == Phase::After
    }

    /// Whether the fault means something for this operation, and can be told from a good answer.
    pub fn is_legal(&self, service: Service, op: Op) -> bool {
        use Kind::*;
        let body = op.answers_with_body(service);
        let write =
            matches!(op, Op::Put | Op::Delete | Op::DeleteMany | Op::Copy | Op::CompleteUpload | Op::PutPart);
        if op == Op::Connect {
            return matches!(self.kind, Refuse | StallAccept | ResetBeforeHead | CloseBeforeHead);
        }
        match self.kind {
            StallAccept => false,
            ResetInBody | CloseInBody | StallInBody | Trickle | Chunked | ChunkedMalformed | NoLength
            | HalfClose | ShortBody => body,
            ResetInRequest | StallInRequest | CorruptRequest => op.sends_body(service),
            ShortRange | WrongContentRange | OtherEtag | Replace | Remove => op == Op::Get,
            Corrupt => op == Op::Get,
            ErrorIn200 => {
                service == Service::S3
                    && matches!(op, Op::CompleteUpload | Op::Copy | Op::DeleteMany | Op::CopyPart)
            }
            WrongLength => op != Op::Head && op != Op::HeadContainer,
            ActThenDrop | ActThen500 => write || matches!(op, Op::CreateUpload | Op::AbortUpload),
            _ => true,
        }
    }

    /// A fault that is legal for this operation: the kind from `among` (empty: all) and its
    /// parameters from the stream. Stalls last 50 ms at most; nothing closes the listener.
    pub fn any(among: &[Kind], service: Service, op: Op, rng: &mut Rng) -> Option<Fault> {
        let kinds = if among.is_empty() { Kind::ALL } else { among };
        let unfit =
            [Kind::Refuse, Kind::StallAccept, Kind::Replace, Kind::Remove, Kind::SetHeader, Kind::DropHeader];
        let legal: Vec<Kind> = kinds
            .iter()
            .copied()
            .filter(|kind| {
                (!among.is_empty() || !unfit.contains(kind)) && Fault::new(*kind).is_legal(service, op)
            })
            .collect();
        let kind = *legal.get(rng.below(legal.len() as u64) as usize)?;
        let mut fault = Fault::new(kind);
        let places = [At::Byte(0), At::Byte(1), At::Mid, At::Last, At::Byte(rng.below(1 << 16) as usize)];
        fault.at = Some(places[rng.below(places.len() as u64) as usize]);
        let pick =
            |words: &[&str], rng: &mut Rng| Some(words[rng.below(words.len() as u64) as usize].to_owned());
        match kind {
            Kind::Status => {
                let statuses = [408, 429, 500, 502, 503, 504];
                fault.status = Some(statuses[rng.below(statuses.len() as u64) as usize]);
                fault.body = pick(&["xml", "none", "html"], rng);
            }
            Kind::ErrorIn200 => fault.body = pick(&["xml", "none", "html", "truncated", "spaces"], rng),
            Kind::WrongContentRange => {
                fault.body = pick(&["shift", "longer", "total", "unit", "reversed", "missing"], rng);
            }
            Kind::ChunkedMalformed => fault.body = pick(&["size", "overflow", "data", "end"], rng),
            Kind::StallBeforeHead | Kind::StallInHead | Kind::StallInBody | Kind::StallInRequest => {
                fault.ms = Some(1 + rng.below(50));
            }
            Kind::Trickle => (fault.count, fault.ms) = (Some(5), Some(1)),
            Kind::NoLength | Kind::HalfClose if rng.below(2) == 0 => fault.at = Some(At::End),
            _ => {}
        }
        Some(fault)
    }
}

impl fmt::Display for Fault {
    /// The kind and its parameters, as a line of a script has them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match self.at {
            Some(At::Byte(at)) => write!(f, " at={at}")?,
            Some(At::Mid) => f.write_str(" at=mid")?,
            Some(At::Last) => f.write_str(" at=last")?,
            Some(At::End) => f.write_str(" at=end")?,
            None => {}
        }
        let shown = [
            ("ms", self.ms.map(|n| n.to_string())),
            ("count", self.count.map(|n| n.to_string())),
            ("status", self.status.map(|n| n.to_string())),
            ("retry_after", self.retry_after.clone()),
            ("code", self.code.clone()),
            ("body", self.body.clone()),
            ("phase", self.phase.map(|p| if p == Phase::Before { "before" } else { "after" }.to_owned())),
            ("checksum", self.checksum.map(|yes| if yes { "yes" } else { "no" }.to_owned())),
            ("name", self.name.clone()),
            ("value", self.value.clone()),
            ("location", self.location.clone()),
            ("region", self.region.clone()),
        ];
        shown.into_iter().try_for_each(|(name, value)| match value {
            Some(value) => write!(f, " {name}={value}"),
            None => Ok(()),
        })
    }
}
