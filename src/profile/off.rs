//! A build without the feature.

use crate::error::{Code, Error, Result};
use std::path::Path;

pub fn start(_: u32) -> Result<()> {
    Err(missing())
}

pub fn stop(_: Option<&Path>) -> Result<()> {
    Err(missing())
}

fn missing() -> Error {
    Error::new(Code::Unsupported, "this build of the library cannot profile")
        .with_hint("build it with `cargo build --release --features profiling`")
}
