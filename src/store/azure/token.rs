//! Access tokens for accounts without key or SAS: the identity that the environment configures, else the
//! machine's managed identity, else who is logged in to the developer tools (Azure CLI).

use crate::error::{Code, Error, Result};
use async_trait::async_trait;
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::ClientOptions;
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What tokens are for.
pub(super) const SCOPE: &str = "https://storage.azure.com/.default";
/// A machine that is not in Azure has nobody who answers for managed identities.
const MANAGED_IDENTITY_WAIT: Duration = Duration::from_secs(3);

/// The credential that the environment names; asks nobody yet.
pub(super) fn from_environment(client: &ClientOptions) -> Result<Arc<dyn TokenCredential>> {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let broken = |e: azure_core::Error| {
        Error::new(Code::Unauthenticated, "the credential of the environment cannot be used").with_source(&e)
    };
    let client_id = env("AZURE_CLIENT_ID");
    // A configured identity is the one that is meant: no other is tried after it.
    if let (Some(tenant), Some(id), Some(secret)) =
        (env("AZURE_TENANT_ID"), client_id.clone(), env("AZURE_CLIENT_SECRET"))
    {
        let options = ClientSecretCredentialOptions { client_options: client.clone() };
        let credential = ClientSecretCredential::new(&tenant, id, Secret::new(secret), Some(options));
        return Ok(credential.map_err(broken)?);
    }
    if env("AZURE_FEDERATED_TOKEN_FILE").is_some() {
        let options = WorkloadIdentityCredentialOptions {
            credential_options: ClientAssertionCredentialOptions { client_options: client.clone() },
            ..WorkloadIdentityCredentialOptions::default()
        };
        return Ok(WorkloadIdentityCredential::new(Some(options)).map_err(broken)?);
    }
    let mut chain = Chain { sources: Vec::new(), chosen: AtomicUsize::new(usize::MAX) };
    let managed = ManagedIdentityCredentialOptions {
        user_assigned_id: client_id.map(UserAssignedId::ClientId),
        client_options: client.clone(),
    };
    if let Ok(credential) = ManagedIdentityCredential::new(Some(managed)) {
        chain.sources.push(("managed identity", credential, Some(MANAGED_IDENTITY_WAIT)));
    }
    if let Ok(credential) = DeveloperToolsCredential::new(None) {
        chain.sources.push(("developer tools", credential, None));
    }
    Ok(Arc::new(chain))
}

/// Asks one after the other; who gave a token first is asked from then on.
struct Chain {
    sources: Vec<(&'static str, Arc<dyn TokenCredential>, Option<Duration>)>,
    chosen: AtomicUsize,
}

#[async_trait]
impl TokenCredential for Chain {
    async fn get_token(
        &self,
        scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        if let Some((_, source, _)) = self.sources.get(self.chosen.load(Ordering::Relaxed)) {
            return source.get_token(scopes, None).await;
        }
        let mut tried = Vec::new();
        for (index, (name, source, wait)) in self.sources.iter().enumerate() {
            let asked = source.get_token(scopes, None);
            let answer = match wait {
                Some(wait) => match tokio::time::timeout(*wait, asked).await {
                    Ok(answer) => answer,
                    Err(_) => {
                        tried.push(format!("{name}: no answer in {} s", wait.as_secs()));
                        continue;
                    }
                },
                None => asked.await,
            };
            match answer {
                Ok(token) => {
                    self.chosen.store(index, Ordering::Relaxed);
                    return Ok(token);
                }
                Err(error) => tried.push(format!("{name}: {error}")),
            }
        }
        Err(azure_core::Error::with_message(
            ErrorKind::Credential,
            format!("no credential is configured and no identity was found ({})", tried.join("; ")),
        ))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.sources.iter().map(|(name, _, _)| name)).finish()
    }
}
