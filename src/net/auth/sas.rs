//! A shared access signature: a query that grants access to whoever sends it.

use super::check_credential;
use crate::base::secret::Secret;
use crate::error::Result;
use zeroize::Zeroizing;

/// The query of a request (without `?`) with the signature joined to it, for a URL type that escapes
/// what must not be in a query. Never to be shown.
pub fn join(query: &str, sas: &Secret) -> Zeroizing<String> {
    let sas = sas.reveal().trim_start_matches('?');
    let mut joined = Zeroizing::new(String::with_capacity(query.len() + 1 + sas.len()));
    joined.push_str(query);
    if !query.is_empty() {
        joined.push('&');
    }
    joined.push_str(sas);
    joined
}

/// Appends the signature to a request's target (path and query) in a head that is being written.
pub fn append(target_has_query: bool, sas: &Secret, head: &mut Vec<u8>) -> Result<()> {
    let sas = sas.reveal().trim_start_matches('?');
    check_credential("shared access signature", sas)?;
    head.push(if target_has_query { b'&' } else { b'?' });
    head.extend_from_slice(sas.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_sas_joins_the_query() {
        let sas = Secret::new("?sv=1&sig=x%2By");
        assert_eq!(*join("comp=list", &sas), "comp=list&sv=1&sig=x%2By");
        assert_eq!(*join("", &sas), "sv=1&sig=x%2By");
        let mut head = b"GET /c/b".to_vec();
        append(false, &sas, &mut head).unwrap();
        assert_eq!(head, b"GET /c/b?sv=1&sig=x%2By");
        let mut head = b"GET /c?comp=list".to_vec();
        append(true, &sas, &mut head).unwrap();
        assert_eq!(head, b"GET /c?comp=list&sv=1&sig=x%2By");
    }

    #[test]
    fn s3_sas_cannot_end_the_request_line() {
        for bad in ["", "?", "sig=canary HTTP/1.1\r\nx: y"] {
            let mut head = Vec::new();
            let error = append(false, &Secret::new(bad), &mut head).unwrap_err();
            assert!(head.is_empty() && !error.to_string().contains("canary"), "{error}");
        }
    }
}
