//! The op-log: every logical operation as one row, in the format of MinIO's warp (SPEC O1).
//!
//! A log is text of tab-separated columns, usually compressed with zstd. [`record`] is one row, [`reader`] reads
//! a log of this library, of warp, or of JSON lines.

pub mod json;
pub mod reader;
pub mod record;
pub mod report;

pub use reader::{MAX_ROW, Reader, read};
pub use record::{HEADER, Op, Record};
