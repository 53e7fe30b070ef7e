//! Access tokens, asked for by one request for all, and again shortly before they end.

use super::failure::{self, Failure};
use super::token::SCOPE;
use crate::base::secret::Secret;
use crate::base::sync::{read, write};
use azure_core::credentials::TokenCredential;
use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Mutex;
use tokio::time::timeout_at;

/// From then on before its end a token is replaced, while it still serves.
const EARLY: Duration = Duration::from_secs(300);
/// While a token still serves: how long nobody asks again after its issuer gave none.
const PATIENCE: Duration = Duration::from_secs(30);

/// The tokens of one identity.
pub(super) struct Tokens {
    source: Arc<dyn TokenCredential>,
    held: RwLock<Held>,
    /// Held by who asks; the number of the last token.
    asking: Mutex<u64>,
}

#[derive(Default)]
struct Held {
    token: Option<Arc<Token>>,
    not_before: Option<Instant>,
}

pub(super) struct Token {
    secret: Secret,
    number: u64,
    ends: SystemTime,
}

impl Tokens {
    /// Asks nobody yet.
    pub(super) fn new(source: Arc<dyn TokenCredential>) -> Tokens {
        Tokens { source, held: RwLock::default(), asking: Mutex::new(0) }
    }

    /// A token that is good for now.
    pub(super) async fn get(&self, deadline: Option<Instant>) -> Result<Arc<Token>, Failure> {
        if let Some(token) = self.usable() {
            if token.left() > EARLY || !self.may_ask() {
                return Ok(token);
            }
            // Who comes meanwhile takes the old one.
            let Ok(mut number) = self.asking.try_lock() else { return Ok(token) };
            return match self.ask(&mut number, deadline).await {
                Ok(new) => Ok(new),
                Err(failure) => {
                    tracing::warn!(error = %failure.error, "the access token ends soon and was not renewed");
                    write(&self.held).not_before = Instant::now().checked_add(PATIENCE);
                    Ok(token)
                }
            };
        }
        let mut number = match deadline {
            None => self.asking.lock().await,
            Some(deadline) => {
                timeout_at(deadline.into(), self.asking.lock()).await.map_err(|_| failure::over(false))?
            }
        };
        match self.usable() {
            Some(token) => Ok(token),
            None => self.ask(&mut number, deadline).await,
        }
    }

    /// Forgets the token with this number, since it was refused.
    pub(super) fn refuse(&self, number: u64) {
        let mut held = write(&self.held);
        if held.token.as_ref().is_some_and(|token| token.number == number) {
            held.token = None;
        }
    }

    fn usable(&self) -> Option<Arc<Token>> {
        read(&self.held).token.clone().filter(|token| !token.left().is_zero())
    }

    fn may_ask(&self) -> bool {
        read(&self.held).not_before.is_none_or(|then| then <= Instant::now())
    }

    async fn ask(&self, number: &mut u64, deadline: Option<Instant>) -> Result<Arc<Token>, Failure> {
        let asked = self.source.get_token(&[SCOPE], None);
        let answer = match deadline {
            None => asked.await,
            Some(deadline) => timeout_at(deadline.into(), asked).await.map_err(|_| failure::over(false))?,
        };
        let given = answer.map_err(|error| failure::from_azure(&error, false))?;
        *number += 1;
        let token = Arc::new(Token {
            secret: Secret::new(given.token.secret()),
            number: *number,
            ends: given.expires_on.into(),
        });
        *write(&self.held) = Held { token: Some(token.clone()), not_before: None };
        Ok(token)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(***)")
    }
}

impl Token {
    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Which of the identity's tokens it is.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    fn left(&self) -> Duration {
        self.ends.duration_since(SystemTime::now()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use async_trait::async_trait;
    use azure_core::credentials::{AccessToken, TokenRequestOptions};
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Semaphore;

    /// Gives tokens `t1`, `t2` ... that last so many seconds, one for each permit.
    #[derive(Debug)]
    struct Issuer {
        lasts: u64,
        asked: AtomicU32,
        given: Semaphore,
    }

    impl Issuer {
        fn new(lasts: u64, given: usize) -> Arc<Issuer> {
            Arc::new(Issuer { lasts, asked: AtomicU32::new(0), given: Semaphore::new(given) })
        }
    }

    #[async_trait]
    impl TokenCredential for Issuer {
        async fn get_token(
            &self,
            _: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            match self.given.acquire().await {
                Ok(permit) => permit.forget(),
                Err(_) => {
                    return Err(azure_core::Error::with_message(
                        azure_core::error::ErrorKind::Credential,
                        "closed",
                    ));
                }
            }
            let ends = SystemTime::now() + Duration::from_secs(self.lasts);
            Ok(AccessToken::new(format!("t{number}"), ends.into()))
        }
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    async fn name(tokens: &Tokens) -> String {
        tokens.get(None).await.unwrap().secret().reveal().to_owned()
    }

    #[test]
    fn s3_one_request_asks_for_all() {
        run(async {
            let issuer = Issuer::new(3600, 0);
            let tokens = Tokens::new(issuer.clone());
            let all = futures_util::future::join_all((0..20).map(|_| name(&tokens)));
            let (names, ()) = tokio::join!(all, async { issuer.given.add_permits(9) });
            assert!(names.iter().all(|name| name == "t1"));
            assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
            // What was refused is not used again; a refusal of an older one changes nothing.
            tokens.refuse(1);
            assert_eq!(name(&tokens).await, "t2");
            tokens.refuse(1);
            assert_eq!(name(&tokens).await, "t2");
        });
    }

    #[test]
    fn s3_a_token_that_ends_soon_is_renewed_and_serves_meanwhile() {
        run(async {
            let issuer = Issuer::new(200, 2);
            let tokens = Tokens::new(issuer.clone());
            assert_eq!(name(&tokens).await, "t1");
            assert_eq!(name(&tokens).await, "t2");
            let (renewing, (meanwhile, ())) =
                tokio::join!(name(&tokens), async { (name(&tokens).await, issuer.given.add_permits(1)) });
            assert_eq!((renewing.as_str(), meanwhile.as_str()), ("t3", "t2"));
            // The issuer fails: what is left serves, and it is not asked at each request.
            issuer.given.close();
            assert_eq!((name(&tokens).await, name(&tokens).await), ("t3".into(), "t3".into()));
            assert_eq!(issuer.asked.load(Ordering::SeqCst), 4);
        });
    }

    #[test]
    fn s3_an_issuer_that_gives_none_is_an_error_within_the_deadline() {
        run(async {
            let issuer = Issuer::new(0, 0);
            let tokens = Tokens::new(issuer.clone());
            let failure = tokens.get(Some(Instant::now())).await.err().unwrap();
            assert_eq!(failure.error.code(), Code::Timeout);
            issuer.given.close();
            let failure = tokens.get(None).await.err().unwrap();
            assert_eq!(failure.error.code(), Code::Unauthenticated);
        });
    }
}
