//! Small helpers, then one module per subject.

mod access;
mod basics;
mod direct;
mod kill;
mod mounts;
mod sys;
mod uring;

use bytes::Bytes;
use s3dlio::base::buffer::{Buffer, Window};
use s3dlio::base::checksum::Crc32c;
use s3dlio::options::Options;
use s3dlio::store::{
    GetRequest, ListRequest, Part, PutCondition, PutOptions, PutResult, Store, UploadTotal, store_for_uri,
};
use s3dlio::{Code, Result};
use std::future::Future;
use std::path::Path;

/// Both schemes, where a test holds for both.
const SCHEMES: [&str; 2] = ["file", "direct"];

fn wait<F: Future>(future: F) -> F::Output {
    s3dlio::runtime::block_on(future).unwrap()
}

fn open(scheme: &str, root: &Path) -> Store {
    open_with(scheme, root, Options::new())
}

fn open_with(scheme: &str, root: &Path, options: Options) -> Store {
    store_for_uri(&format!("{scheme}://{}", root.display()), &options).unwrap()
}

fn put(store: &Store, key: &str, data: &[u8]) -> Result<PutResult> {
    put_if(store, key, data, PutCondition::Always)
}

fn put_if(store: &Store, key: &str, data: &[u8], condition: PutCondition) -> Result<PutResult> {
    let options = PutOptions { condition, ..PutOptions::default() };
    wait(store.put(key, Bytes::copy_from_slice(data).into(), &options))
}

fn get(store: &Store, key: &str) -> Result<Vec<u8>> {
    let size = wait(store.stat(key))?.size;
    get_at(store, key, 0, size as usize)
}

fn get_at(store: &Store, key: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
    let (window, owner) = window(length);
    let request = GetRequest { offset, ..GetRequest::default() };
    let result = wait(store.get_into(key, request, window))?;
    Ok(owner.reclaim(result.bytes).unwrap().to_vec())
}

/// Memory of exactly `length` bytes.
fn window(length: usize) -> (Window, s3dlio::base::buffer::WindowOwner) {
    let (window, owner) = Buffer::allocate(length).unwrap().into_window();
    (window.split_at(length).0, owner)
}

/// Uploads in parts; aborts where that fails.
fn upload(store: &Store, key: &str, parts: &[&[u8]]) -> Result<PutResult> {
    let upload = wait(store.create_upload(key, &PutOptions::default()))?;
    let put_all = || {
        let (mut offset, mut whole) = (0, Crc32c::new());
        for (number, data) in parts.iter().enumerate() {
            let crc32c = Crc32c::of(data);
            let data = Bytes::copy_from_slice(data);
            let length = data.len() as u64;
            wait(upload.put_part(Part { number: number as u32, offset, data, crc32c }))?;
            offset += length;
            whole = whole.combine(crc32c);
        }
        wait(upload.complete(parts.len() as u32, UploadTotal { crc32c: whole }))
    };
    let result = put_all();
    if result.is_err() {
        wait(upload.abort()).unwrap();
    }
    result
}

/// All keys, page by page.
fn list(store: &Store, prefix: &str, one_level: bool) -> Result<Vec<String>> {
    let mut request = ListRequest { prefix: prefix.into(), one_level, ..ListRequest::default() };
    let mut keys = Vec::new();
    loop {
        let page = wait(store.list_page(&request))?;
        keys.extend(page.entries.iter().map(|entry| entry.key().to_owned()));
        request.continuation = page.next;
        if request.continuation.is_none() {
            return Ok(keys);
        }
    }
}

/// Every name below `folder`, also those that listings hide.
fn names_below(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            names.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            }
        }
    }
    names.sort();
    names
}

#[track_caller]
fn assert_code<T: std::fmt::Debug>(result: Result<T>, code: Code) -> s3dlio::Error {
    let error = result.expect_err("this should have failed");
    assert_eq!(error.code(), code, "{error}");
    assert!(error.operation().is_some() && error.uri().is_some(), "no context: {error}");
    error
}
