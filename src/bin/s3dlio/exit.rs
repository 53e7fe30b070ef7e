//! How a run of the command ends, as its exit code tells (docs/command.md has the table).

use s3dlio::api::{Code, Error};
use std::process::ExitCode;

/// What a verb gives back.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Why a verb did not do all that was asked.
#[derive(Debug)]
pub enum Failure {
    /// The error is still to be shown.
    Failed(Error),
    /// An error of this code, which was shown when it came.
    Shown(Code),
    /// Some of many items failed; each was shown when it did.
    Partly,
    /// Nobody reads the output any more.
    ClosedPipe,
    /// A signal asked to stop; its number.
    Stopped(i32),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Failed(error)
    }
}

pub const FAILED: u8 = 1;
pub const WRONG_USAGE: u8 = 2;
const PARTLY: u8 = 8;

impl Failure {
    pub fn code(&self) -> u8 {
        match self {
            Failure::Failed(error) => of_code(error.code()),
            Failure::Shown(code) => of_code(*code),
            Failure::Partly => PARTLY,
            Failure::ClosedPipe => 0,
            Failure::Stopped(signal) => u8::try_from(128 + signal).unwrap_or(FAILED),
        }
    }
}

/// What a failure of this code ends with.
pub fn of_code(code: Code) -> u8 {
    match code {
        Code::InvalidArgument
        | Code::InvalidUri
        | Code::InvalidKey
        | Code::UnknownOption
        | Code::InvalidOption => WRONG_USAGE,
        Code::NotFound | Code::ContainerNotFound => 3,
        Code::PermissionDenied | Code::Unauthenticated => 4,
        Code::AlreadyExists | Code::PreconditionFailed | Code::Changed | Code::NotEmpty => 5,
        Code::Dns | Code::Connection | Code::Tls | Code::Timeout | Code::Unavailable => 6,
        Code::ChecksumMismatch | Code::Truncated | Code::Corrupt => 7,
        Code::Unsupported => 9,
        _ => FAILED,
    }
}

/// An error of the arguments, from before there was an output to choose.
pub fn of_start(error: &Error) -> ExitCode {
    crate::output::complain(&crate::output::error_line(error));
    ExitCode::from(of_code(error.code()))
}

/// What is wrong with the arguments, beyond what the parser sees.
pub fn usage(message: impl Into<String>) -> Failure {
    Failure::Failed(Error::new(Code::InvalidArgument, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// K1: the documented codes.
    #[test]
    fn codes_tell_what_kind_of_failure_it_was() {
        let of = |code| Failure::Failed(Error::new(code, "")).code();
        let told = [
            Code::Io,
            Code::InvalidUri,
            Code::ContainerNotFound,
            Code::Unauthenticated,
            Code::NotEmpty,
            Code::Timeout,
            Code::ChecksumMismatch,
        ];
        assert_eq!(told.map(of), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!([Failure::Partly.code(), of(Code::Unsupported)], [8, 9]);
        assert_eq!([Failure::ClosedPipe.code(), Failure::Stopped(2).code()], [0, 130]);
    }
}
