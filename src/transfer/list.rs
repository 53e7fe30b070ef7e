//! A listing as a stream of entries.

use crate::error::Result;
use crate::store::{ListEntry, ListRequest, Store};
use std::collections::VecDeque;

/// The entries whose keys start with a prefix, in order of their key, page by page.
#[derive(Debug)]
pub struct Lister {
    store: Store,
    request: ListRequest,
    entries: VecDeque<ListEntry>,
    done: bool,
}

impl Lister {
    /// No I/O yet. Not `recursive`: one level, deeper keys folded into prefixes.
    pub fn new(store: &Store, prefix: &str, recursive: bool) -> Lister {
        let request =
            ListRequest { prefix: prefix.to_owned(), one_level: !recursive, ..ListRequest::default() };
        Lister { store: store.clone(), request, entries: VecDeque::new(), done: false }
    }

    /// The entries up to the end of the present page, or the next page's, at least one; `None` at the
    /// end. After an error the same page is asked for again.
    pub async fn next_page(&mut self) -> Result<Option<Vec<ListEntry>>> {
        let Some(first) = self.next().await? else { return Ok(None) };
        let mut page = vec![first];
        page.extend(self.entries.drain(..));
        Ok(Some(page))
    }

    /// The next entry; `None` at the end. After an error the same page is asked for again.
    pub async fn next(&mut self) -> Result<Option<ListEntry>> {
        loop {
            if let Some(entry) = self.entries.pop_front() {
                return Ok(Some(entry));
            }
            if self.done {
                return Ok(None);
            }
            let page = self.store.list_page(&self.request).await?;
            self.entries = page.entries.into();
            self.done = page.next.is_none();
            self.request.continuation = page.next;
        }
    }
}
