//! The SDK client of a store: configuration from the options, credentials, region, connections.

use super::keys::{Given, Keys};
use super::plane::Plane;
use super::throttle::Throttled;
use super::tls;
use super::watch::WatchedClient;
use crate::base::key::KeyRules;
use crate::base::secret::Secret;
use crate::base::uri::Uri;
use crate::error::{Code, Error, Result};
use crate::net;
use crate::options::{self as opt, Resolved};
use crate::runtime::PerProcess;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};

/// What the options say, checked at open.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) endpoint: Option<String>,
    pub(super) anonymous: bool,
    pub(super) checksum: Checksum,
    pub(super) conditional_put: bool,
    pub(super) keys: KeyRules,
    pub(super) max_attempts: u32,
    pub(super) operation_timeout: Option<Duration>,
    pub(super) path_style: bool,
    pub(super) connect_timeout: Duration,
    pub(super) progress_timeout: Duration,
    /// Objects go over the data plane.
    optimized: bool,
    ca_bundle: Option<String>,
    region: Option<String>,
    profile: Option<Profile>,
    fixed: Option<Fixed>,
    tls: TlsContext,
    idle_timeout: Duration,
    max_connections: usize,
}

/// When to send a CRC32C with an upload; see the option `s3.checksum`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Checksum {
    Always,
    /// Only where the service demands one, which the SDK knows.
    Required,
    Off,
}

#[derive(Debug)]
struct Profile {
    name: String,
    /// Named by the option, so that it goes before credentials in the environment.
    explicit: bool,
}

#[derive(Debug)]
struct Fixed {
    id: String,
    secret: Secret,
    token: Option<Secret>,
}

/// The slowest that credentials may be where no metadata service answers.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// A store may make 200 retries in a burst and 4 per second on end; each success adds to that.
const RETRY_TOKENS: usize = 1000;
const RETRY_COST: u32 = 5;
const RETRY_REFILL: f32 = 20.0;
const DEFAULT_REGION: &str = "us-east-1";

impl Settings {
    pub(super) fn from_options(options: &Resolved) -> Result<Settings> {
        let text = |def| options.text(def).map(str::to_owned);
        let endpoint = text(&opt::S3_ENDPOINT);
        endpoint.as_deref().map_or(Ok(()), check_endpoint)?;
        let anonymous = options.bool(&opt::S3_ANONYMOUS);
        let fixed = fixed_credentials(options)?;
        if anonymous && fixed.is_some() {
            return Err(Error::new(
                Code::InvalidOption,
                "s3.anonymous and s3.access_key_id exclude each other; set one of them",
            ));
        }
        let in_environment = std::env::var(opt::S3_PROFILE.env.last().copied().unwrap_or_default()).ok();
        let profile = text(&opt::S3_PROFILE)
            .map(|name| Profile { explicit: Some(&name) != in_environment.as_ref(), name });
        let path_style = match options.text(&opt::S3_ADDRESSING) {
            Some("path") => true,
            Some("virtual") => false,
            _ => endpoint.is_some(),
        };
        let checksum = match options.text(&opt::S3_CHECKSUM) {
            Some("off") => Checksum::Off,
            Some("required") => Checksum::Required,
            _ => Checksum::Always,
        };
        let operation_timeout = options.duration(&opt::NET_OPERATION_TIMEOUT_MS);
        Ok(Settings {
            endpoint,
            anonymous,
            checksum,
            conditional_put: options.bool(&opt::S3_CONDITIONAL_PUT),
            keys: match options.bool(&opt::S3_LITERAL_KEYS) {
                true => KeyRules::LITERAL,
                false => KeyRules::SERVICE_PATHS,
            },
            max_attempts: u32::try_from(options.number(&opt::NET_MAX_ATTEMPTS)).unwrap_or(u32::MAX).max(1),
            operation_timeout: (!operation_timeout.is_zero()).then_some(operation_timeout),
            path_style,
            optimized: options.bool(&opt::NET_OPTIMIZED),
            ca_bundle: text(&opt::NET_CA_BUNDLE),
            region: text(&opt::S3_REGION),
            profile,
            fixed,
            tls: tls::context(options.text(&opt::NET_CA_BUNDLE))?,
            connect_timeout: options.duration(&opt::NET_CONNECT_TIMEOUT_MS),
            progress_timeout: options.duration(&opt::NET_PROGRESS_TIMEOUT_MS),
            idle_timeout: options.duration(&opt::NET_IDLE_TIMEOUT_MS),
            max_connections: options.size(&opt::NET_MAX_CONNECTIONS).clamp(1, Semaphore::MAX_PERMITS),
        })
    }

    /// How long to wait before attempt `failures + 1` of what the SDK does not retry itself.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        // Spread without a random number generator: callers differ in when they come here.
        let spread = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |d| d.subsec_nanos()) % 1000;
        let longest = FIRST_BACKOFF.saturating_mul(1 << failures.min(10)).min(LONGEST_BACKOFF);
        longest.mul_f64(0.5 + f64::from(spread) / 2000.0)
    }
}

/// `http://` or `https://`, a host, nothing secret.
fn check_endpoint(endpoint: &str) -> Result<()> {
    let bad = |why: &str| {
        // Not shown: there may be a password in it.
        Err(Error::new(Code::InvalidOption, format!("option s3.endpoint {why}"))
            .with_hint("write a URL such as http://127.0.0.1:8333 or https://s3.example.com"))
    };
    let lower = endpoint.to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("http://").or_else(|| lower.strip_prefix("https://")) else {
        return bad("is no http:// or https:// URL");
    };
    let (host, _) = rest.split_once('/').unwrap_or((rest, ""));
    if rest.contains('@') {
        return bad("must not hold a user or password; use s3.access_key_id and s3.secret_access_key");
    }
    if host.is_empty() || host.starts_with(':') {
        return bad("has no host name");
    }
    if rest.bytes().any(|b| !b.is_ascii_graphic() || matches!(b, b'?' | b'#')) {
        return bad("has a space, ? or # in it");
    }
    Ok(())
}

fn fixed_credentials(options: &Resolved) -> Result<Option<Fixed>> {
    let id = options.text(&opt::S3_ACCESS_KEY_ID);
    let secret = options.secret(&opt::S3_SECRET_ACCESS_KEY);
    let token = options.secret(&opt::S3_SESSION_TOKEN).cloned();
    match (id, secret) {
        (Some(id), Some(secret)) => Ok(Some(Fixed { id: id.to_owned(), secret: secret.clone(), token })),
        (None, None) if token.is_none() => Ok(None),
        _ => Err(Error::new(
            Code::InvalidOption,
            "s3.access_key_id and s3.secret_access_key belong together; only a part of them is set",
        )),
    }
}

/// What a store shares with its uploads.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    session: PerProcess<Session>,
}

/// Sockets and credentials of one process: never used in a forked child.
struct Session {
    http: SharedHttpClient,
    connected: OnceCell<Arc<Connected>>,
    /// Requests in flight.
    requests: Arc<Semaphore>,
}

/// Credentials and region are known.
pub(super) struct Connected {
    pub(super) client: Client,
    /// None: objects go over `client`, too.
    pub(super) plane: Option<Arc<Plane>>,
}

/// Holds a place among the requests in flight.
pub(super) type Permit = tokio::sync::OwnedSemaphorePermit;

impl Shared {
    pub(super) fn new(settings: Settings) -> Arc<Shared> {
        Arc::new(Shared { settings, session: PerProcess::new() })
    }

    /// The clients of this process. The first call finds credentials and region, which may do I/O.
    pub(super) async fn connected(&self, root: &Uri) -> Result<Arc<Connected>> {
        let session = self.session()?;
        session.connected.get_or_try_init(|| Box::pin(self.connect(&session.http, root))).await.cloned()
    }

    /// Whether objects of this root go over the data plane. Directory buckets need sessions, and access
    /// points other signatures, which the SDK knows.
    pub(super) fn is_on_plane(&self, root: &Uri) -> bool {
        let bucket = root.container();
        self.settings.optimized
            && !bucket.is_empty()
            && !bucket.starts_with("arn:")
            && !bucket.ends_with("--x-s3")
    }

    /// Waits until fewer than `net.max_connections` requests are in flight.
    pub(super) async fn permit(&self) -> Result<Permit> {
        let requests = self.session()?.requests.clone();
        requests.acquire_owned().await.map_err(|e| {
            Error::new(Code::Internal, "the count of requests in flight is closed").with_source(&e)
        })
    }

    fn session(&self) -> Result<Arc<Session>> {
        self.session.get(|| {
            let settings = &self.settings;
            let idle = if settings.idle_timeout.is_zero() { 0 } else { settings.max_connections };
            let http = aws_smithy_http_client::Builder::new()
                .pool_idle_timeout(settings.idle_timeout)
                .pool_max_idle_per_host(idle)
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .tls_context(settings.tls.clone())
                .build_https();
            let requests = Arc::new(Semaphore::new(settings.max_connections));
            Ok(Session { http, connected: OnceCell::new(), requests })
        })
    }

    async fn connect(&self, http: &SharedHttpClient, root: &Uri) -> Result<Arc<Connected>> {
        let settings = &self.settings;
        let behavior = BehaviorVersion::v2026_01_12();
        let provider = ProviderConfig::without_region()
            .with_behavior_version(Some(behavior))
            .with_http_client(http.clone())
            .with_timeout_config(self.timeouts());
        let named = match &settings.region {
            Some(region) => Some(Region::new(region.clone())),
            None => self.profile_region(&provider).await,
        };
        let region = match (named, &settings.endpoint) {
            (Some(region), _) => region,
            (None, Some(_)) => Region::from_static(DEFAULT_REGION),
            (None, None) => self.bucket_region(http, root).await,
        };
        let mut config = self.base_config(http, region.clone());
        let keys = if settings.anonymous {
            config = config.allow_no_auth();
            None
        } else {
            let keys = Keys::new(self.credentials(provider.with_region(Some(region.clone()))).await);
            config = config.credentials_provider(SharedCredentialsProvider::new(Given(keys.clone())));
            Some(keys)
        };
        let plane = match self.is_on_plane(root) {
            true => {
                let net = net::Client::new(self.net_config()?);
                Some(Arc::new(Plane::new(settings, net, root.container(), region.as_ref(), keys).await?))
            }
            false => None,
        };
        Ok(Arc::new(Connected { client: Client::from_conf(config.build()), plane }))
    }

    fn net_config(&self) -> Result<net::Config> {
        let settings = &self.settings;
        Ok(net::Config {
            tls: net::tls::Tls::new(settings.ca_bundle.as_deref())?,
            proxies: net::proxy::Proxies::from_environment(),
            max_connections: settings.max_connections,
            idle_timeout: settings.idle_timeout,
            resolver: net::dns::system(),
        })
    }

    fn timeouts(&self) -> TimeoutConfig {
        // Attempts are watched by their progress, operations by their deadline: see `watch` and `run`.
        TimeoutConfig::builder().connect_timeout(self.settings.connect_timeout).build()
    }

    fn base_config(&self, http: &SharedHttpClient, region: Region) -> aws_sdk_s3::config::Builder {
        let settings = &self.settings;
        // Our own bucket: the SDK's is shared by all clients of a region and hardly fills up again.
        let retries = TokenBucket::builder()
            .capacity(RETRY_TOKENS)
            .retry_cost(RETRY_COST)
            .throttling_retry_cost(RETRY_COST)
            .timeout_retry_cost(RETRY_COST)
            .success_reward(1.0)
            .refill_rate(RETRY_REFILL)
            .build();
        let retry = RetryConfig::standard()
            .with_max_attempts(settings.max_attempts)
            .with_initial_backoff(FIRST_BACKOFF)
            .with_max_backoff(LONGEST_BACKOFF);
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(region)
            .http_client(WatchedClient::new(http.clone(), settings.progress_timeout))
            .retry_config(retry)
            .retry_classifier(Throttled)
            .retry_partition(RetryPartition::custom("s3dlio").token_bucket(retries).build())
            .timeout_config(self.timeouts())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // We send and check CRC32C ourselves, in headers: other services refuse the SDK's trailers.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .force_path_style(settings.path_style);
        match &settings.endpoint {
            Some(endpoint) => config.endpoint_url(endpoint),
            None => config,
        }
    }

    async fn profile_region(&self, provider: &ProviderConfig) -> Option<Region> {
        let mut profile = ProfileFileRegionProvider::builder().configure(provider);
        if let Some(named) = &self.settings.profile {
            profile = profile.profile_name(&named.name);
        }
        profile.build().region().await
    }

    /// Where the bucket is, by the header that AWS gives to everyone. Where it gives none, the
    /// default: a network failure will show at the operation itself.
    async fn bucket_region(&self, http: &SharedHttpClient, root: &Uri) -> Region {
        const HEADER: &str = "x-amz-bucket-region";
        let default = Region::from_static(DEFAULT_REGION);
        if root.container().is_empty() {
            return default;
        }
        let config = self.base_config(http, default.clone()).allow_no_auth().build();
        let found = match Client::from_conf(config).head_bucket().bucket(root.container()).send().await {
            Ok(head) => head.bucket_region().map(str::to_owned),
            Err(error) => error.raw_response().and_then(|r| r.headers().get(HEADER)).map(str::to_owned),
        };
        tracing::debug!(
            bucket = root.container(),
            region = found.as_deref(),
            "asked for the bucket's region"
        );
        found.map_or(default, Region::new)
    }

    async fn credentials(&self, provider: ProviderConfig) -> SharedCredentialsProvider {
        if let Some(Fixed { id, secret, token }) = &self.settings.fixed {
            let token = token.as_ref().map(|token| token.reveal().to_owned());
            return SharedCredentialsProvider::new(Credentials::new(
                id,
                secret.reveal(),
                token,
                None,
                "options",
            ));
        }
        let mut chain = DefaultCredentialsChain::builder().configure(provider.clone());
        if let Some(Profile { name, explicit }) = &self.settings.profile {
            if *explicit {
                let profile = ProfileFileCredentialsProvider::builder().configure(&provider);
                return SharedCredentialsProvider::new(profile.profile_name(name).build());
            }
            chain = chain.profile_name(name);
        }
        let metadata = aws_config::imds::Client::builder()
            .configure(&provider)
            .max_attempts(2)
            .connect_timeout(METADATA_TIMEOUT)
            .read_timeout(METADATA_TIMEOUT)
            .build();
        SharedCredentialsProvider::new(chain.imds_client(metadata).build().await)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}
