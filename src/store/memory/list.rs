//! Listing a sorted map page by page.

use super::{CONTAINERS, ListEntry, ListPage, ListRequest, MemoryStore, PAGE_ENTRIES};
use crate::base::key;
use crate::base::sync::read;
use crate::error::Result;
use std::ops::Bound;

pub(super) fn page(store: &MemoryStore, request: &ListRequest) -> Result<ListPage> {
    key::check_prefix(&request.prefix)?;
    let most = if request.max_entries == 0 { PAGE_ENTRIES } else { request.max_entries };
    let prefix = format!("{}{}", store.prefix, request.prefix);
    let containers = read(&CONTAINERS);
    let container = containers.get(store.root.container()).ok_or_else(|| store.no_container())?;
    // The continuation is the last full key or folded prefix; below a folded prefix nothing follows.
    let mut start = match &request.continuation {
        Some(last) if request.one_level && last.ends_with('/') => Bound::Included(after_prefix(last)),
        Some(last) => Bound::Excluded(last.clone()),
        None => Bound::Included(prefix.clone()),
    };
    let mut page = ListPage::default();
    let mut last = None;
    loop {
        let mut range = container.objects.range((start.clone(), Bound::Unbounded));
        let Some((full, object)) = range.next().filter(|(full, _)| full.starts_with(&prefix)) else {
            return Ok(page);
        };
        if page.entries.len() == most {
            page.next = last;
            return Ok(page);
        }
        let folded = full[prefix.len()..].find('/').filter(|_| request.one_level);
        match folded {
            Some(at) => {
                let folder = &full[..=prefix.len() + at];
                page.entries.push(ListEntry::Prefix(folder[store.prefix.len()..].to_owned()));
                last = Some(folder.to_owned());
                start = Bound::Included(after_prefix(folder));
            }
            None => {
                page.entries.push(ListEntry::Object(store.meta(&full[store.prefix.len()..], object)));
                last = Some(full.clone());
                start = Bound::Excluded(full.clone());
            }
        }
    }
}

/// The first text after all that start with `folder`, which ends in `/`.
fn after_prefix(folder: &str) -> String {
    format!("{}0", folder.trim_end_matches('/')) // '0' is the byte after '/'
}
