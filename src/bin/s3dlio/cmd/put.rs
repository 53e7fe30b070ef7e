//! `put`: stores generated objects, or what comes from standard input.

use super::Verb;
use crate::app::App;
use crate::args;
use crate::exit::{Failure, Outcome, usage};
use crate::jobs::{Did, Items, Lanes, Run};
use crate::place::Place;
use crate::template::Template;
use crate::text;
use clap::{Arg, ArgMatches, Command, value_parser};
use s3dlio::api::advanced::{BufferPool, Scheme, parse_size};
use s3dlio::api::datagen::{Generator, ObjectFormat, ObjectParams, Params};
use s3dlio::api::{Error, PutOptions, Result, Store, Writer, put as put_whole};
use serde_json::json;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

pub const VERB: Verb = Verb { command, run };

/// What a large object is made in.
const PIECE: u64 = 16 << 20;

fn command() -> Command {
    let ratio = |name, help| {
        Arg::new(name)
            .long(name)
            .value_name("RATIO")
            .default_value("1")
            .value_parser(value_parser!(f64))
            .help(help)
    };
    Command::new("put")
        .about("Store generated objects, or standard input")
        .after_help(
            "One object gets the URI as its name, unless that ends in a slash; several go below it, named by \
             --name. Data that nobody can compress or deduplicate is made at memory speed; two runs with the same \
             --seed make the same bytes. `put --stdin URI` stores what comes from standard input.",
        )
        .arg(args::uri("Of the object, or of the folder"))
        .arg(args::number("count", "How many objects").short('n').default_value("1"))
        .arg(args::text("size", "SIZE", "Bytes of each object's data, such as 4KiB or 1GiB").short('s').default_value("1MiB"))
        .arg(
            args::text("type", "TYPE", "What the objects are")
                .short('t')
                .default_value("raw")
                .value_parser(["raw", "npz", "hdf5", "tfrecord", "tar"]),
        )
        .arg(args::number("records", "Records of each tfrecord or tar object; the first axis of an array").default_value("1"))
        .arg(args::text("dtype", "TYPE", "Of an array's elements: U8, I32, F32 ...").default_value("U8"))
        .arg(ratio("dedupe", "Blocks for each different block, from 1 to 1000"))
        .arg(ratio("compress", "Bytes for each byte that zstd makes of them, from 1 to 50"))
        .arg(args::text("block-size", "SIZE", "The unit of deduplication").default_value("4KiB"))
        .arg(args::number("seed", "What the bytes derive from; else another one for each run"))
        .arg(args::number("first", "The number of the first object").default_value("0"))
        .arg(args::text(
            "name",
            "TEMPLATE",
            "Names below the URI: {} is the object's number, {:06} with six digits; default object-{:06}.EXT",
        ))
        .arg(args::text("content-type", "TYPE", "The content type of what is stored"))
        .arg(args::switch("stdin", None, "Store what comes from standard input, of any length"))
        .arg(args::jobs("Objects at once"))
}

/// What to generate.
#[derive(Clone, Debug)]
struct Made {
    generator: Generator,
    params: ObjectParams,
    /// Of raw objects; and about that of others.
    size: u64,
    options: PutOptions,
    /// Whether the writer compresses what is stored.
    compress: bool,
}

fn run(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let place = Place::parse(args::string(given, "uri"))?;
    let options =
        PutOptions { content_type: given.get_one("content-type").cloned(), ..PutOptions::default() };
    if given.get_flag("stdin") {
        return from_stdin(app, &place, &options);
    }
    let number = |name| given.get_one::<u64>(name).copied();
    let (count, first) = (number("count").unwrap_or(1), number("first").unwrap_or(0));
    if first.checked_add(count).is_none() {
        return Err(usage(format!("there are no {count} numbers from --first {first} on")));
    }
    let compress = app.options.get("writer.compression")? == "zstd";
    let made = made(given, options, compress)?;
    let kind = args::string(given, "type").to_owned();
    let single = count == 1 && !place.folder && given.get_one::<String>("name").is_none();
    let (root, key) = match single {
        true => place.uri.split_object()?,
        false => (place.root(), String::new()),
    };
    let template = match given.get_one::<String>("name") {
        Some(text) => Template::parse(text)?,
        None => Template::parse(&format!("object-{{:06}}.{}", if kind == "raw" { "bin" } else { &kind }))?,
    };
    if count > 1 && !template.counts() {
        return Err(usage("--name gives every object the same name; put {} or {:06} where its number goes"));
    }
    let store = app.store(&root.to_string())?;
    let run = Run::new(app, "put");
    let size = made.size;
    let find = move |items: Items<u64>| async move {
        items.send_all(first..first + count, count, count.saturating_mul(size)).await
    };
    let (shown, counters) = (app.clone(), run.counters.clone());
    let (made, template, key) = (Arc::new(made), Arc::new(template), Arc::new(key));
    let job = move |number: u64| {
        let (store, made, app) = (store.clone(), made.clone(), shown.clone());
        let (template, key, counter) = (template.clone(), key.clone(), counters.bytes.clone());
        async move {
            let key = if key.is_empty() { template.name(number) } else { key.to_string() };
            let bytes = one(&store, &key, number, &made, &counter).await?;
            if app.verbose > 0 {
                let uri = store.root().join(&key).to_string();
                // Storing goes on where nobody reads what is said of it.
                let shown = app.out.line(
                    || format!("put {} ({})", text::name(&uri), text::size(bytes)),
                    || json!({ "operation": "put", "uri": uri, "bytes": bytes }),
                );
                if let Err(Failure::Failed(error)) = shown {
                    return Err(error.into());
                }
            }
            Ok(Did::Done(bytes))
        }
    };
    let local = place.is_local() || place.uri.scheme() == Scheme::Memory;
    let outcome = run.each(Lanes::new(number("jobs"), local, !local), find, job);
    run.finish(outcome, "put", false)
}

fn made(given: &ArgMatches, options: PutOptions, compress: bool) -> Outcome<Made> {
    let ratio = |name| given.get_one::<f64>(name).copied().unwrap_or(1.0);
    let number = |name| given.get_one::<u64>(name).copied();
    let bytes = |name: &str| {
        let text = args::string(given, name);
        parse_size(text)
            .ok_or_else(|| usage(format!("--{name} cannot be {text:?}; expected bytes, such as 4KiB")))
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let params = Params {
        seed: number("seed").unwrap_or(since.as_nanos() as u64),
        dedupe: ratio("dedupe"),
        compress: ratio("compress"),
        block_size: bytes("block-size")?,
        // Objects are made side by side already.
        threads: 1,
    };
    let (size, records) = (bytes("size")?, number("records").unwrap_or(1).max(1));
    let dtype = args::string(given, "dtype").to_uppercase();
    let format = match args::string(given, "type") {
        "npz" => ObjectFormat::Npz,
        "hdf5" => ObjectFormat::Hdf5,
        "tfrecord" => ObjectFormat::TfRecord,
        "tar" => ObjectFormat::Tar,
        _ => ObjectFormat::Raw,
    };
    let arrays = matches!(format, ObjectFormat::Npz | ObjectFormat::Hdf5);
    if format != ObjectFormat::Raw && size % records != 0 {
        return Err(usage(format!("--size {size} is no multiple of --records {records}")));
    }
    let item = if arrays { item_size(&dtype)? } else { 1 };
    if size / records % item != 0 {
        return Err(usage(format!(
            "--size {size} over {records} records is no multiple of {item}, a {dtype} element"
        )));
    }
    let params_of_object = ObjectParams {
        format,
        dtype,
        shape: vec![size / records / item],
        count: if arrays && records == 1 { 0 } else { records },
        record_size: size / records,
        name: String::new(),
    };
    Ok(Made { generator: Generator::new(&params)?, params: params_of_object, size, options, compress })
}

fn item_size(dtype: &str) -> Outcome<u64> {
    let bits: String = dtype.chars().filter(char::is_ascii_digit).collect();
    match (dtype, bits.parse::<u64>()) {
        ("BOOL", _) => Ok(1),
        (_, Ok(bits)) if bits >= 8 && bits.is_multiple_of(8) => Ok(bits / 8),
        _ => Err(usage(format!("--dtype cannot be {dtype:?}; expected BOOL, U8, I32, F32 and so on"))),
    }
}

async fn one(
    store: &Store,
    key: &str,
    number: u64,
    made: &Made,
    counter: &std::sync::atomic::AtomicU64,
) -> Result<u64> {
    let raw = made.params.format == ObjectFormat::Raw;
    if raw && made.size > PIECE || made.compress {
        let whole = if raw { None } else { Some(made.generator.object(number, &made.params)?) };
        return stream(store, key, number, made, whole, counter).await;
    }
    let stats = if raw {
        // Pooled: memory that is used again costs no page faults.
        let mut buffer = BufferPool::global().take(made.size as usize)?;
        buffer.set_len(made.size as usize);
        made.generator.fill(number, 0, &mut buffer)?;
        put_whole(store, key, buffer.into_bytes(), &made.options).await?
    } else {
        put_whole(store, key, made.generator.object(number, &made.params)?.into(), &made.options).await?
    };
    counter.fetch_add(stats.bytes, Relaxed);
    Ok(stats.bytes)
}

/// In pieces, so that its size does not matter.
async fn stream(
    store: &Store,
    key: &str,
    number: u64,
    made: &Made,
    whole: Option<Vec<u8>>,
    counter: &std::sync::atomic::AtomicU64,
) -> Result<u64> {
    let mut writer = Writer::open(store, key, store.options(), &made.options).await?;
    let size = whole.as_ref().map_or(made.size, |data| data.len() as u64);
    let mut at = 0;
    while at < size {
        let piece = (size - at).min(PIECE) as usize;
        let room = writer.reserve(piece).await?;
        match &whole {
            Some(data) => room[..piece].copy_from_slice(&data[at as usize..at as usize + piece]),
            None => made.generator.fill(number, at, &mut room[..piece])?,
        }
        writer.commit(piece).await?;
        at += piece as u64;
        counter.fetch_add(piece as u64, Relaxed);
    }
    Ok(writer.finish().await?.bytes)
}

fn from_stdin(app: &Arc<App>, place: &Place, options: &PutOptions) -> Outcome {
    let run = Run::new(app, "put");
    let _drawn = app.progress.draw("put", &run.counters);
    let (root, key) = place.uri.split_object()?;
    let store = app.store(&root.to_string())?;
    let counters = run.counters.clone();
    // Reading may wait for ever, so it has a thread of its own, and a wish to stop need not wait for it.
    let (sender, mut pieces) = tokio::sync::mpsc::channel::<std::io::Result<Vec<u8>>>(2);
    let read = move || {
        let mut stdin = std::io::stdin().lock();
        loop {
            let mut piece = Vec::new();
            match stdin.by_ref().take(PIECE / 4).read_to_end(&mut piece) {
                Ok(0) => return,
                outcome => {
                    if sender.blocking_send(outcome.map(|_| piece)).is_err() {
                        return;
                    }
                }
            }
        }
    };
    let thread = std::thread::Builder::new().name("stdin".into()).spawn(read);
    thread.map_err(|e| Error::from_io("cannot start a thread", &e))?;
    let outcome = app.wait(async {
        let mut writer = Writer::open(&store, &key, store.options(), options).await?;
        while let Some(piece) = pieces.recv().await {
            let unread =
                |e: std::io::Error| Error::from_io("cannot read standard input", &e).with_operation("put");
            let piece = piece.map_err(unread)?;
            let bytes = piece.len() as u64;
            writer.write_owned(piece.into()).await?;
            counters.bytes.fetch_add(bytes, Relaxed);
        }
        Ok(writer.finish().await?.bytes)
    });
    let outcome = outcome.map(|bytes| {
        run.tally.done();
        run.tally.bytes.fetch_add(bytes, Relaxed);
    });
    run.finish(outcome, "put", false)
}
