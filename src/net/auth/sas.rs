//! A shared access signature: a query that grants access to whoever sends it.

use super::check_credential;
use crate::base::secret::Secret;
use crate::error::Result;
use zeroize::Zeroizing;

/// The query of a request (without `?`) with the signature joined to it. Never to be shown.
pub fn join(query: &str, sas: &Secret) -> Result<Zeroizing<String>> {
    let sas = sas.reveal().trim_start_matches('?');
    check_credential("shared access signature", sas)?;
    let mut joined = Zeroizing::new(String::with_capacity(query.len() + 1 + sas.len()));
    joined.push_str(query);
    if !query.is_empty() {
        joined.push('&');
    }
    joined.push_str(sas);
    Ok(joined)
}

/// The same at the end of a request's target (path and query) in a head that is being written.
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
        assert_eq!(*join("comp=list", &sas).unwrap(), "comp=list&sv=1&sig=x%2By");
        assert_eq!(*join("", &sas).unwrap(), "sv=1&sig=x%2By");
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
            assert!(append(false, &Secret::new(bad), &mut head).is_err() && head.is_empty());
            let error = join("", &Secret::new(bad)).unwrap_err();
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
