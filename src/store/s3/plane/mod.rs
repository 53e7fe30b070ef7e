//! The requests that carry objects, over the library's own connections: signed here, sent by `net`,
//! tried again by its table. The SDK decides where the bucket is and who we are.

mod answer;
mod courier;

use super::client::Settings;
use super::error;
use super::keys::{Key, Keys};
use crate::base::sync::{read, write};
use crate::error::{Code, Error, Result};
use crate::net::auth::clock::Clock;
use crate::net::auth::sigv4::Signer;
use crate::net::retry::bucket::Bucket;
use crate::net::{Client, Endpoint, Peer};
pub(super) use answer::facts;
#[cfg(fuzzing)]
pub(super) use answer::report;
use aws_sdk_s3::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
pub(super) use courier::{Ask, Courier, Failed, Then};
use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Instant;

/// A bucket, how to get there and who asks. Belongs to one process.
pub(super) struct Plane {
    client: Client,
    bucket: String,
    /// None: requests are not signed.
    keys: Option<Arc<Keys>>,
    clock: Clock,
    /// Where requests go now; another one after the service named another region.
    target: RwLock<Arc<Target>>,
}

/// One endpoint of the service.
struct Target {
    peer: Arc<Peer>,
    /// What paths begin with: that of the endpoint, then the bucket unless the host names it. Escaped,
    /// without a slash at its end.
    base: String,
    signer: Signer,
    budget: Arc<Bucket>,
}

impl Plane {
    /// Connects to nothing.
    pub(super) async fn new(
        settings: &Settings,
        client: Client,
        bucket: &str,
        region: &str,
        keys: Option<Arc<Keys>>,
    ) -> Result<Plane> {
        let target = Target::find(settings, &client, bucket, region, None).await?;
        let target = RwLock::new(Arc::new(target));
        Ok(Plane { client, bucket: bucket.to_owned(), keys, clock: Clock::new(), target })
    }

    fn target(&self) -> Arc<Target> {
        read(&self.target).clone()
    }

    async fn key(&self, settings: &Settings) -> Result<Option<Arc<Key>>> {
        match &self.keys {
            Some(keys) => {
                let key = keys.get().await.map_err(|failure| error::from_transport(settings, &failure))?;
                Ok(Some(key))
            }
            None => Ok(None),
        }
    }

    /// From now on signs for this region, at the service's endpoint there.
    async fn redirect(&self, settings: &Settings, region: &str, from: &Target) -> Result<()> {
        let now = self.target();
        if now.signer.region() == region {
            return Ok(()); // another request was told the same
        }
        // It becomes a part of a host name.
        if region.len() > 64 || !region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(Error::new(Code::Protocol, format!("the service names the region {region:?}")));
        }
        let target = Target::find(settings, &self.client, &self.bucket, region, Some(from)).await?;
        tracing::debug!(bucket = self.bucket, region, endpoint = %target.peer.endpoint(), "the bucket's region");
        *write(&self.target) = Arc::new(target);
        Ok(())
    }
}

impl fmt::Debug for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plane({}, {:?})", self.bucket, self.client)
    }
}

impl Target {
    /// Where the SDK would send a request for the bucket in this region.
    async fn find(
        settings: &Settings,
        client: &Client,
        bucket: &str,
        region: &str,
        before: Option<&Target>,
    ) -> Result<Target> {
        let unusable = |error: &(dyn std::error::Error + 'static)| {
            Error::new(Code::InvalidOption, format!("no endpoint for bucket {bucket:?} in region {region:?}"))
                .with_source(error)
                .with_hint("check s3.endpoint, s3.region, s3.addressing and the bucket's name")
        };
        let params = Params::builder()
            .bucket(bucket)
            .region(region)
            .set_endpoint(settings.endpoint.clone())
            .force_path_style(settings.path_style)
            .build()
            .map_err(|error| unusable(&error))?;
        let found = DefaultResolver::new().resolve_endpoint(&params).await;
        let found = found.map_err(|error| unusable(&*error))?;
        let (endpoint, base) = Endpoint::parse(found.url())?;
        let peer = client.peer(&endpoint)?;
        let budget = match before {
            Some(before) if before.peer.endpoint() == &endpoint => before.budget.clone(),
            _ => Arc::new(Bucket::new(Instant::now())),
        };
        Ok(Target { peer, base: base.trim_end_matches('/').to_owned(), signer: Signer::s3(region)?, budget })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Config;
    use crate::options::Options;

    /// Scheme and host, and what paths begin with.
    fn place(pairs: &[(&str, &str)], bucket: &str, region: &str) -> Result<(String, String)> {
        let mut options = Options::new().with("s3.addressing", "auto")?;
        for (key, value) in pairs {
            options.set(key, value)?;
        }
        let options = options.resolve()?;
        let settings = Settings::from_options(&options)?;
        let client = Client::new(Config::from_options(&options)?);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let target = runtime.block_on(Target::find(&settings, &client, bucket, region, None))?;
        Ok((target.peer.endpoint().to_string(), target.base))
    }

    #[test]
    fn s3_buckets_are_where_the_sdk_finds_them() {
        const PATH: (&str, &str) = ("s3.addressing", "path");
        const VIRTUAL: (&str, &str) = ("s3.addressing", "virtual");
        let at = |url| ("s3.endpoint", url);
        let cases: &[(&[(&str, &str)], &str, &str, &str)] = &[
            (&[], "bucket", "https://bucket.s3.eu-west-1.amazonaws.com", ""),
            (&[PATH], "bucket", "https://s3.eu-west-1.amazonaws.com", "/bucket"),
            (&[], "with.dots", "https://s3.eu-west-1.amazonaws.com", "/with.dots"),
            (&[], "Old_Name", "https://s3.eu-west-1.amazonaws.com", "/Old_Name"),
            (&[at("http://127.0.0.1:8333")], "bucket", "http://127.0.0.1:8333", "/bucket"),
            (&[at("http://127.0.0.1:8333"), VIRTUAL], "bucket", "http://127.0.0.1:8333", "/bucket"),
            (&[at("http://store.example:80/base/")], "bucket", "http://store.example", "/base/bucket"),
            (&[at("https://store.example"), VIRTUAL], "bucket", "https://bucket.store.example", ""),
            (&[at("https://store.example"), VIRTUAL], "with.dots", "https://store.example", "/with.dots"),
            (&[at("http://store.example"), VIRTUAL], "with.dots", "http://with.dots.store.example", ""),
        ];
        for (pairs, bucket, host, base) in cases {
            let found = place(pairs, bucket, "eu-west-1").unwrap();
            assert_eq!((found.0.as_str(), found.1.as_str()), (*host, *base), "{pairs:?} {bucket}");
        }
        let china = place(&[], "bucket", "cn-north-1").unwrap();
        assert_eq!(china.0, "https://bucket.s3.cn-north-1.amazonaws.com.cn");
        assert_eq!(place(&[], "bucket", "no/region").unwrap_err().code(), Code::InvalidOption);
    }
}
