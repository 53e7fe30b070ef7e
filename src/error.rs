//! The one error type of the crate, and the numbered codes that the C ABI returns.
//!
//! An [`Error`] says what was done (operation, URI), what went wrong (message, cause chain, HTTP
//! status, errno), and what to do about it (retryable, hint). Code numbers are part of the C ABI:
//! they are never renumbered or reused.

use std::ffi::CStr;
use std::fmt;
use std::time::Duration;

/// The result of everything fallible in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $text:literal;)+) => {
        /// What kind of failure it was. The number is the status that the C functions return.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(i32)]
        #[non_exhaustive]
        pub enum Code { $($(#[doc = $doc])+ $name = $number,)+ }

        impl Code {
            /// Every code, in the order of its number (for documentation and tests).
            pub const ALL: &'static [Code] = &[$(Code::$name,)+];

            /// The stable lower-case name, such as `not_found`.
            pub fn name(self) -> &'static str {
                match self { $(Code::$name => $text,)+ }
            }

            /// The code with this number, if there is one.
            pub fn from_number(number: i32) -> Option<Code> {
                match number { $($number => Some(Code::$name),)+ _ => None }
            }

            /// [`Code::name`] with a NUL at its end, for C.
            pub fn c_name(self) -> &'static CStr {
                match self { $(Code::$name => const { c_text(concat!($text, "\0")) },)+ }
            }

            /// [`Code::doc`] with a NUL at its end, for C.
            pub fn c_doc(self) -> &'static CStr {
                match self { $(Code::$name => const { c_text(concat!($($doc,)+ "\0")) },)+ }
            }

            /// One line that says what the code means.
            pub fn doc(self) -> &'static str {
                match self { $(Code::$name => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

/// `text`, which ends in a NUL, without the space that starts a doc comment.
const fn c_text(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.trim_ascii_start().as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    }
}

codes! {
    /// An argument is NULL, out of its domain or contradicts another one.
    InvalidArgument = -1, "invalid_argument";
    /// The handle is stale, was freed before, or is of another type.
    BadHandle = -2, "bad_handle";
    /// A defect of this library (a caught panic); the handle is poisoned.
    Internal = -3, "internal";
    /// The handle was used by a call that panicked and refuses further work.
    Poisoned = -4, "poisoned";
    /// The call does not fit the handle's state, such as a write after finish.
    InvalidState = -5, "invalid_state";
    /// The handle was inherited through fork() and works only in the parent.
    Forked = -6, "forked";
    /// The library was shut down.
    Shutdown = -7, "shutdown";
    /// A blocking call was made on one of the library's own threads.
    WouldDeadlock = -8, "would_deadlock";
    /// The backend or this build cannot do this.
    Unsupported = -9, "unsupported";
    /// The operation was cancelled.
    Cancelled = -10, "cancelled";
    /// The URI cannot be parsed or its scheme is unknown.
    InvalidUri = -11, "invalid_uri";
    /// The key is not legal for this store, or would leave its root.
    InvalidKey = -12, "invalid_key";
    /// There is no option of this name.
    UnknownOption = -13, "unknown_option";
    /// The option's value has the wrong type or is out of bounds.
    InvalidOption = -14, "invalid_option";
    /// There is no object of this key.
    NotFound = -20, "not_found";
    /// There is no such bucket, container or root folder.
    ContainerNotFound = -21, "container_not_found";
    /// Something of this name exists already.
    AlreadyExists = -22, "already_exists";
    /// The object's ETag is not the one that if-match demanded.
    PreconditionFailed = -23, "precondition_failed";
    /// The object was replaced while it was being read, copied or moved.
    Changed = -24, "changed";
    /// The container still holds objects.
    NotEmpty = -25, "not_empty";
    /// The range starts past the end of the object.
    Range = -26, "range";
    /// The caller's memory is smaller than the object; the error's detail `required` says the size.
    BufferTooSmall = -27, "buffer_too_small";
    /// The credentials do not permit this.
    PermissionDenied = -30, "permission_denied";
    /// Credentials are missing, malformed, expired or refused.
    Unauthenticated = -31, "unauthenticated";
    /// The host name could not be resolved.
    Dns = -40, "dns";
    /// The connection was refused, reset or closed.
    Connection = -41, "connection";
    /// TLS could not be established, or the certificate is not trusted.
    Tls = -42, "tls";
    /// A deadline passed.
    Timeout = -43, "timeout";
    /// The server is overloaded or temporarily failing (429, 500, 502, 503, 504).
    Unavailable = -44, "unavailable";
    /// The server answered with an error that has no code of its own.
    Server = -45, "server";
    /// The server's answer breaks its protocol.
    Protocol = -46, "protocol";
    /// It is unknown whether the write took effect: it may have arrived, and no usable answer came.
    UnknownOutcome = -47, "unknown_outcome";
    /// An operating system call failed; see errno.
    Io = -50, "io";
    /// The device or quota is full.
    NoSpace = -51, "no_space";
    /// Memory could not be had.
    OutOfMemory = -52, "out_of_memory";
    /// A checksum does not match the bytes.
    ChecksumMismatch = -60, "checksum_mismatch";
    /// Fewer bytes came than were promised.
    Truncated = -61, "truncated";
    /// Stored data is malformed, such as a broken zstd frame.
    Corrupt = -62, "corrupt";
}

/// A failure with everything that is known about it. Cheap to move; build it with [`Error::new`]
/// and the `with_` methods, innermost facts first. Clone: a latched error is given again to every later call.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    message: String,
    causes: Vec<String>,
    operation: Option<&'static str>,
    uri: Option<String>,
    retryable: bool,
    http_status: Option<u16>,
    os_errno: Option<i32>,
    request_id: Option<String>,
    attempts: Option<u32>,
    elapsed: Option<Duration>,
    hint: Option<String>,
    details: Vec<(&'static str, String)>,
}

impl Error {
    /// An error of this code; `message` says what was wrong and what was expected.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let retryable = matches!(code, Code::Dns | Code::Connection | Code::Timeout | Code::Unavailable);
        Error(Box::new(Inner {
            code,
            message: message.into(),
            causes: Vec::new(),
            operation: None,
            uri: None,
            retryable,
            http_status: None,
            os_errno: None,
            request_id: None,
            attempts: None,
            elapsed: None,
            hint: None,
            details: Vec::new(),
        }))
    }

    /// An error of an operating system call: the errno decides the code.
    pub fn from_io(message: impl fmt::Display, source: &std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let code = match (source.raw_os_error(), source.kind()) {
            (Some(libc::ENOSPC | libc::EDQUOT), _) => Code::NoSpace,
            (Some(libc::ENOMEM), _) | (_, K::OutOfMemory) => Code::OutOfMemory,
            (_, K::NotFound) => Code::NotFound,
            (_, K::AlreadyExists) => Code::AlreadyExists,
            (_, K::PermissionDenied) => Code::PermissionDenied,
            (Some(libc::EROFS), _) => Code::PermissionDenied,
            (Some(libc::ENOTEMPTY), _) => Code::NotEmpty,
            (_, K::UnexpectedEof) => Code::Truncated,
            // Not a broken pipe: its reader is a process on this machine, not a peer.
            (_, K::ConnectionRefused | K::ConnectionReset | K::ConnectionAborted) => Code::Connection,
            (_, K::TimedOut) => Code::Timeout,
            _ => Code::Io,
        };
        let mut error = Error::new(code, format!("{message}: {source}"));
        error.0.os_errno = source.raw_os_error();
        match (source.raw_os_error(), code) {
            (Some(libc::EROFS), _) => error.with_hint("the file system is mounted to be read only"),
            (_, Code::PermissionDenied) => error.with_hint(
                "look at owner and mode of the file and of each folder above it: this process may not do that there",
            ),
            _ => error,
        }
    }

    /// Names the operation (`get`, `put`, `list` ...) and the URI. Of nested operations the outermost
    /// is named, which is the one that the caller asked for, with the innermost URI, which is the one
    /// that failed.
    pub fn with_context(mut self, operation: &'static str, uri: impl fmt::Display) -> Self {
        self.0.operation = Some(operation);
        if self.0.uri.is_none() {
            self.0.uri = Some(uri.to_string());
        }
        self
    }

    /// Names the operation unless a deeper layer did.
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Appends every link of `source`'s chain that the message does not show already.
    pub fn with_source(mut self, source: &(dyn std::error::Error + 'static)) -> Self {
        let mut link = Some(source);
        while let Some(cause) = link {
            self = self.with_cause(cause.to_string());
            link = cause.source();
        }
        self
    }

    /// Appends one cause.
    pub fn with_cause(mut self, text: impl Into<String>) -> Self {
        let text = text.into();
        let known = self.0.message.contains(&text) || self.0.causes.iter().any(|c| c.contains(&text));
        if !known && !text.is_empty() {
            self.0.causes.push(text);
        }
        self
    }

    /// Overrides the retryable flag that the code implies.
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// Replaces the code where an outer layer knows better what the failure means.
    pub fn with_code(mut self, code: Code) -> Self {
        self.0.code = code;
        self
    }

    /// Sets the HTTP status of the server's answer.
    pub fn with_http_status(mut self, status: u16) -> Self {
        self.0.http_status = Some(status);
        self
    }

    /// Sets the errno of the failed system call.
    pub fn with_errno(mut self, errno: i32) -> Self {
        self.0.os_errno = Some(errno);
        self
    }

    /// Sets the request id that the service's support asks for.
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.0.request_id = Some(id.into());
        self
    }

    /// Says how often and how long it was tried.
    pub fn with_attempts(mut self, attempts: u32, elapsed: Duration) -> Self {
        self.0.attempts = Some(attempts);
        self.0.elapsed = Some(elapsed);
        self
    }

    /// Says what the user can do about it; the first hint stays.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        if self.0.hint.is_none() {
            self.0.hint = Some(hint.into());
        }
        self
    }

    /// Adds a machine-readable fact, such as `required` = a size in bytes.
    pub fn with_detail(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.details.push((key, value.to_string()));
        self
    }

    pub fn code(&self) -> Code {
        self.0.code
    }
    /// What was wrong, without operation, URI, status, causes and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }
    /// Whether the same call may succeed later without any change.
    pub fn retryable(&self) -> bool {
        self.0.retryable
    }
    pub fn http_status(&self) -> Option<u16> {
        self.0.http_status
    }
    pub fn os_errno(&self) -> Option<i32> {
        self.0.os_errno
    }
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }
    pub fn uri(&self) -> Option<&str> {
        self.0.uri.as_deref()
    }
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Everything but the message as key and value: `operation`, `uri`, `request_id`, `attempts`,
    /// `elapsed_ms`, `hint` and the facts of [`Error::with_detail`]; absent ones are left out.
    pub fn details(&self) -> Vec<(&'static str, String)> {
        let inner = &self.0;
        let named = [
            ("operation", inner.operation.map(str::to_owned)),
            ("uri", inner.uri.clone()),
            ("request_id", inner.request_id.clone()),
            ("attempts", inner.attempts.map(|n| n.to_string())),
            ("elapsed_ms", inner.elapsed.map(|d| d.as_millis().to_string())),
            ("hint", inner.hint.clone()),
        ];
        let named = named.into_iter().filter_map(|(key, value)| Some((key, value?)));
        named.chain(inner.details.iter().cloned()).collect()
    }
}

impl fmt::Display for Error {
    /// One line: `get s3://b/k: no such key (not_found, HTTP 404): cause: cause; hint`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        match (inner.operation, &inner.uri) {
            (Some(operation), Some(uri)) => write!(f, "{operation} {uri}: ")?,
            (Some(operation), None) => write!(f, "{operation}: ")?,
            (None, Some(uri)) => write!(f, "{uri}: ")?,
            (None, None) => {}
        }
        write!(f, "{} [{}", inner.message, inner.code.name())?;
        if let Some(status) = inner.http_status {
            write!(f, ", HTTP {status}")?;
        }
        if let Some(errno) = inner.os_errno {
            write!(f, ", errno {errno}")?;
        }
        if let Some(id) = &inner.request_id {
            write!(f, ", request {id}")?;
        }
        if let (Some(attempts), Some(elapsed)) = (inner.attempts, inner.elapsed) {
            write!(f, ", {attempts} attempts in {} ms", elapsed.as_millis())?;
        }
        f.write_str("]")?;
        for cause in &inner.causes {
            write!(f, ": {cause}")?;
        }
        if let Some(hint) = &inner.hint {
            write!(f, "; hint: {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_operation_uri_cause_and_hint() {
        let io = std::io::Error::from_raw_os_error(libc::ENOSPC);
        let error = Error::from_io("cannot write", &io)
            .with_context("put", "file:///data/x")
            .with_hint("free some space");
        assert_eq!(error.code(), Code::NoSpace);
        let text = error.to_string();
        for part in ["put file:///data/x: cannot write", "no_space", "errno 28", "hint: free some space"] {
            assert!(text.contains(part), "{part:?} is missing in {text:?}");
        }
    }

    #[test]
    fn a_pipe_whose_reader_went_away_is_no_network() {
        let error = Error::from_io("cannot write", &std::io::Error::from_raw_os_error(libc::EPIPE));
        assert_eq!((error.code(), error.retryable()), (Code::Io, false), "{error}");
    }

    #[test]
    fn code_numbers_are_unique_and_negative() {
        for (i, a) in Code::ALL.iter().enumerate() {
            assert!((*a as i32) < 0);
            assert_eq!(Code::from_number(*a as i32), Some(*a));
            assert!(Code::ALL[..i].iter().all(|b| *b as i32 > *a as i32), "{a:?} is out of order");
        }
    }

    #[test]
    fn texts_for_c_are_the_texts() {
        for code in Code::ALL {
            assert_eq!(code.c_name().to_str(), Ok(code.name()));
            assert_eq!(code.c_doc().to_str(), Ok(code.doc()));
        }
    }

    #[test]
    fn outermost_operation_and_innermost_uri_are_named() {
        let error = Error::new(Code::NotFound, "no such key")
            .with_context("head", "s3://b/inner")
            .with_context("copy", "s3://b/outer");
        assert_eq!((error.operation(), error.uri()), (Some("copy"), Some("s3://b/inner")));
    }
}
