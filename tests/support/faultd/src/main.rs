//! The server as a program, for tests in other languages.

use faultd::{Config, Faultd, Script, Service};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
faultd: an S3 and Azure Blob server that fails as its script says
usage: faultd [OPTION...]
  --s3 ADDRESS             listen for S3, such as 127.0.0.1:0 or [::1]:0; may be repeated
  --azure ADDRESS          listen for Azure Blob; may be repeated
                           (without either: one of each on 127.0.0.1)
  --script FILE            the rules; text or JSON (see the crate's documentation)
  --seed N                 seed of probabilities, of fault=any and of jitter
  --verify-signatures      refuse requests whose signature is missing or wrong
  --latency-ms N, --jitter-ms N, --bandwidth BYTES_PER_SECOND
  --min-part-size BYTES    of S3 uploads; default 5242880
  --faults                 print the table of faults and end
Prints one line when it is ready: FAULTD_S3=http://... FAULTD_AZURE=http://...
Ends when its stdin is closed, with a line of what was met and is left: FAULTS=N UPLOADS=N
";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("faultd: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(mut args: impl Iterator<Item = String>) -> Result<(), String> {
    let mut config = Config { s3: Vec::new(), azure: Vec::new(), ..Config::default() };
    let mut script = Script::default();
    while let Some(name) = args.next() {
        let mut value = || args.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--s3" => config.s3.push(address(&value()?)?),
            "--azure" => config.azure.push(address(&value()?)?),
            "--script" => {
                let path = value()?;
                let text = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
                script = Script::parse(&text).map_err(|why| format!("{path}: {why}"))?;
            }
            "--seed" => config.seed = number(&name, &value()?)?,
            "--verify-signatures" => config.verify_signatures = true,
            "--latency-ms" => config.shaping.latency = Duration::from_millis(number(&name, &value()?)?),
            "--jitter-ms" => config.shaping.jitter = Duration::from_millis(number(&name, &value()?)?),
            "--bandwidth" => config.shaping.bandwidth = Some(number(&name, &value()?)?),
            "--min-part-size" => config.min_part_size = number(&name, &value()?)?,
            "--faults" => return print(&faultd::fault_table()),
            "--help" | "-h" => return print(HELP),
            _ => return Err(format!("there is no option {name}; --help shows them")),
        }
    }
    if config.s3.is_empty() && config.azure.is_empty() {
        (config.s3, config.azure) = (Config::default().s3, Config::default().azure);
    }
    let faultd = Faultd::start(config).map_err(|e| format!("cannot listen: {e}"))?;
    faultd.script(script);
    let mut line = Vec::new();
    for (name, service) in [("FAULTD_S3", Service::S3), ("FAULTD_AZURE", Service::Azure)] {
        let endpoint = match service {
            Service::S3 => faultd.s3_endpoint(),
            Service::Azure => faultd.azure_endpoint(),
        };
        if !endpoint.is_empty() {
            line.push(format!("{name}={endpoint}"));
        }
    }
    print(&(line.join(" ") + "\n"))?;
    let mut sink = [0; 4096];
    while std::io::stdin().read(&mut sink).is_ok_and(|n| n > 0) {}
    let ledger = faultd.ledger();
    print(&format!("FAULTS={} UPLOADS={}\n", ledger.faults(), ledger.open_uploads))
}

/// Whoever started it may have gone; then there is nobody to tell.
fn print(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| format!("stdout: {e}"))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text} is no address; write 127.0.0.1:0 or [::1]:0"))
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name} {text}: expected a number"))
}
