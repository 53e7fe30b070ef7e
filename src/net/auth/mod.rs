//! What proves to a service who asks. Pure functions over slices, without I/O and without the
//! transport's types: each appends whole header lines, or a query, to the caller's buffer.

pub mod bearer;
pub mod clock;
pub mod escape;
mod hmac;
pub mod sas;
pub mod shared_key;
pub mod sigv4;

use crate::error::{Code, Error, Result};

/// Whether the bytes may stand in a header's value and in a query: visible ASCII, so that no
/// credential can end a header and begin another one.
fn check_credential(what: &str, text: &str) -> Result<()> {
    // Without an early end: this runs in every request, and vectorises.
    let graphic = text.bytes().fold(true, |all, byte| all & byte.is_ascii_graphic());
    if graphic && !text.is_empty() {
        return Ok(());
    }
    let why = if text.is_empty() { "is empty" } else { "has a space, a line break or no ASCII in it" };
    Err(Error::new(Code::Unauthenticated, format!("the {what} {why}"))
        .with_hint("copy it whole, without quotes and line breaks"))
}
