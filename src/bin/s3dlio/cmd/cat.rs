//! `cat`: objects to standard output.

use super::Verb;
use crate::app::App;
use crate::args;
use crate::exit::Outcome;
use crate::place::Place;
use crate::range;
use clap::{ArgMatches, Command};
use s3dlio::api::advanced::BufferPool;
use s3dlio::api::{Code, Error, Options, Reader};
use std::io::SeekFrom;
use std::sync::Arc;

pub const VERB: Verb = Verb { command, run };

const PIECE: usize = 4 << 20;

fn command() -> Command {
    Command::new("cat")
        .about("Write objects to standard output")
        .arg(args::uris("Of the objects, in their order"))
        .arg(range::arg())
        .arg(args::switch("decompress", Some('d'), "Decompress objects whose keys end in .zst"))
}

fn run(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let range = range::of(given)?;
    let decompress = given.get_flag("decompress");
    for text in args::strings(given, "uri") {
        let place = Place::parse(&text)?;
        app.wait(async {
            let (root, key) = place.uri.split_object()?;
            let store = app.store(&root.to_string())?;
            let options = Options::new().with("reader.decompress", decompress)?;
            let reader = Reader::open(&store, &key, &options.resolve_over(store.options())).await?;
            let (mut left, start) = match range {
                Some(range) => range.within(reader.size()?).map_err(|e| e.with_context("cat", &place.uri))?,
                None => (u64::MAX, 0),
            };
            if start > 0 {
                reader.seek(SeekFrom::Start(start)).await?;
            }
            while left > 0 {
                app.stop.check()?;
                let piece = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                let (window, owner) = BufferPool::global().take(piece)?.into_window();
                let read = reader.read(window.split_at(piece).0).await?;
                if read == 0 {
                    break;
                }
                left -= read as u64;
                let kept = || Error::new(Code::Internal, "a finished read still holds its memory");
                app.out.bytes(&owner.reclaim(read).ok_or_else(kept)?)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}
