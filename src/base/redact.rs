//! Secrets that a key or a message may carry: what signs a URL, and passwords in one.

use std::borrow::Cow;

const MASK: &str = "***";

/// Names whose values are never shown; compared without regard to case.
const SECRETS: [&str; 21] = [
    "sig",
    "signature",
    "x-amz-signature",
    "x-amz-credential",
    "x-amz-security-token",
    "x-goog-signature",
    "x-goog-credential",
    "awsaccesskeyid",
    "googleaccessid",
    "accountkey",
    "account_key",
    "sharedaccesssignature",
    "sas_token",
    "aws_secret_access_key",
    "secret_access_key",
    "aws_session_token",
    "session_token",
    "access_token",
    "password",
    "secret",
    "authorization",
];

/// The text with such values masked.
pub fn redact(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut shown = Cow::Borrowed(text);
    if shown.contains("://") && shown.contains('@') {
        shown = Cow::Owned(without_userinfo(&shown));
    }
    if shown.contains('=') || shown.contains("%3") {
        shown = match shown {
            Cow::Borrowed(text) => without_values(text),
            Cow::Owned(text) => Cow::Owned(without_values(&text).into_owned()),
        };
    }
    shown
}

/// Whether no secret can be in the text: nearly every key. Everything else costs more.
fn is_plain(text: &str) -> bool {
    !text.bytes().any(|b| matches!(b, b'=' | b'@' | b'%'))
}

/// As much of the [`redact`]ed text as is `key`'s, where `before` stands in front of it: a secret may begin there.
pub fn redact_behind<'a>(before: &str, key: &'a str) -> Cow<'a, str> {
    if is_plain(before) {
        return redact(key);
    }
    let whole = format!("{before}{key}");
    let shown = redact(&whole);
    match shown.strip_prefix(&*redact(before)) {
        Some(rest) => Cow::Owned(rest.to_owned()),
        None => Cow::Borrowed(MASK),
    }
}

/// `scheme://user:password@host` without what stands before the `@`.
fn without_userinfo(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let authority = after.find(['/', '?', '#', ' ']).unwrap_or(after.len());
        rest = match after[..authority].rfind('@') {
            Some(end) => {
                shown.push_str(MASK);
                &after[end..]
            }
            None => after,
        };
    }
    shown.push_str(rest);
    shown
}

fn without_values(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let (mut shown, mut copied, mut at) = (String::new(), 0, 0);
    while at < bytes.len() {
        let after = match bytes[at..] {
            [b'=', ..] => at + 1,
            [b'%', b'3', b'd' | b'D', ..] => at + 3,
            _ => {
                at += 1;
                continue;
            }
        };
        let in_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let length = bytes[..at].iter().rev().take_while(|b| in_name(b)).count();
        let name = &text[at - length..at];
        // After an escaped separator, such as %26, two digits belong to it.
        let escaped = name.len() > 2 && bytes[..at - length].ends_with(b"%");
        let name = if escaped { name.get(2..).unwrap_or(name) } else { name };
        at = after;
        if !SECRETS.iter().any(|secret| secret.eq_ignore_ascii_case(name)) {
            continue;
        }
        let ends = |b: &u8| matches!(b, b'&' | b';' | b'"' | b'\'' | b'<' | b'>') || b.is_ascii_whitespace();
        let value = bytes[at..].iter().position(|b| ends(b)).unwrap_or(bytes.len() - at);
        shown.push_str(&text[copied..at]);
        shown.push_str(MASK);
        at += value;
        copied = at;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    shown.push_str(&text[copied..]);
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o1_signatures_and_passwords_are_masked() {
        for (text, shown) in [
            ("run1/part=5/a@b", "run1/part=5/a@b"),
            ("é=ü&sig=", "é=ü&sig=***"),
            ("box/k?sv=2024&sig=ca%2Fna/ry%3D&se=1", "box/k?sv=2024&sig=***&se=1"),
            ("k?X-Amz-Signature=canary", "k?X-Amz-Signature=***"),
            (
                "k?X-Amz-Credential=canary/2024/us&X-Amz-Security-Token=canary x",
                "k?X-Amz-Credential=***&X-Amz-Security-Token=*** x",
            ),
            ("k%3Fsv%3D1%26sig%3Dcanary", "k%3Fsv%3D1%26sig%3D***"),
            ("AccountName=a;AccountKey=canary==;X=1", "AccountName=a;AccountKey=***;X=1"),
            ("from https://user:can@ary@host/x@y to b", "from https://***@host/x@y to b"),
            ("design=1&my-sig=2", "design=1&my-sig=2"),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

    #[test]
    fn o1_a_secret_that_begins_in_the_prefix_ends_in_the_key() {
        for (before, key, shown) in [
            ("run/", "a?sig=canary", "a?sig=***"),
            ("a=1/", "b=2/canary", "b=2/canary"),
            ("box?sig=can/", "ary&se=1", "&se=1"),
            ("box?sig=can/", "ary", ""),
        ] {
            assert_eq!(redact_behind(before, key), shown);
            assert_eq!(format!("{}{}", redact(before), shown), redact(&format!("{before}{key}")));
        }
    }
}
