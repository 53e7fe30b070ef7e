//! A string that no log, error or `Debug` output can show.

use std::fmt;
use zeroize::Zeroizing;

/// A credential. It has no `Display`, its `Debug` is a fixed mask, its memory is wiped on drop.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Secret(Zeroizing::new(value.into()))
    }

    /// The credential itself, for signing only.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_it() {
        let shown = format!("{:?} {:?}", Secret::new("canary"), Some(Secret::new("")));
        assert_eq!(shown, "Secret(***) Some(Secret(***))");
    }
}
