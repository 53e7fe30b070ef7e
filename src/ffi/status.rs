//! Names and meanings of statuses.

use super::types::{S3DLIO_END, S3DLIO_OK, S3DLIO_TIMEOUT};
use crate::error::Code;
use std::ffi::CStr;

pub fn name(status: i32) -> &'static CStr {
    match status {
        S3DLIO_OK => c"ok",
        S3DLIO_END => c"end",
        S3DLIO_TIMEOUT => c"wait_timeout",
        _ => Code::from_number(status).map_or(c"unknown", Code::c_name),
    }
}

pub fn doc(status: i32) -> &'static CStr {
    match status {
        S3DLIO_OK => c"Success.",
        S3DLIO_END => c"Not an error: there is nothing more.",
        S3DLIO_TIMEOUT => c"Not an error: a wait ended without an event.",
        _ => Code::from_number(status).map_or(c"A status that this version does not know.", Code::c_doc),
    }
}
