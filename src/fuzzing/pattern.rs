//! Globs and regular expressions on keys: the first line is the pattern, the others are keys.

use crate::Result;
use crate::loader::Pattern;
use crate::options::parse_size;

/// Of both the pattern and the key that are compared with the plain reading below.
const MOST: usize = 100;

pub(super) fn pattern(text: &str) {
    if let Some(bytes) = parse_size(text) {
        assert_eq!(parse_size(&bytes.to_string()), Some(bytes), "{text:?}");
    }
    let mut lines = text.split('\n');
    let pattern = lines.next().unwrap_or_default();
    let (glob, regex) = (Pattern::new(Some(pattern), None), Pattern::new(None, Some(pattern)));
    let both = Pattern::new(Some(pattern), Some(pattern));
    assert_eq!(both.is_ok(), glob.is_ok() && regex.is_ok(), "{pattern:?}");
    for key in lines.filter(|key| key.len() <= MOST) {
        let fits = |pattern: &Result<Pattern>| pattern.as_ref().ok().map(|p| p.fits(key));
        if let (Some(glob), Some(regex), Some(both)) = (fits(&glob), fits(&regex), fits(&both)) {
            assert_eq!(both, glob && regex, "{pattern:?} {key:?}");
        }
        let meant = !key.is_empty() && !key.ends_with('/');
        let literal: String = key.chars().flat_map(|c| ['\\', c]).collect();
        for (always, fits) in [(literal.as_str(), meant), ("**", meant), (key, meant && plain(key))] {
            let found = Pattern::new(Some(always), None).ok().map(|pattern| pattern.fits(key));
            assert!(!fits || found == Some(true), "{always:?} has to fit {key:?}");
        }
        if let Some(found) = fits(&glob).filter(|_| pattern.len() <= MOST && !pattern.contains(['{', '}'])) {
            let (glob, key): (Vec<char>, Vec<char>) = (pattern.chars().collect(), key.chars().collect());
            let mut seen = vec![None; (glob.len() + 1) * (key.len() + 1)];
            assert_eq!(found, meant && reads(&glob, 0, &key, 0, &mut seen), "{pattern:?} {key:?}");
        }
    }
}

/// Whether a glob stands for itself.
fn plain(glob: &str) -> bool {
    !glob.contains(['*', '?', '[', '{', '}', '\\'])
}

/// Whether the glob from `g` on matches the key from `k` on, by trying everything.
fn reads(glob: &[char], g: usize, key: &[char], k: usize, seen: &mut [Option<bool>]) -> bool {
    let slot = g * (key.len() + 1) + k;
    if let Some(known) = seen[slot] {
        return known;
    }
    let mut any = |next: usize, ends: &mut dyn Iterator<Item = usize>| {
        for end in ends {
            if reads(glob, next, key, end, seen) {
                return true;
            }
        }
        false
    };
    let name_ends = key[k..].iter().position(|c| *c == '/').map_or(key.len(), |at| k + at);
    let found = match &glob[g..] {
        [] => k == key.len(),
        ['*', '*', '/', ..] => {
            let below = (k..key.len()).filter(|at| key[*at] == '/').map(|at| at + 1);
            any(g + 3, &mut std::iter::once(k).chain(below))
        }
        ['*', '*', ..] => any(g + 2, &mut (k..=key.len())),
        ['*', ..] => any(g + 1, &mut (k..=name_ends)),
        rest => {
            let there = key.get(k).copied();
            let (fits, length) = match rest {
                ['?', ..] => (there.is_some_and(|c| c != '/'), 1),
                ['\\', c, ..] => (there == Some(*c), 2),
                ['[', class @ ..] => match in_class(class, there) {
                    Some((fits, length)) => (fits, length + 1),
                    None => (there == Some('['), 1),
                },
                _ => (there == rest.first().copied(), 1),
            };
            fits && any(g + length, &mut std::iter::once(k + 1))
        }
    };
    seen[slot] = Some(found);
    found
}

/// What follows a `[`: whether the character is in the class, and how long that is; `None` where it is not closed.
fn in_class(text: &[char], there: Option<char>) -> Option<(bool, usize)> {
    let negated = matches!(text.first(), Some('!' | '^'));
    let body = &text[usize::from(negated)..];
    let end = body.iter().skip(1).position(|c| *c == ']')? + 1;
    let (mut at, mut inside) = (0, false);
    while at < end {
        let (low, high, length) = match &body[at..end] {
            [low, '-', high, ..] => (*low, *high, 3),
            [one, ..] => (*one, *one, 1),
            [] => break,
        };
        inside |= there.is_some_and(|c| (low..=high).contains(&c));
        at += length;
    }
    let fits = there.is_some_and(|c| if negated { !inside && c != '/' } else { inside });
    Some((fits, usize::from(negated) + end + 1))
}
