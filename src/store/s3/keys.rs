//! The credentials of a store: asked of the SDK's chain of providers, kept until shortly before they
//! expire, renewed by one request at a time.

use crate::base::secret::Secret;
use crate::base::sync::{read, write};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Mutex;

/// Credentials that end sooner than this are renewed first.
const MARGIN: Duration = Duration::from_secs(60);
/// Providers that give shorter ones are asked no more often than this.
const PAUSE: Duration = Duration::from_secs(5);

/// One set of credentials, as signatures need it.
pub(super) struct Key {
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) token: Option<Secret>,
    expires: Option<SystemTime>,
    came: Instant,
    given: Credentials,
}

/// The credentials now and where more come from; belongs to one process.
pub(super) struct Keys {
    provider: SharedCredentialsProvider,
    current: RwLock<Option<Arc<Key>>>,
    /// Held by who asks the provider.
    asking: Mutex<()>,
}

impl Keys {
    pub(super) fn new(provider: SharedCredentialsProvider) -> Arc<Keys> {
        Arc::new(Keys { provider, current: RwLock::default(), asking: Mutex::default() })
    }

    /// Valid credentials. What the provider fails to renew is used as long as it is valid.
    pub(super) async fn get(&self) -> Result<Arc<Key>, CredentialsError> {
        if let Some(key) = self.current().filter(|key| key.is_fresh()) {
            return Ok(key);
        }
        let _asking = self.asking.lock().await;
        let current = self.current();
        match current {
            Some(key) if key.is_fresh() => Ok(key),
            _ => match (self.ask().await, current.filter(|key| key.lasts(Duration::ZERO))) {
                (Err(error), Some(key)) => {
                    tracing::warn!(%error, "credentials that end soon were not renewed");
                    Ok(key)
                }
                (asked, _) => asked,
            },
        }
    }

    /// After the service refused `used`: whether there are others now.
    pub(super) async fn renew(&self, used: &Key) -> Result<bool, CredentialsError> {
        let _asking = self.asking.lock().await;
        match self.current() {
            Some(key) if !key.is_same(used) => Ok(true),
            _ => Ok(!self.ask().await?.is_same(used)),
        }
    }

    async fn ask(&self) -> Result<Arc<Key>, CredentialsError> {
        let given = self.provider.provide_credentials().await?;
        let key = Arc::new(Key {
            id: given.access_key_id().to_owned(),
            secret: Secret::new(given.secret_access_key()),
            // Some providers give an empty one where there is none.
            token: given.session_token().filter(|token| !token.is_empty()).map(Secret::new),
            expires: given.expiry(),
            came: Instant::now(),
            given,
        });
        *write(&self.current) = Some(key.clone());
        Ok(key)
    }

    fn current(&self) -> Option<Arc<Key>> {
        read(&self.current).clone()
    }
}

impl Key {
    fn is_fresh(&self) -> bool {
        self.lasts(MARGIN) || self.lasts(Duration::ZERO) && self.came.elapsed() < PAUSE
    }

    fn lasts(&self, time: Duration) -> bool {
        self.expires.is_none_or(|end| end > SystemTime::now() + time)
    }

    fn is_same(&self, other: &Key) -> bool {
        self.id == other.id && self.secret == other.secret && self.token == other.token
    }
}

/// For the SDK: the same credentials.
#[derive(Clone, Debug)]
pub(super) struct Given(pub(super) Arc<Keys>);

impl ProvideCredentials for Given {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { Ok(self.0.get().await?.given.clone()) })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sync::lock;
    use std::future::Future;

    /// Gives these sets one after the other; the last one, or a failure, again and again.
    #[derive(Debug)]
    struct Source(std::sync::Mutex<Vec<Option<Credentials>>>, std::sync::atomic::AtomicUsize);

    impl ProvideCredentials for Source {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(async {
                self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                tokio::task::yield_now().await;
                let mut sets = lock(&self.0);
                let set = if sets.len() > 1 { sets.remove(0) } else { sets[0].clone() };
                set.ok_or_else(|| CredentialsError::not_loaded("none"))
            })
        }
    }

    fn set(id: &str, seconds: Option<u64>) -> Option<Credentials> {
        let end = seconds.map(|seconds| SystemTime::now() + Duration::from_secs(seconds));
        Some(Credentials::new(id, "secret", Some(String::new()), end, "test"))
    }

    fn keys(sets: Vec<Option<Credentials>>) -> (Arc<Keys>, SharedCredentialsProvider, Arc<Source>) {
        let source = Arc::new(Source(sets.into(), Default::default()));
        let provider = SharedCredentialsProvider::from(source.clone() as Arc<dyn ProvideCredentials>);
        (Keys::new(provider.clone()), provider, source)
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn s3_credentials_are_asked_for_once_by_all() {
        let (keys, _, source) = keys(vec![set("a", None)]);
        run(futures_util::future::join_all((0..20).map(|_| keys.get())));
        let key = run(keys.get()).unwrap();
        assert_eq!((key.id.as_str(), key.token.is_none()), ("a", true));
        assert_eq!(source.1.load(std::sync::atomic::Ordering::SeqCst), 1);
    }

    #[test]
    fn s3_refused_credentials_are_renewed_by_one_for_all() {
        let (keys, _, source) = keys(vec![set("a", None), set("b", None)]);
        let old = run(keys.get()).unwrap();
        let renewed = run(futures_util::future::join_all((0..20).map(|_| keys.renew(&old))));
        assert!(renewed.into_iter().all(|renewed| renewed.unwrap()));
        assert_eq!(source.1.load(std::sync::atomic::Ordering::SeqCst), 2);
        let new = run(keys.get()).unwrap();
        assert_eq!(new.id, "b");
        assert!(!run(keys.renew(&new)).unwrap(), "the provider has no others");
    }

    #[test]
    fn s3_credentials_that_end_soon_are_renewed_or_used_to_their_end() {
        let (keys, _, _) = keys(vec![set("a", Some(30)), set("b", Some(3600))]);
        assert_eq!(run(keys.get()).unwrap().id, "a");
        assert_eq!(run(keys.get()).unwrap().id, "a", "it was asked for just now");
        let past = |key: &Key| Key {
            id: key.id.clone(),
            secret: key.secret.clone(),
            token: None,
            expires: key.expires,
            came: Instant::now() - PAUSE,
            given: key.given.clone(),
        };
        let aged = past(&run(keys.get()).unwrap());
        *write(&keys.current) = Some(Arc::new(aged));
        assert_eq!(run(keys.get()).unwrap().id, "b");

        let (keys, ..) = self::keys(vec![set("a", Some(30)), None]);
        let aged = past(&run(keys.get()).unwrap());
        *write(&keys.current) = Some(Arc::new(aged));
        assert_eq!(run(keys.get()).unwrap().id, "a", "valid still");
        let ended = Key { expires: Some(SystemTime::now()), ..past(&run(keys.get()).unwrap()) };
        *write(&keys.current) = Some(Arc::new(ended));
        assert!(run(keys.get()).is_err());
    }
}
