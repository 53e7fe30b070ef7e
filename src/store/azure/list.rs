//! Listing objects and containers, page by page.

use super::client::Client;
use super::retry::Retry;
use super::xml::Element;
use super::{Inner, etag_of, http_date};
use crate::base::key;
use crate::error::{Code, Error, Result};
use crate::net::Method;
use crate::net::retry::classify::RequestKind::Read;
use crate::store::{ContainerInfo, ListEntry, ListPage, ListRequest, ObjectMeta, PAGE_ENTRIES};

/// The most entries that the service gives in one page.
const MOST_ENTRIES: usize = 5000;

/// One page, sorted by the bytes of the keys. Pages follow each other in the server's order: Azurite's
/// is by UTF-16 units, which differs for characters beyond U+FFFF next to those from U+E000 on.
pub(super) async fn page(store: &Inner, request: &ListRequest) -> Result<ListPage> {
    key::check_prefix(&request.prefix)?;
    let most = if request.max_entries == 0 { PAGE_ENTRIES } else { request.max_entries.min(MOST_ENTRIES) };
    let client = store.client()?;
    let mut retry = client.attempts(Read);
    let mut marker = request.continuation.clone();
    loop {
        let page =
            raw_page(store, &client, request, marker.as_deref(), most, "", retry.inquiry(Read)).await?;
        // The service may give an empty page with a marker: callers need not know.
        if !page.entries.is_empty() || page.next.is_none() {
            return Ok(page);
        }
        if page.next == marker {
            return Err(Error::new(Code::Protocol, "the listing does not move on: the same marker twice"));
        }
        marker = page.next;
    }
}

/// The keys that have blocks but no content yet: uploads under way, or left behind by a process that
/// died. The service removes them after a week.
pub(super) async fn pending(store: &Inner, prefix: &str) -> Result<Vec<String>> {
    let mut names = [Vec::new(), Vec::new()];
    let request = ListRequest { prefix: prefix.to_owned(), ..ListRequest::default() };
    let client = store.client()?;
    let mut retry = client.attempts(Read);
    for (include, names) in ["uncommittedblobs", ""].into_iter().zip(&mut names) {
        let mut marker = None;
        loop {
            let page = raw_page(
                store,
                &client,
                &request,
                marker.as_deref(),
                MOST_ENTRIES,
                include,
                retry.inquiry(Read),
            )
            .await?;
            names.extend(page.entries.iter().map(|entry| entry.key().to_owned()));
            marker = page.next;
            if marker.is_none() {
                break;
            }
        }
    }
    let [mut all, committed] = names;
    all.retain(|name| !committed.contains(name));
    Ok(all)
}

async fn raw_page(
    store: &Inner,
    client: &Client,
    request: &ListRequest,
    marker: Option<&str>,
    most: usize,
    include: &str,
    retry: Retry,
) -> Result<ListPage> {
    let prefix = format!("{}{}", store.prefix, request.prefix);
    let most = most.to_string();
    let mut query = vec![("restype", "container"), ("comp", "list"), ("maxresults", most.as_str())];
    if !prefix.is_empty() {
        query.push(("prefix", &prefix));
    }
    if request.one_level {
        query.push(("delimiter", "/"));
    }
    if !include.is_empty() {
        query.push(("include", include));
    }
    if let Some(marker) = marker {
        query.push(("marker", marker));
    }
    let root = fetch(client, store.container()?, &query, retry).await?;
    entries(&root, &store.prefix, &prefix)
}

/// The page that an answer holds: `prefix` was asked for, keys are what follows `above` in it.
pub(super) fn entries(root: &Element, above: &str, prefix: &str) -> Result<ListPage> {
    let blobs = root.child("Blobs").ok_or_else(|| protocol("the listing has no element Blobs"))?;
    let mut page = ListPage::default();
    for element in &blobs.children {
        if !matches!(element.name(), "Blob" | "BlobPrefix") {
            continue;
        }
        let full = element.object_name()?;
        if !full.starts_with(prefix) {
            return Err(protocol(&format!("the listing gives {full:?}, which is not below {prefix:?}")));
        }
        let key = full[above.len()..].to_owned();
        if element.name() == "BlobPrefix" {
            page.entries.push(ListEntry::Prefix(key));
        } else if let Some(meta) = object(element, key)? {
            page.entries.push(ListEntry::Object(meta));
        }
    }
    page.entries.sort_by(|a, b| a.key().cmp(b.key()));
    page.next = root.text_of("NextMarker").filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(page)
}

/// `None` for the folders of accounts with a hierarchical namespace, which are no objects.
fn object(element: &Element, key: String) -> Result<Option<ObjectMeta>> {
    let properties = element.child("Properties").ok_or_else(|| protocol("an entry has no properties"))?;
    let text = |name: &str| properties.text_of(name).filter(|text| !text.is_empty());
    if text("ResourceType") == Some("directory") {
        return Ok(None);
    }
    let size = text("Content-Length").and_then(|text| text.parse().ok());
    Ok(Some(ObjectMeta {
        key,
        size: size.ok_or_else(|| protocol("an entry has no valid Content-Length"))?,
        etag: text("Etag").map(etag_of),
        last_modified: text("Last-Modified").and_then(http_date),
        content_type: text("Content-Type").map(str::to_owned),
        ..ObjectMeta::default()
    }))
}

/// Whether the container holds any object, below the store's root or not.
pub(super) async fn any(store: &Inner, client: &Client) -> Result<bool> {
    let mut retry = client.attempts(Read);
    let mut marker = String::new();
    loop {
        let mut query = vec![("restype", "container"), ("comp", "list"), ("maxresults", "1")];
        if !marker.is_empty() {
            query.push(("marker", &marker));
        }
        let root = fetch(client, store.container()?, &query, retry.inquiry(Read)).await?;
        let blobs = root.child("Blobs").ok_or_else(|| protocol("the listing has no element Blobs"))?;
        if !blobs.children.is_empty() {
            return Ok(true);
        }
        match root.text_of("NextMarker").filter(|text| !text.is_empty()) {
            Some(next) if next != marker => marker = next.to_owned(),
            Some(_) => return Err(protocol("the listing does not move on: the same marker twice")),
            None => return Ok(false),
        }
    }
}

/// Every container of the account.
pub(super) async fn containers(store: &Inner) -> Result<Vec<ContainerInfo>> {
    let client = store.client()?;
    let mut retry = client.attempts(Read);
    let mut found = Vec::new();
    let mut marker = String::new();
    loop {
        let mut query = vec![("comp", "list")];
        if !marker.is_empty() {
            query.push(("marker", &marker));
        }
        let root = fetch(&client, "", &query, retry.inquiry(Read)).await?;
        found.extend(names(&root)?);
        match root.text_of("NextMarker").filter(|text| !text.is_empty()) {
            Some(next) if next != marker => marker = next.to_owned(),
            Some(_) => return Err(protocol("the listing does not move on: the same marker twice")),
            None => return Ok(found),
        }
    }
}

/// The containers that an answer holds.
pub(super) fn names(root: &Element) -> Result<Vec<ContainerInfo>> {
    let list = root.child("Containers").ok_or_else(|| protocol("the listing has no element Containers"))?;
    let containers = list.children.iter().filter(|element| element.name() == "Container");
    let info = |element: &Element| {
        let modified = element.child("Properties").and_then(|p| p.text_of("Last-Modified"));
        // The service knows no creation time; the last change of the container is the nearest.
        Ok(ContainerInfo { name: element.object_name()?, created: modified.and_then(http_date) })
    };
    containers.map(info).collect()
}

/// One answer of a listing.
async fn fetch(client: &Client, path: &str, query: &[(&str, &str)], mut retry: Retry) -> Result<Element> {
    let call = client.call(Method::Get, path, query);
    let (_, body) = client.fetch(&call, &mut retry).await.map_err(|f| f.error)?;
    Element::parse(&body, "EnumerationResults")
}

fn protocol(why: &str) -> Error {
    Error::new(Code::Protocol, why)
}
