//! The one table of options. Keys of the C ABI, environment names, CLI flags and the reference page
//! derive from it; a value is resolved as set explicitly, else environment, else default.

use crate::base::secret::Secret;
use crate::error::{Code, Error, Result};
use std::collections::BTreeMap;
use std::fmt;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What values an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false` (also `1`/`0`, `yes`/`no`, `on`/`off`).
    Bool,
    /// A whole number within the bounds.
    Count { min: u64, max: u64 },
    /// Bytes within the bounds: a number, optionally with KiB, MiB, GiB, KB, MB or GB.
    Size { min: u64, max: u64 },
    /// Milliseconds within the bounds.
    Millis { min: u64, max: u64 },
    /// Any text.
    Text,
    /// Text that is never shown.
    Secret,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// The type's name in the C ABI and in the docs.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bool => "bool",
            Kind::Count { .. } => "count",
            Kind::Size { .. } => "size",
            Kind::Millis { .. } => "ms",
            Kind::Text => "text",
            Kind::Secret => "secret",
            Kind::Choice(_) => "choice",
        }
    }

    /// What is accepted, for messages and docs: `5242880..=5368709120`, `zstd|none`; may be empty.
    pub fn bounds(self) -> String {
        match self {
            Kind::Count { min, max } | Kind::Size { min, max } | Kind::Millis { min, max } => {
                if max == u64::MAX { format!("{min}..") } else { format!("{min}..={max}") }
            }
            Kind::Choice(words) => words.join("|"),
            Kind::Bool => "true|false".into(),
            Kind::Text | Kind::Secret => String::new(),
        }
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct OptionDef {
    /// The dotted key, such as `transfer.part_size`.
    pub key: &'static str,
    pub kind: Kind,
    /// The default in the form that [`Options::set`] takes; empty text means "not set".
    pub default: &'static str,
    /// The environment variables that set it, first wins.
    pub env: &'static [&'static str],
    /// What it does, in one or two sentences.
    pub doc: &'static str,
}

macro_rules! options {
    ($($name:ident = $key:literal, $kind:expr, $default:literal, $env:expr, $doc:literal;)+) => {
        $(#[doc = $doc] pub static $name: OptionDef =
            OptionDef { key: $key, kind: $kind, default: $default, env: &$env, doc: $doc };)+
        /// Every option, in the order of its key.
        pub static TABLE: &[&OptionDef] = &[$(&$name,)+];
    };
}

options! {
AZURE_ACCOUNT_KEY = "azure.account_key", Kind::Secret, "", ["S3DLIO_AZURE_ACCOUNT_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"],
    "Shared key of the storage account, base64.";
AZURE_ANONYMOUS = "azure.anonymous", Kind::Bool, "false", ["S3DLIO_AZURE_ANONYMOUS"],
    "Send unsigned requests, for public containers.";
AZURE_CONNECTION_STRING = "azure.connection_string", Kind::Secret, "", ["S3DLIO_AZURE_CONNECTION_STRING", "AZURE_STORAGE_CONNECTION_STRING"],
    "Connection string; its BlobEndpoint, AccountKey and SharedAccessSignature are used.";
AZURE_ENDPOINT = "azure.endpoint", Kind::Text, "", ["S3DLIO_AZURE_ENDPOINT", "AZURE_STORAGE_ENDPOINT"],
    "Blob service URL up to and including the account, such as http://127.0.0.1:10000/devstoreaccount1; default https://ACCOUNT.blob.core.windows.net.";
AZURE_SAS_TOKEN = "azure.sas_token", Kind::Secret, "", ["S3DLIO_AZURE_SAS_TOKEN", "AZURE_STORAGE_SAS_TOKEN"],
    "Shared access signature: the query string, with or without the leading question mark.";
CHECKPOINT_KEEP_EVERY = "checkpoint.keep_every", Kind::Count { min: 0, max: u64::MAX }, "0", ["S3DLIO_CHECKPOINT_KEEP_EVERY"],
    "When a commit prunes, checkpoints whose step is a multiple of this stay; 0 keeps none for that reason.";
CHECKPOINT_KEEP_LAST = "checkpoint.keep_last", Kind::Count { min: 0, max: u64::MAX }, "0", ["S3DLIO_CHECKPOINT_KEEP_LAST"],
    "After a commit, delete all but this many of the newest checkpoints; 0 deletes none.";
CHECKPOINT_PREFIXES = "checkpoint.prefixes", Kind::Count { min: 1, max: 65_536 }, "16", ["S3DLIO_CHECKPOINT_PREFIXES"],
    "Over how many prefixes the strategy round_robin spreads a checkpoint's shards.";
CHECKPOINT_READ_WASTE = "checkpoint.read_waste", Kind::Count { min: 0, max: 1000 }, "10", ["S3DLIO_CHECKPOINT_READ_WASTE"],
    "How much more may be read than is needed, in percent, where that saves requests when slices of tensors are loaded.";
CHECKPOINT_STRATEGY = "checkpoint.strategy", Kind::Choice(&["flat", "round_robin", "binary"]), "flat", ["S3DLIO_CHECKPOINT_STRATEGY"],
    "How a checkpoint's shards are spread over key prefixes: one folder, a number of them, or by the reversed bits of the rank.";
CHECKPOINT_TIMEOUT_MS = "checkpoint.timeout_ms", Kind::Millis { min: 1, max: 604_800_000 }, "600000", ["S3DLIO_CHECKPOINT_TIMEOUT_MS"],
    "How long a rank waits for the others of its save: for the id, for all receipts, for the commit.";
DIRECT_ALIGNMENT = "direct.alignment", Kind::Size { min: 0, max: MIB }, "0", ["S3DLIO_DIRECT_ALIGNMENT"],
    "Alignment of offsets, lengths and memory of O_DIRECT I/O, a power of two; 0 detects it.";
DIRECT_FALLBACK = "direct.fallback", Kind::Choice(&["buffered", "error"]), "buffered", ["S3DLIO_DIRECT_FALLBACK"],
    "What to do where the file system refuses O_DIRECT: buffered I/O (counted and logged), or an error.";
DIRECT_MIN_IO_SIZE = "direct.min_io_size", Kind::Size { min: 0, max: GIB }, "1MiB", ["S3DLIO_DIRECT_MIN_IO_SIZE"],
    "Smallest O_DIRECT request that a bounce buffer is filled for, rounded up to the alignment.";
FILE_SYNC = "file.sync", Kind::Bool, "true", ["S3DLIO_FILE_SYNC"],
    "Flush file and folder to the device before a write on file:// or direct:// reports success.";
LOADER_BATCH_TIMEOUT_MS = "loader.batch_timeout_ms", Kind::Millis { min: 0, max: 604_800_000 }, "0", ["S3DLIO_LOADER_BATCH_TIMEOUT_MS"],
    "How long a batch is waited for; 0 waits as long as it takes. Then TIMEOUT, or in completion order a short batch of what is there.";
LOADER_DECOMPRESS = "loader.decompress", Kind::Choice(&["auto", "none"]), "auto", ["S3DLIO_LOADER_DECOMPRESS"],
    "Whether whole objects whose keys end in .zst are decompressed.";
LOADER_DROP_LAST = "loader.drop_last", Kind::Bool, "false", ["S3DLIO_LOADER_DROP_LAST"],
    "Leave out the last batch of an epoch where it is short.";
LOADER_IN_FLIGHT = "loader.in_flight", Kind::Count { min: 0, max: 4096 }, "0", ["S3DLIO_LOADER_IN_FLIGHT"],
    "Items that a loader fetches at once; 0 takes transfer.get_many_concurrency.";
LOADER_MAX_IN_FLIGHT = "loader.max_in_flight", Kind::Count { min: 0, max: 65_536 }, "0", ["S3DLIO_LOADER_MAX_IN_FLIGHT"],
    "Items under way at most, with those that take half as long again as most and do not count for loader.in_flight; 0: 8 times as many as that.";
LOADER_ON_ERROR = "loader.on_error", Kind::Choice(&["raise", "skip", "substitute"]), "raise", ["S3DLIO_LOADER_ON_ERROR"],
    "What becomes of an item that fails: its error is that of the batch, and the next batch goes on behind it; its place stays empty; or the next item takes its place.";
LOADER_ORDER = "loader.order", Kind::Choice(&["ordered", "completion"]), "ordered", ["S3DLIO_LOADER_ORDER"],
    "Whether items are handed over in the order of the epoch, or as they arrive, so that none waits for a slow one.";
LOADER_PREFETCH_BATCHES = "loader.prefetch_batches", Kind::Count { min: 0, max: 1_000_000 }, "8", ["S3DLIO_LOADER_PREFETCH_BATCHES"],
    "Batches that a loader fetches ahead of the one that is drawn.";
LOADER_PREFETCH_BYTES = "loader.prefetch_bytes", Kind::Size { min: 64 * KIB, max: 1024 * GIB }, "256MiB", ["S3DLIO_LOADER_PREFETCH_BYTES"],
    "Bytes that a loader holds ahead of the caller, within memory.budget; exceeded only by the item that the next batch waits for.";
LOADER_PRESET = "loader.preset", Kind::Choice(&["none", "conservative", "balanced", "aggressive"]), "none", ["S3DLIO_LOADER_PRESET"],
    "Sets loader.order, loader.in_flight, loader.max_in_flight, loader.prefetch_batches and loader.prefetch_bytes where they are not set.";
LOADER_SHUFFLE = "loader.shuffle", Kind::Choice(&["none", "window", "full"]), "none", ["S3DLIO_LOADER_SHUFFLE"],
    "The order of an epoch: the dataset's own, permuted within windows, or permuted as a whole where its length is known.";
LOADER_SHUFFLE_WINDOW = "loader.shuffle_window", Kind::Count { min: 1, max: 1_000_000_000 }, "10000", ["S3DLIO_LOADER_SHUFFLE_WINDOW"],
    "Items per window of loader.shuffle=window. Of files that are read in sequence a window's records are held in memory.";
LOADER_SPLIT_FILES = "loader.split_files", Kind::Choice(&["file", "record"]), "file", ["S3DLIO_LOADER_SPLIT_FILES"],
    "Whether ranks and workers share files that are read in sequence by whole files, or each reads all of them and takes its part of the records.";
LOADER_VALIDATE = "loader.validate", Kind::Bool, "false", ["S3DLIO_LOADER_VALIDATE"],
    "Fail items whose object is no longer of the size or ETag that was listed (CHANGED), or not of the checksum that its store recorded (CHECKSUM).";
LOCAL_BLOCK_SIZE = "local.block_size", Kind::Size { min: 4 * KIB, max: GIB }, "1MiB", ["S3DLIO_LOCAL_BLOCK_SIZE"],
    "Bytes per request where a large direct:// transfer is cut into requests for io_uring, rounded up to the alignment.";
LOCAL_IO_URING = "local.io_uring", Kind::Choice(&["auto", "on", "off"]), "auto", ["S3DLIO_LOCAL_IO_URING"],
    "Whether file:// and direct:// use io_uring: where the system allows it (else they go without, counted and logged), always (an error where it is not allowed), or never. Only Linux has it.";
LOCAL_QUEUE_DEPTH = "local.queue_depth", Kind::Count { min: 1, max: 1024 }, "32", ["S3DLIO_LOCAL_QUEUE_DEPTH"],
    "Requests that one file:// or direct:// operation keeps under way with io_uring.";
LOG_LEVEL = "log.level", Kind::Choice(&["off", "error", "warn", "info", "debug", "trace"]), "warn", ["S3DLIO_LOG_LEVEL"],
    "Most detailed level that a log callback or log descriptor receives.";
MEMORY_BUDGET = "memory.budget", Kind::Size { min: 16 * MIB, max: 1024 * GIB }, "512MiB", ["S3DLIO_MEMORY_BUDGET"],
    "Bytes that all writers' parts and all readers' read-ahead may hold together; where it is used up, parts are smaller and wait for each other, and less is read ahead. Process-wide: the store that opened last decides.";
MEMORY_POOL_IDLE = "memory.pool_idle", Kind::Size { min: 0, max: 1024 * GIB }, "128MiB", ["S3DLIO_POOL_IDLE"],
    "Bytes of unused buffers that the process keeps for reuse. Process-wide: the store that opened last decides.";
NET_CA_BUNDLE = "net.ca_bundle", Kind::Text, "", ["S3DLIO_CA_BUNDLE", "AWS_CA_BUNDLE"],
    "PEM file of the certificate authorities to trust instead of the system's.";
NET_CONNECT_TIMEOUT_MS = "net.connect_timeout_ms", Kind::Millis { min: 1, max: 3_600_000 }, "5000", ["S3DLIO_CONNECT_TIMEOUT_MS"],
    "Time to establish a connection, TLS included.";
NET_IDLE_TIMEOUT_MS = "net.idle_timeout_ms", Kind::Millis { min: 0, max: 3_600_000 }, "15000", ["S3DLIO_HTTP_IDLE_TIMEOUT_MS"],
    "How long an unused connection is kept; 0 closes it at once.";
NET_MAX_ATTEMPTS = "net.max_attempts", Kind::Count { min: 1, max: 100 }, "5", ["S3DLIO_MAX_ATTEMPTS"],
    "How often one request is tried before its error is reported.";
NET_MAX_CONNECTIONS = "net.max_connections", Kind::Count { min: 1, max: 65_536 }, "200", ["S3DLIO_MAX_HTTP_CONNECTIONS"],
    "Requests in flight per endpoint, and connections kept.";
NET_OPERATION_TIMEOUT_MS = "net.operation_timeout_ms", Kind::Millis { min: 0, max: 604_800_000 }, "0", ["S3DLIO_OPERATION_TIMEOUT_MS"],
    "Deadline of one logical operation with all its attempts; 0 sets none.";
NET_OPTIMIZED = "net.optimized", Kind::Bool, "true", ["S3DLIO_NET_OPTIMIZED", "S3DLIO_USE_OPTIMIZED_HTTP"],
    "Send the requests that carry objects (GET, HEAD, PUT, UploadPart) over the library's own data plane; false sends all through the service's SDK, for comparison.";
NET_PROGRESS_TIMEOUT_MS = "net.progress_timeout_ms", Kind::Millis { min: 1, max: 3_600_000 }, "30000", ["S3DLIO_PROGRESS_TIMEOUT_MS"],
    "Time without a single byte after which an attempt is given up; a slow but progressing one never is.";
OPLOG_LEVEL = "oplog.level", Kind::Count { min: 1, max: 22 }, "1", ["S3DLIO_OPLOG_LEVEL"],
    "zstd level of an op-log whose name ends in .zst, 1 is fastest.";
OPLOG_PATH = "oplog.path", Kind::Text, "", ["S3DLIO_OPLOG"],
    "File that every operation of the process is written to as a row, in the format of MinIO's warp; compressed where the name ends in .zst. Process-wide: the first store that opens with it starts the log.";
READER_DECOMPRESS = "reader.decompress", Kind::Bool, "true", ["S3DLIO_DECOMPRESS"],
    "Decompress objects whose key ends in .zst when they are read.";
READER_READ_AHEAD = "reader.read_ahead", Kind::Size { min: 0, max: 64 * GIB }, "32MiB", ["S3DLIO_READ_AHEAD"],
    "Bytes that a sequential reader fetches before they are asked for; 0 fetches none.";
RUNTIME_THREADS = "runtime.threads", Kind::Count { min: 0, max: 1024 }, "0", ["S3DLIO_RT_THREADS"],
    "Worker threads of the process; 0 takes one per CPU, at most 32. Process-wide; read at the first use.";
S3_ACCESS_KEY_ID = "s3.access_key_id", Kind::Text, "", ["S3DLIO_S3_ACCESS_KEY_ID"],
    "Static access key; without it the usual chain of environment, profiles, SSO, web identity, container and instance is asked.";
S3_ADDRESSING = "s3.addressing", Kind::Choice(&["auto", "path", "virtual"]), "auto", ["S3DLIO_S3_ADDRESSING"],
    "Bucket in the path or in the host name; auto takes the path for custom endpoints.";
S3_ANONYMOUS = "s3.anonymous", Kind::Bool, "false", ["S3DLIO_S3_ANONYMOUS"],
    "Send unsigned requests, for public buckets.";
S3_CHECKSUM = "s3.checksum", Kind::Choice(&["crc32c", "required", "off"]), "crc32c", ["S3DLIO_S3_CHECKSUM"],
    "Send x-amz-checksum-crc32c with every upload, only where the service requires a checksum, or never.";
S3_CONDITIONAL_PUT = "s3.conditional_put", Kind::Bool, "true", ["S3DLIO_S3_CONDITIONAL_PUT"],
    "Whether the service honours If-None-Match and If-Match on writes; where it does not, conditional puts are refused instead of being silently unconditional, and a rename deletes its source without If-Match.";
S3_ENDPOINT = "s3.endpoint", Kind::Text, "", ["S3DLIO_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
    "URL of an S3-compatible service, such as http://127.0.0.1:8333.";
S3_LITERAL_KEYS = "s3.literal_keys", Kind::Bool, "true", ["S3DLIO_S3_LITERAL_KEYS"],
    "Whether the service keeps every key as it is, as AWS does; false says that it keeps keys as paths: keys with empty, . or .. segments, a slash at the end or a backslash are then refused instead of being stored under another name, and its lists may come in the order of a walk through folders.";
S3_PROFILE = "s3.profile", Kind::Text, "", ["S3DLIO_S3_PROFILE", "AWS_PROFILE"],
    "Profile of the AWS configuration files.";
S3_REGION = "s3.region", Kind::Text, "", ["S3DLIO_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"],
    "Region; without it the profile's, then the bucket's own is asked for, then us-east-1.";
S3_SECRET_ACCESS_KEY = "s3.secret_access_key", Kind::Secret, "", ["S3DLIO_S3_SECRET_ACCESS_KEY"],
    "Secret of s3.access_key_id.";
S3_SESSION_TOKEN = "s3.session_token", Kind::Secret, "", ["S3DLIO_S3_SESSION_TOKEN"],
    "Session token of temporary static credentials.";
TRANSFER_GET_MANY_CONCURRENCY = "transfer.get_many_concurrency", Kind::Count { min: 1, max: 4096 }, "32", ["S3DLIO_GET_MANY_CONCURRENCY"],
    "Objects or ranges in flight in one call that reads many.";
TRANSFER_PART_SIZE = "transfer.part_size", Kind::Size { min: 5 * MIB, max: 4000 * MIB }, "16MiB", ["S3DLIO_PART_SIZE"],
    "Size of the parts that a writer uploads; it grows by itself before the service's limit of parts.";
TRANSFER_PARTS_IN_FLIGHT = "transfer.parts_in_flight", Kind::Count { min: 1, max: 256 }, "4", ["S3DLIO_PARTS_IN_FLIGHT"],
    "Parts of one writer that upload at the same time; a writer holds one more in memory.";
TRANSFER_PUT_MANY_CONCURRENCY = "transfer.put_many_concurrency", Kind::Count { min: 1, max: 4096 }, "32", ["S3DLIO_PUT_MANY_CONCURRENCY"],
    "Objects in flight in one call that stores many.";
TRANSFER_RANGE_CONCURRENCY = "transfer.range_concurrency", Kind::Count { min: 0, max: 1024 }, "0", ["S3DLIO_RANGE_CONCURRENCY"],
    "Ranges of one object in flight; 0 chooses by size and measured throughput.";
TRANSFER_RANGE_SIZE = "transfer.range_size", Kind::Size { min: 0, max: 4 * GIB }, "0", ["S3DLIO_CHUNK_SIZE"],
    "Bytes per range of a parallel get; 0 chooses by size and measured throughput.";
TRANSFER_RANGE_THRESHOLD = "transfer.range_threshold", Kind::Size { min: 64 * KIB, max: 1024 * GIB }, "16MiB", ["S3DLIO_RANGE_THRESHOLD"],
    "Gets of more bytes than this are split into parallel ranges.";
WRITER_COMPRESSION = "writer.compression", Kind::Choice(&["none", "zstd"]), "none", ["S3DLIO_COMPRESSION"],
    "Compress what a writer stores; .zst is appended to the key unless it is there.";
WRITER_COMPRESSION_LEVEL = "writer.compression_level", Kind::Count { min: 1, max: 22 }, "3", ["S3DLIO_COMPRESSION_LEVEL"],
    "zstd level, 1 is fastest.";
}

/// The row of this key; an unknown key's error names the nearest one.
pub fn find(key: &str) -> Result<&'static OptionDef> {
    if let Some(def) = TABLE.iter().find(|def| def.key == key) {
        return Ok(def);
    }
    let nearest = TABLE.iter().min_by_key(|def| distance(def.key, key)).map_or("", |def| def.key);
    Err(Error::new(Code::UnknownOption, format!("there is no option {key:?}"))
        .with_hint(format!("the nearest option is {nearest}")))
}

#[derive(Clone, PartialEq, Eq)]
enum Value {
    Bool(bool),
    Number(u64),
    Text(String),
    Secret(Secret),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(value) => write!(f, "{value}"),
            Value::Text(value) => write!(f, "{value:?}"),
            Value::Secret(value) => write!(f, "{value:?}"),
        }
    }
}

impl Value {
    fn parse(def: &OptionDef, text: &str) -> Result<Value> {
        let bad = || {
            let shown = if def.kind == Kind::Secret { "***".into() } else { format!("{text:?}") };
            let expected = match def.kind.bounds() {
                bounds if bounds.is_empty() => def.kind.name().to_owned(),
                bounds => format!("{} ({bounds})", def.kind.name()),
            };
            Error::new(
                Code::InvalidOption,
                format!("option {} cannot be {shown}; expected {expected}", def.key),
            )
        };
        if text.contains('\0') {
            return Err(bad());
        }
        Ok(match def.kind {
            Kind::Bool => Value::Bool(parse_bool(text).ok_or_else(bad)?),
            Kind::Text => Value::Text(text.to_owned()),
            Kind::Secret => Value::Secret(Secret::new(text)),
            Kind::Choice(words) if words.contains(&text) => Value::Text(text.to_owned()),
            Kind::Choice(_) => return Err(bad()),
            Kind::Count { min, max } | Kind::Millis { min, max } => {
                let number = text.trim().parse().map_err(|_| bad())?;
                if number < min || number > max {
                    return Err(bad());
                }
                Value::Number(number)
            }
            Kind::Size { min, max } => {
                let number = parse_size(text).ok_or_else(bad)?;
                if number < min || number > max {
                    return Err(bad());
                }
                Value::Number(number)
            }
        })
    }

    fn show(&self) -> String {
        match self {
            Value::Bool(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            Value::Text(value) => value.clone(),
            Value::Secret(secret) => {
                if secret.is_empty() {
                    String::new()
                } else {
                    "***".into()
                }
            }
        }
    }
}

/// Options as the caller set them. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options {
    set: BTreeMap<&'static str, Value>,
}

impl Options {
    pub fn new() -> Self {
        Options::default()
    }

    /// Sets an option from text.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let def = find(key)?;
        self.set.insert(def.key, Value::parse(def, value)?);
        Ok(())
    }

    /// Sets a number, size or time.
    pub fn set_u64(&mut self, key: &str, value: u64) -> Result<()> {
        self.set(key, &value.to_string())
    }

    /// As [`Options::set`], for chains.
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Result<Self> {
        self.set(key, &value.to_string())?;
        Ok(self)
    }

    /// The value in force as text: explicit, else environment, else default; secrets are masked.
    pub fn get(&self, key: &str) -> Result<String> {
        Ok(self.in_force(find(key)?)?.show())
    }

    /// Whether the caller or the environment set this option, so that a preset must not.
    pub fn is_set(&self, def: &'static OptionDef) -> bool {
        let in_environment = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        self.set.contains_key(def.key) || def.env.iter().any(in_environment)
    }

    /// The keys that were set explicitly, with their values as text; secrets are masked.
    pub fn explicit(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        self.set.iter().map(|(key, value)| (*key, value.show()))
    }

    /// Fixes every value now, so that later changes of the environment do not matter.
    pub fn resolve(&self) -> Result<Resolved> {
        let mut values = BTreeMap::new();
        for def in TABLE {
            values.insert(def.key, self.in_force(def)?);
        }
        Ok(Resolved { values })
    }

    /// `base` with the values that are set here explicitly.
    pub fn resolve_over(&self, base: &Resolved) -> Resolved {
        let mut values = base.values.clone();
        values.extend(self.set.iter().map(|(key, value)| (*key, value.clone())));
        Resolved { values }
    }

    fn in_force(&self, def: &'static OptionDef) -> Result<Value> {
        if let Some(value) = self.set.get(def.key) {
            return Ok(value.clone());
        }
        for name in def.env {
            match std::env::var(name) {
                Ok(text) if text.is_empty() => {}
                Ok(text) => {
                    return Value::parse(def, &text)
                        .map_err(|e| e.with_cause(format!("from the environment variable {name}")));
                }
                Err(std::env::VarError::NotPresent) => {}
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(Error::new(
                        Code::InvalidOption,
                        format!("the environment variable {name} is not UTF-8"),
                    ));
                }
            }
        }
        Value::parse(def, def.default)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.set).finish()
    }
}

/// Options with every value fixed; see [`Options::resolve`].
#[derive(Clone)]
pub struct Resolved {
    values: BTreeMap<&'static str, Value>,
}

impl Resolved {
    /// A count, size or time in milliseconds.
    pub fn number(&self, def: &'static OptionDef) -> u64 {
        match self.values.get(def.key) {
            Some(Value::Number(number)) => *number,
            _ => 0,
        }
    }

    /// A count or size that indexes memory.
    pub fn size(&self, def: &'static OptionDef) -> usize {
        usize::try_from(self.number(def)).unwrap_or(usize::MAX)
    }

    /// A time; zero means "none" where the option says so.
    pub fn duration(&self, def: &'static OptionDef) -> std::time::Duration {
        std::time::Duration::from_millis(self.number(def))
    }

    pub fn bool(&self, def: &'static OptionDef) -> bool {
        matches!(self.values.get(def.key), Some(Value::Bool(true)))
    }

    /// A text or choice; `None` where it is empty.
    pub fn text(&self, def: &'static OptionDef) -> Option<&str> {
        match self.values.get(def.key) {
            Some(Value::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// A secret; `None` where it is empty.
    pub fn secret(&self, def: &'static OptionDef) -> Option<&Secret> {
        match self.values.get(def.key) {
            Some(Value::Secret(secret)) if !secret.is_empty() => Some(secret),
            _ => None,
        }
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.values).finish()
    }
}

/// The names of environment variables that start with `S3DLIO_` but belong to no option.
pub fn unknown_environment() -> Vec<String> {
    let known = |name: &str| {
        name.starts_with("S3DLIO_TEST_")
            || NOT_OPTIONS.contains(&name)
            || TABLE.iter().any(|def| def.env.contains(&name))
    };
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| name.starts_with("S3DLIO_") && !known(name)).collect()
}

/// Warns of [`unknown_environment`], once as soon as somebody listens to warnings.
pub fn warn_of_unknown_environment() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    if tracing::enabled!(tracing::Level::WARN) {
        ONCE.call_once(|| {
            for name in unknown_environment() {
                tracing::warn!("the environment variable {name} belongs to no option and has no effect");
            }
        });
    }
}

/// Variables of the bindings and tests that are no options of the library.
const NOT_OPTIONS: &[&str] = &["S3DLIO_LIBRARY", "S3DLIO_LIB_DIR", "S3DLIO_BLESS"];

fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Bytes as options of [`Kind::Size`] take them: `4096`, `64MiB`, `1GB`.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => KIB,
        "mib" | "m" => MIB,
        "gib" | "g" => GIB,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Edit distance (Levenshtein), for naming the nearest key.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_parses_and_keys_are_sorted_and_unique() {
        for def in TABLE {
            assert!(Value::parse(def, def.default).is_ok(), "{}", def.key);
            assert!(def.env[0].starts_with("S3DLIO_"), "{}", def.key);
            assert!(def.doc.ends_with('.'), "{}", def.key);
        }
        assert!(TABLE.windows(2).all(|w| w[0].key < w[1].key), "keys are not in order");
    }

    #[test]
    fn unknown_key_names_the_nearest() {
        let error = Options::new().set("transfer.partsize", "1").unwrap_err();
        assert_eq!(error.code(), Code::UnknownOption);
        assert!(error.to_string().contains("transfer.part_size"), "{error}");
    }

    #[test]
    fn values_are_typed_and_bounded() {
        let mut options = Options::new();
        options.set("transfer.part_size", "8MiB").unwrap();
        assert_eq!(options.resolve().unwrap().number(&TRANSFER_PART_SIZE), 8 << 20);
        let bad = [
            ("transfer.part_size", "1MiB"),
            ("transfer.part_size", "-1"),
            ("transfer.part_size", "8 parsecs"),
            ("transfer.part_size", "99999999999999999999"),
            ("s3.anonymous", "perhaps"),
            ("writer.compression", "gzip"),
            ("writer.compression_level", "23"),
            ("s3.region", "a\0b"),
        ];
        for (key, value) in bad {
            assert_eq!(options.set(key, value).unwrap_err().code(), Code::InvalidOption, "{key}={value}");
        }
    }

    #[test]
    fn explicit_values_go_over_a_base() {
        let base = Options::new().with("transfer.part_size", "8MiB").unwrap().resolve().unwrap();
        let over = Options::new().with("writer.compression", "zstd").unwrap().resolve_over(&base);
        assert_eq!(over.number(&TRANSFER_PART_SIZE), 8 << 20);
        assert_eq!(over.text(&WRITER_COMPRESSION), Some("zstd"));
    }

    #[test]
    fn secrets_are_masked_everywhere() {
        let mut options = Options::new();
        options.set("s3.secret_access_key", "canary").unwrap();
        let error = options.set("s3.secret_access_key", "canary\0").unwrap_err();
        let shown = format!(
            "{options:?} {:?} {} {error}",
            options.resolve().unwrap(),
            options.get("s3.secret_access_key").unwrap()
        );
        assert!(!shown.contains("canary"), "{shown}");
        assert_eq!(options.resolve().unwrap().secret(&S3_SECRET_ACCESS_KEY).unwrap().reveal(), "canary");
    }
}
