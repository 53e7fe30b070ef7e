//! One folder per save: what people like to look at, and file systems do not mind.

/// No prefix.
pub fn prefix(_rank: u32) -> String {
    String::new()
}
