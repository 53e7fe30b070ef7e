//! Buckets, Azure containers, root folders.

use crate::context::{Context, assert_code};
use bytes::Bytes;
use s3dlio::Code;
use s3dlio::runtime::block_on;
use s3dlio::store::{ListRequest, PutOptions, Store};

fn names(store: &Store) -> Vec<String> {
    block_on(store.list_containers()).unwrap().unwrap().into_iter().map(|info| info.name).collect()
}

fn container_name(uri: &str) -> String {
    uri.trim_end_matches('/').rsplit('/').next().unwrap().to_owned()
}

pub fn create_list_delete(c: &Context) {
    let uri = c.fresh_container();
    let (store, name) = (c.open(&uri), container_name(&uri));
    assert!(!names(&store).contains(&name));
    block_on(store.create_container()).unwrap().unwrap();
    assert!(names(&store).contains(&name));
    block_on(store.put("k", Bytes::from_static(b"x").into(), &PutOptions::default())).unwrap().unwrap();
    block_on(store.delete("k")).unwrap().unwrap();
    block_on(store.delete_container()).unwrap().unwrap();
    assert!(!names(&store).contains(&name));
}

pub fn create_twice_already_exists(c: &Context) {
    let store = c.open(&c.fresh_container());
    block_on(store.create_container()).unwrap().unwrap();
    assert_code(block_on(store.create_container()).unwrap(), Code::AlreadyExists);
    block_on(store.delete_container()).unwrap().unwrap();
}

pub fn delete_refuses_while_objects_are_left(c: &Context) {
    let store = c.open(&c.fresh_container());
    block_on(store.create_container()).unwrap().unwrap();
    block_on(store.put("dir/k", Bytes::from_static(b"x").into(), &PutOptions::default())).unwrap().unwrap();
    assert_code(block_on(store.delete_container()).unwrap(), Code::NotEmpty);
    assert!(block_on(store.exists("dir/k")).unwrap().unwrap());
    block_on(store.delete("dir/k")).unwrap().unwrap();
    block_on(store.delete_container()).unwrap().unwrap();
}

pub fn missing_one_is_an_error_not_an_empty_list(c: &Context) {
    let store = c.open(&c.fresh_container());
    assert_code(block_on(store.list_page(&ListRequest::default())).unwrap(), Code::ContainerNotFound);
    assert_code(block_on(s3dlio::transfer::delete_prefix(&store, "")).unwrap(), Code::ContainerNotFound);
}

pub fn missing_one_on_get_and_stat(c: &Context) {
    let store = c.open(&c.fresh_container());
    assert_code(block_on(s3dlio::transfer::get(&store, "k")).unwrap(), Code::ContainerNotFound);
    assert_code(block_on(store.stat("k")).unwrap(), Code::ContainerNotFound);
    assert_code(block_on(store.exists("k")).unwrap(), Code::ContainerNotFound);
}
