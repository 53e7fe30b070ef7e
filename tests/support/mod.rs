//! Backends for integration tests: each call gives a fresh root on a real server or disk.
//!
//! Servers come from the environment (`python3 tests/support/servers.py run -- cargo test ...`); one that is not
//! named there is started once per test process and ends with it. Nothing is skipped: a server that does not start
//! fails the test with the server's log.
#![allow(dead_code)] // every test binary uses a part of it

use faultd::{Config, Faultd};
use s3dlio::base::uri::Uri;
use s3dlio::options::Options;
use s3dlio::runtime::block_on;
use s3dlio::store::{Store, store_for_uri};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

/// The identity that every S3 test server knows.
pub const S3_ACCESS_KEY: &str = "s3dliotest";
pub const S3_SECRET_KEY: &str = "s3dliotestsecret";
/// Azurite's well-known account.
pub const AZURITE_ACCOUNT: &str = "devstoreaccount1";
pub const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A place to store objects, with the options that reach it.
#[derive(Debug)]
pub struct Backend {
    /// `memory`, `file`, `direct`, `seaweed`, `s3b`, `azurite`, `faultd_s3` or `faultd_azure`.
    pub name: &'static str,
    /// Empty and nobody else's. Its bucket or container exists; a local folder's parent does.
    pub root_uri: String,
    pub options: Options,
    folder: Option<tempfile::TempDir>,
}

impl Backend {
    pub fn memory() -> Backend {
        let name = unique("memory");
        Backend {
            name: "memory",
            root_uri: format!("memory://{name}/root"),
            options: Options::new(),
            folder: None,
        }
    }

    pub fn file() -> Backend {
        Backend::local("file")
    }

    pub fn direct() -> Backend {
        Backend::local("direct")
    }

    /// SeaweedFS: the S3 server that checks signatures and conditions. It keeps keys as paths.
    pub fn seaweed() -> Backend {
        let mut backend = Backend::s3("seaweed", "S3DLIO_TEST_SEAWEED");
        backend.options.set("s3.literal_keys", "false").expect("the option takes a bool");
        backend
    }

    /// The second S3 server; see servers.py for which and what it lacks.
    pub fn s3b() -> Backend {
        Backend::s3("s3b", "S3DLIO_TEST_S3B")
    }

    pub fn azurite() -> Backend {
        let options = azure_options(&server("azurite", "S3DLIO_TEST_AZURITE"));
        let container = container("azurite", &format!("az://{AZURITE_ACCOUNT}/"), &options);
        Backend {
            name: "azurite",
            root_uri: format!("{container}/{}", unique("root")),
            options,
            folder: None,
        }
    }

    /// faultd's S3, without faults; it checks signatures, checksums and conditions.
    pub fn faultd_s3() -> Backend {
        let options = s3_options(&faultd().s3_endpoint());
        let bucket = container("faultd_s3", "s3://", &options);
        Backend { name: "faultd_s3", root_uri: format!("{bucket}/{}", unique("root")), options, folder: None }
    }

    /// faultd's Azure, without faults; it checks signatures and conditions.
    pub fn faultd_azure() -> Backend {
        let options = azure_options(&faultd().azure_endpoint());
        let container = container("faultd_azure", &format!("az://{AZURITE_ACCOUNT}/"), &options);
        let root_uri = format!("{container}/{}", unique("root"));
        Backend { name: "faultd_azure", root_uri, options, folder: None }
    }

    /// A fresh root on each of the six.
    pub fn all() -> Vec<Backend> {
        let make = [
            Backend::memory,
            Backend::file,
            Backend::direct,
            Backend::seaweed,
            Backend::s3b,
            Backend::azurite,
        ];
        make.iter().map(|make| make()).collect()
    }

    /// The store at the root.
    pub fn store(&self) -> Store {
        store_for_uri(&self.root_uri, &self.options).expect("the test's backend opens")
    }

    /// The root of a bucket, container or folder that does not exist; a new name at every call.
    pub fn missing_container_uri(&self) -> String {
        let name = unique("missing");
        match &self.folder {
            Some(folder) => format!("{}://{}/{name}", self.name, folder.path().display()),
            None => {
                let root = Uri::parse(&self.root_uri).expect("the root is a URI");
                let account = self.root_uri.split(root.container()).next().unwrap_or_default();
                format!("{account}{name}")
            }
        }
    }

    /// The local folder of `file` and `direct`, which the backend removes when it is dropped.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(|folder| folder.path())
    }

    fn local(scheme: &'static str) -> Backend {
        // Beside the build, not in /tmp, which may be a tmpfs without O_DIRECT.
        let folder = tempfile::Builder::new()
            .prefix("store-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a temporary folder can be made");
        let root_uri = format!("{scheme}://{}/root", folder.path().display());
        Backend { name: scheme, root_uri, options: Options::new(), folder: Some(folder) }
    }

    fn s3(name: &'static str, variable: &str) -> Backend {
        let options = s3_options(&server(name, variable));
        let bucket = container(name, "s3://", &options);
        Backend { name, root_uri: format!("{bucket}/{}", unique("root")), options, folder: None }
    }
}

/// Options for an S3 server at this endpoint with the tests' identity.
pub fn s3_options(endpoint: &str) -> Options {
    set(&[
        ("s3.endpoint", endpoint),
        ("s3.region", "us-east-1"),
        ("s3.access_key_id", S3_ACCESS_KEY),
        ("s3.secret_access_key", S3_SECRET_KEY),
    ])
}

/// Options for a blob service at this endpoint with the emulators' identity.
pub fn azure_options(endpoint: &str) -> Options {
    set(&[("azure.endpoint", endpoint), ("azure.account_key", AZURITE_KEY)])
}

/// A faultd of this process without a script; tests with one start their own.
fn faultd() -> &'static Faultd {
    static STARTED: OnceLock<Faultd> = OnceLock::new();
    let config = || Config { verify_signatures: true, ..Config::default() };
    STARTED.get_or_init(|| Faultd::start(config()).expect("faultd listens on loopback"))
}

fn set(pairs: &[(&str, &str)]) -> Options {
    let mut options = Options::new();
    for (key, value) in pairs {
        options.set(key, value).expect("the test's options are legal");
    }
    options
}

/// A name that no other test, process or run has: letters, digits and dashes.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = std::time::UNIX_EPOCH.elapsed().expect("the clock is past 1970").as_nanos() as u64;
    format!("{what}-{:x}-{:x}-{}", std::process::id(), nanos, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The bucket or container that the tests of this process share on a server; made at first use.
fn container(name: &'static str, prefix: &str, options: &Options) -> String {
    static MADE: Mutex<Option<HashMap<&'static str, String>>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(|e| e.into_inner());
    let made = made.get_or_insert_default();
    if let Some(uri) = made.get(name) {
        return uri.clone();
    }
    let uri = format!("{prefix}{}", unique("tests"));
    let store = store_for_uri(&uri, options).expect("the test's backend opens");
    block_on(store.create_container()).expect("the runtime runs").expect("the test's container is made");
    made.insert(name, uri.clone());
    uri
}

/// The Python that has boto3, azure-storage-blob and numpy.
pub fn python() -> PathBuf {
    let tools = std::env::var_os("S3DLIO_TEST_TOOLS").filter(|path| !path.is_empty());
    let tools = tools.map(PathBuf::from).unwrap_or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
        cache.unwrap_or_else(home).join("s3dlio").join("tools")
    });
    tools.join("py/bin/python")
}

/// The endpoint of a test server: from the environment, else of one that is started now.
pub fn server(name: &'static str, variable: &str) -> String {
    if let Ok(value) = std::env::var(variable)
        && !value.is_empty()
    {
        return value;
    }
    static STARTED: OnceLock<Mutex<HashMap<String, Started>>> = OnceLock::new();
    let mut started = STARTED.get_or_init(Mutex::default).lock().unwrap_or_else(|e| e.into_inner());
    started.entry(name.to_owned()).or_insert_with(|| start(name, variable)).value.clone()
}

struct Started {
    value: String,
    /// Its stdin is a pipe from us: it ends when this process does, however that happens.
    _process: Child,
}

fn start(name: &str, variable: &str) -> Started {
    let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "support", "servers.py"].iter().collect();
    let mut process = Command::new("python3")
        .arg(script)
        .args(["serve", "--only", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts test servers");
    let output = process.stdout.take().expect("its output is piped");
    let prefix = format!("{variable}=");
    let lines = BufReader::new(output).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let lines: Vec<String> = lines.collect(); // to the end: the server must not write into a closed pipe
    let value = lines.iter().find_map(|line| line.strip_prefix(&prefix).map(str::to_owned));
    let Some(value) = value else {
        panic!(
            "the test server {name} did not start (see above for why); or run the tests under: python3 tests/support/servers.py run -- CMD"
        );
    };
    Started { value, _process: process }
}
