//! What a request costs, next to a bare socket loop: run by hand against a server that hardly
//! counts, such as nginx on loopback.
//!
//! `SPEED_URL=http://127.0.0.1:9100 SPEED_PATHS=/bkt/s4k/{}x2000 SPEED_REQUESTS=10000 SPEED_TASKS=16
//! cargo test --release --test net -- --ignored --nocapture speed`

use crate::{config, endpoint, limits};
use s3dlio::net::{Body, Client, Config, Method, Request};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or(default.into())
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn cpu_seconds() -> f64 {
    // SAFETY: the kernel fills the plain struct.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Tasks that take the next request when one is done, each into memory of its own.
async fn pass(client: &Arc<Client>, memory: &mut Vec<Vec<u8>>, requests: usize) -> usize {
    let (url, paths) =
        (setting("SPEED_URL", "http://127.0.0.1:9100"), setting("SPEED_PATHS", "/bkt/s4k/{}x2000"));
    let (path, different) = paths.rsplit_once('x').unwrap();
    let different: usize = different.parse().unwrap();
    let upload: Arc<Vec<u8>> = Arc::new(vec![7; number("SPEED_PUT", 0)]);
    let next = Arc::new(AtomicUsize::new(0));
    let work = |mut memory: Vec<u8>| {
        let (client, next, path, url, upload) =
            (client.clone(), next.clone(), path.to_owned(), url.clone(), upload.clone());
        tokio::spawn(async move {
            let peer = client.peer(&endpoint(&url)).unwrap();
            let mut total = 0;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return (total, memory);
                }
                let target = path.replace("{}", &(number % different).to_string());
                let method = if upload.is_empty() { Method::Get } else { Method::Put };
                let request = Request::new(method, target).unwrap().with_body(Body::Slice(&upload));
                let mut answer = peer.send(&request, &limits()).await.unwrap();
                assert!(answer.status() / 100 == 2, "{answer:?}");
                total += upload.len() + answer.read_into(&mut memory).await.unwrap();
                answer.finish().await.unwrap();
            }
        })
    };
    let mut total = 0;
    let running: Vec<_> = memory.drain(..).map(work).collect();
    for task in running {
        let (bytes, used) = task.await.unwrap();
        total += bytes;
        memory.push(used);
    }
    total
}

#[test]
#[ignore = "a measurement: needs a server and a quiet machine"]
fn speed() {
    let (tasks, requests) = (number("SPEED_TASKS", 16), number("SPEED_REQUESTS", 10_000));
    let client = Arc::new(Client::new(Config { max_connections: tasks, ..config() }));
    // Touched before the measurement, as the caller's memory would be.
    let largest = if number("SPEED_PUT", 0) == 0 { number("SPEED_BYTES", 4096) } else { 0 };
    let mut memory: Vec<Vec<u8>> = (0..tasks).map(|_| vec![1; largest]).collect();
    crate::run(async {
        for warm in [true, false] {
            let (start, before) = (Instant::now(), cpu_seconds());
            let bytes = pass(&client, &mut memory, requests).await;
            let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - before);
            let gib = bytes as f64 / (1u64 << 30) as f64;
            if !warm {
                println!(
                    "net N={tasks} bytes={bytes} wall={wall:.4}s cpu={cpu:.4}s {:.3} GiB/s {:.0} obj/s {:.3} cpu-s/GiB {:.1} cpu-us/obj",
                    gib / wall,
                    requests as f64 / wall,
                    cpu / gib,
                    cpu / requests as f64 * 1e6
                );
            }
        }
    });
}
