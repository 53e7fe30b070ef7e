//! An access token in the Authorization header.

use super::check_credential;
use crate::base::secret::Secret;
use crate::error::Result;

/// Appends the line `authorization: Bearer TOKEN`.
pub fn sign(token: &Secret, head: &mut Vec<u8>) -> Result<()> {
    check_credential("access token", token.reveal())?;
    head.extend_from_slice(b"authorization: Bearer ");
    head.extend_from_slice(token.reveal().as_bytes());
    head.extend_from_slice(b"\r\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_token_stands_in_one_line() {
        let mut head = b"host: h\r\n".to_vec();
        sign(&Secret::new("eyJ0.e-_x.Zm9v="), &mut head).unwrap();
        assert_eq!(head, b"host: h\r\nauthorization: Bearer eyJ0.e-_x.Zm9v=\r\n");
    }

    #[test]
    fn s4_token_cannot_add_a_header() {
        for bad in ["", "a b", "canary\r\nx-evil: 1", "é"] {
            let mut head = Vec::new();
            let error = sign(&Secret::new(bad), &mut head).unwrap_err();
            assert!(error.to_string().contains("the access token"), "{error}");
            assert!(!error.to_string().contains("canary") && head.is_empty());
        }
    }
}
