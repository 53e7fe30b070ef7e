//! The op-log: every logical operation as one row, in the format of MinIO's warp (SPEC O1).
//!
//! A log is text of tab-separated columns, usually compressed with zstd. [`record`] is one row, [`reader`] reads
//! a log of this library, of warp, or of JSON lines. Every operation of a store passes [`observe`], and goes from
//! there to the process's log, where one is started.

mod channel;
mod held;
pub mod json;
mod observe;
mod output;
pub mod reader;
pub mod record;
mod replay;
pub mod report;
mod sheet;
mod sys;
mod writer;

pub use observe::{Site, Watch, cancelled};
pub use reader::{MAX_ROW, Reader, read};
pub use record::{HEADER, Op, Record};
pub use replay::{Filter, Progress, ReplayParams, ReplayStats, Share, replay};
pub use sheet::{Form, Sheet};
pub use writer::{Summary, progress, start, start_by_option, stop};
