//! Moving objects: ranged gets, the writer and the reader, codec, validation, deletes of many, lists.
//!
//! Everything here works on any [`Store`](crate::store::Store), and is async: callers that block go
//! through [`runtime::block_on`](crate::runtime::block_on).

mod batch;
mod codec;
mod delete;
mod exact;
mod get;
mod list;
mod parts;
mod progress;
mod put;
mod range;
mod reader;
mod sink;
mod source;
mod tasks;
mod validate;
mod writer;

pub use codec::decompress;
pub use delete::delete_prefix;
pub use exact::{read_exact, run_apart};
pub use get::{get, get_admitted, get_batch, get_into, get_many, get_range, get_range_into, get_ranges};
pub use list::Lister;
pub use progress::count_bytes;
pub use put::{put, put_many};
pub use reader::Reader;
pub use validate::{Check, validate, validate_many};
pub use writer::{WriteStats, Writer};
