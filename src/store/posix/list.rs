//! Listing a folder tree in the order of full keys, page by page.
//!
//! A folder sorts as its name with a slash, so the walk in this order is the order of the keys. A
//! page names the last key it gave; from that alone the next page can find its place. So that it
//! need not read the folders again, the walk itself is kept for a while under the same key.

use super::sys::{self, Kind};
use super::tree::{Tree, failed_to, split};
use super::{facts, temp};
use crate::base::key;
use crate::error::{Code, Result};
use crate::store::{ListEntry, ListPage, ListRequest, ObjectMeta, PAGE_ENTRIES};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub(super) fn page(tree: &Tree, request: &ListRequest) -> Result<ListPage> {
    key::check_path_prefix(&request.prefix)?;
    let root = tree.root()?;
    let most = if request.max_entries == 0 { PAGE_ENTRIES } else { request.max_entries };
    let mut walk = match take_suspended(tree, request) {
        Some(walk) => walk,
        None => Walk::start(tree, root.as_fd(), request)?,
    };
    let mut page = ListPage::default();
    while let Some(entry) = walk.next(tree, root.as_fd())? {
        if page.entries.len() == most {
            page.next = page.entries.last().map(|last| last.key().to_owned());
            walk.ahead = Some(entry);
            suspend(tree, &page, walk);
            return Ok(page);
        }
        page.entries.push(entry);
    }
    Ok(page)
}

/// A walk in progress.
struct Walk {
    prefix: String,
    one_level: bool,
    /// Entries up to this key were given before.
    after: Option<String>,
    stack: Vec<Frame>,
    /// Found already, but the page was full.
    ahead: Option<ListEntry>,
}

/// What is left of one folder.
struct Frame {
    /// Empty, or ending in a slash.
    path: String,
    /// Sorted backwards: the next name is the last.
    names: Vec<Name>,
    /// Closed while the walk is suspended.
    folder: Option<OwnedFd>,
}

struct Name {
    /// With a slash at its end where it is a folder.
    text: String,
    is_link: bool,
}

impl Walk {
    fn start(tree: &Tree, root: BorrowedFd, request: &ListRequest) -> Result<Walk> {
        let mut walk = Walk {
            prefix: request.prefix.clone(),
            one_level: request.one_level,
            after: request.continuation.clone(),
            stack: Vec::new(),
            ahead: None,
        };
        let (folder, start) = split(&request.prefix);
        if folder.split('/').any(temp::is_temporary) {
            return Ok(walk);
        }
        let path = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        walk.stack.extend(Frame::read(tree, root, path, start)?);
        Ok(walk)
    }

    fn next(&mut self, tree: &Tree, root: BorrowedFd) -> Result<Option<ListEntry>> {
        if let Some(entry) = self.ahead.take() {
            return Ok(Some(entry));
        }
        while let Some(frame) = self.stack.last_mut() {
            let Some(name) = frame.names.pop() else {
                self.stack.pop();
                continue;
            };
            let full = format!("{}{}", frame.path, name.text);
            let is_folder = name.text.ends_with('/');
            if let Some(after) = &self.after
                && full <= *after
                && !(is_folder && !self.one_level && after.starts_with(&full))
            {
                continue;
            }
            if !is_folder {
                if let Some(meta) = frame.object(tree, root, &name, &full)? {
                    return Ok(Some(ListEntry::Object(meta)));
                }
            } else if self.one_level && full.len() > self.prefix.len() {
                if holds_objects(tree, root, &full)? {
                    return Ok(Some(ListEntry::Prefix(full)));
                }
            } else {
                self.stack.extend(Frame::read(tree, root, full, "")?);
            }
        }
        Ok(None)
    }
}

impl Frame {
    /// The names in the folder `path` that begin with `start`; `None` where there is no such folder.
    fn read(tree: &Tree, root: BorrowedFd, path: String, start: &str) -> Result<Option<Frame>> {
        let failed = |e| failed_to(&format!("list the folder {path:?}"), &e);
        let folder = match tree.folder(root, path.trim_end_matches('/')) {
            Err(e) if is_missing(&e) => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let mut names = Vec::new();
        for (name, kind) in sys::read_folder(folder.as_fd()).map_err(failed)? {
            let Ok(mut text) = String::from_utf8(name) else {
                tracing::warn!(folder = path, "a file is left out of the listing: its name is not UTF-8");
                continue;
            };
            if !text.starts_with(start) || temp::is_temporary(&text) {
                continue;
            }
            let kind = match kind {
                Some(kind) => kind,
                None => match sys::name(text.as_str()).and_then(|name| sys::stat_at(folder.as_fd(), &name)) {
                    Err(e) if is_missing(&e) => continue,
                    stat => stat.map_err(failed)?.kind,
                },
            };
            match kind {
                Kind::Special => continue,
                Kind::Folder => text.push('/'),
                Kind::File | Kind::Link => {}
            }
            names.push(Name { text, is_link: kind == Kind::Link });
        }
        names.sort_unstable_by(|a, b| b.text.cmp(&a.text));
        Ok(Some(Frame { path, names, folder: Some(folder) }))
    }

    /// The facts of a name, or `None` where it is gone or no object.
    fn object(
        &mut self,
        tree: &Tree,
        root: BorrowedFd,
        name: &Name,
        full: &str,
    ) -> Result<Option<ObjectMeta>> {
        if name.is_link {
            return linked_object(tree, root, full);
        }
        let folder = match &self.folder {
            Some(folder) => folder,
            None => match tree.folder(root, self.path.trim_end_matches('/')) {
                Err(e) if is_missing(&e) => {
                    self.names.clear(); // the folder was removed meanwhile
                    return Ok(None);
                }
                opened => self.folder.insert(opened.map_err(|e| failed_to("list the folder", &e))?),
            },
        };
        match sys::name(name.text.as_str()).and_then(|name| sys::stat_at(folder.as_fd(), &name)) {
            Ok(stat) if stat.kind == Kind::File => Ok(Some(facts::meta(full, &stat))),
            Ok(_) => Ok(None), // replaced by something else meanwhile
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(failed_to(&format!("stat the file {full:?}"), &e)),
        }
    }
}

/// What a symbolic link leads to, if that is an object of this store.
fn linked_object(tree: &Tree, root: BorrowedFd, full: &str) -> Result<Option<ObjectMeta>> {
    let opened = tree.open(root, full, sys::O_PATH);
    match opened.and_then(|fd| sys::stat(fd.as_fd())) {
        Ok(stat) if stat.kind == Kind::File => Ok(Some(facts::meta(full, &stat))),
        Ok(_) => Ok(None),
        Err(e) if is_missing(&e) || e.raw_os_error() == Some(libc::ELOOP) => Ok(None),
        Err(e) if e.raw_os_error() == Some(libc::EXDEV) => {
            tracing::warn!(key = full, "a link is left out of the listing: it leads out of the store's root");
            Ok(None)
        }
        Err(e) => Err(failed_to(&format!("follow the link {full:?}"), &e)),
    }
}

/// Whether there is an object anywhere below `path`: an empty folder is no prefix.
fn holds_objects(tree: &Tree, root: BorrowedFd, path: &str) -> Result<bool> {
    let request = ListRequest { prefix: path.to_owned(), ..ListRequest::default() };
    let found = Walk::start(tree, root, &request).and_then(|mut walk| walk.next(tree, root));
    match found {
        Ok(entry) => Ok(entry.is_some()),
        // It cannot be looked into, but it is there; listing below it says what is wrong.
        Err(e) if e.code() == Code::PermissionDenied => Ok(true),
        Err(e) => Err(e),
    }
}

fn is_missing(e: &std::io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

/// A walk that waits for its next page.
struct Suspended {
    root: PathBuf,
    /// Where the page before ended.
    last: String,
    since: Instant,
    walk: Walk,
}

/// How many walks wait at most; the oldest is dropped, and its next page starts by its key.
const MAX_SUSPENDED: usize = 8;
/// How long one waits.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Used with `try_lock` only: after a fork nobody may be left to unlock it, and every page can do
/// without.
static SUSPENDED: Mutex<Vec<Suspended>> = Mutex::new(Vec::new());

fn suspend(tree: &Tree, page: &ListPage, mut walk: Walk) {
    let (Some(last), Ok(mut waiting)) = (page.next.clone(), SUSPENDED.try_lock()) else { return };
    walk.stack.iter_mut().for_each(|frame| frame.folder = None);
    waiting.retain(|s| s.since.elapsed() < MAX_AGE);
    if waiting.len() == MAX_SUSPENDED {
        waiting.remove(0);
    }
    waiting.push(Suspended { root: tree.path.clone(), last, since: Instant::now(), walk });
}

fn take_suspended(tree: &Tree, request: &ListRequest) -> Option<Walk> {
    let last = request.continuation.as_ref()?;
    let mut waiting = SUSPENDED.try_lock().ok()?;
    let at = waiting.iter().position(|s| {
        s.last == *last
            && s.root == tree.path
            && s.walk.prefix == request.prefix
            && s.walk.one_level == request.one_level
    })?;
    Some(waiting.remove(at).walk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::uri::Uri;
    use crate::options::Options;

    fn keys(tree: &Tree, request: &ListRequest) -> (Vec<String>, Option<String>) {
        let page = page(tree, request).unwrap();
        (page.entries.iter().map(|e| e.key().to_owned()).collect(), page.next)
    }

    #[test]
    fn s4_pages_of_every_size_give_the_same_order_with_and_without_the_kept_walk() {
        let dir = tempfile::tempdir().unwrap();
        let uri = Uri::parse(&format!("file://{}", dir.path().display())).unwrap();
        let tree = Tree::new(uri, &Options::new().resolve().unwrap());
        let mut expected: Vec<String> =
            ["a", "a.txt", "a-b/c", "a/b/c", "a/b.c", "a/b-c", "da", "dab", "data/x", "data/y/z", "z/1/2/3"]
                .iter()
                .filter(|key| **key != "a")
                .map(ToString::to_string)
                .collect();
        for key in &expected {
            let path = dir.path().join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, key).unwrap();
        }
        std::fs::create_dir_all(dir.path().join("empty/within")).unwrap();
        expected.sort();
        let top: Vec<String> = ["a-b/", "a.txt", "a/", "da", "dab", "data/", "z/"].map(String::from).to_vec();
        for (one_level, expected) in [(false, expected), (true, top)] {
            for max_entries in 1..=expected.len() + 1 {
                for forget in [false, true] {
                    let mut request = ListRequest { max_entries, one_level, ..ListRequest::default() };
                    let mut got = Vec::new();
                    loop {
                        let (page, next) = keys(&tree, &request);
                        got.extend(page);
                        request.continuation = next;
                        if request.continuation.is_none() {
                            break;
                        }
                        if forget {
                            SUSPENDED.lock().unwrap().clear();
                        }
                    }
                    assert_eq!(got, expected, "{max_entries} per page, one_level {one_level}, {forget}");
                }
            }
        }
    }

    #[test]
    fn s2_prefixes_are_those_of_strings() {
        let dir = tempfile::tempdir().unwrap();
        let uri = Uri::parse(&format!("file://{}", dir.path().display())).unwrap();
        let tree = Tree::new(uri, &Options::new().resolve().unwrap());
        std::fs::create_dir(dir.path().join("data")).unwrap();
        for key in ["da", "dab", "data/x", "data/y"] {
            std::fs::write(dir.path().join(key), key).unwrap();
        }
        let cases: [(&str, &[&str], &[&str]); 6] = [
            ("da", &["da", "dab", "data/x", "data/y"], &["da", "dab", "data/"]),
            ("data", &["data/x", "data/y"], &["data/"]),
            ("data/", &["data/x", "data/y"], &["data/x", "data/y"]),
            ("data/x", &["data/x"], &["data/x"]),
            ("none/", &[], &[]),
            ("da/", &[], &[]),
        ];
        for (prefix, all, top) in cases {
            for (one_level, expected) in [(false, all), (true, top)] {
                let request = ListRequest { prefix: prefix.into(), one_level, ..ListRequest::default() };
                assert_eq!(keys(&tree, &request).0, expected, "{prefix:?} {one_level}");
            }
        }
    }
}
