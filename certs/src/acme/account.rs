//! The account at the authority: made once, kept, and made anew when the authority forgot it.

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use sha2::{Digest, Sha256};

use super::Acme;
use super::http::Http;
use super::problem::Failure;
use crate::storage;

impl Acme {
    /// Returns the account, which is made where there is none.
    pub(super) async fn account(&self, http: &Http) -> Result<Account, Failure> {
        if let Some(account) = self.kept_account(http).await? {
            return Ok(account);
        }
        let path = self.vault.account_path(&self.authority());
        let contact = self
            .config
            .email
            .as_ref()
            .map(|mail| format!("mailto:{mail}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: self.config.agree_to_terms,
            only_return_existing: false,
        };
        let binding = self.binding()?;
        let builder = Account::builder_with_http(Box::new(http.clone()));
        let directory = self.config.directory_url().to_owned();
        let (account, credentials) = builder
            .create(&new, directory, binding.as_ref())
            .await
            .map_err(|error| Failure::of_authority(&error))?;
        self.vault
            .write_file(&path, &credentials)
            .map_err(|error| Failure::storage(&error))?;
        tracing::info!(
            account = account.id(),
            "opened an account at {}",
            self.config.directory_url()
        );
        Ok(account)
    }

    /// Returns the account, if there is one and the authority can be reached.
    pub(super) async fn existing_account(&self, http: &Http) -> Option<Account> {
        self.kept_account(http).await.ok().flatten()
    }

    /// Puts the account aside, so that the next order opens another.
    pub(super) fn forget_account(&self) {
        let path = self.vault.account_path(&self.authority());
        let aside = path.with_extension("json.old");
        if let Err(error) = std::fs::rename(&path, &aside) {
            tracing::error!(%error, "could not put {} aside: {error}", path.display());
        }
    }

    async fn kept_account(&self, http: &Http) -> Result<Option<Account>, Failure> {
        let path = self.vault.account_path(&self.authority());
        let Some(credentials) = self.vault.read_file::<AccountCredentials>(&path) else {
            return Ok(None);
        };
        storage::refuse_exposed_key(&path).map_err(|error| Failure::storage(&error))?;
        let builder = Account::builder_with_http(Box::new(http.clone()));
        let account = builder.from_credentials(credentials).await;
        account
            .map(Some)
            .map_err(|error| Failure::of_authority(&error))
    }

    /// Returns the name of the authority and of the account that is bound to, for a file.
    fn authority(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.config.directory_url());
        hash.update([0]);
        hash.update(self.config.eab_key_id.as_deref().unwrap_or_default());
        URL_SAFE_NO_PAD.encode(&hash.finalize()[..12])
    }

    fn binding(&self) -> Result<Option<ExternalAccountKey>, Failure> {
        let (Some(id), Some(path)) = (&self.config.eab_key_id, &self.config.eab_hmac_key_file)
        else {
            return Ok(None);
        };
        let unusable = |why: &str| Failure::binding_key(path, why);
        let text = std::fs::read_to_string(path).map_err(|error| unusable(&error.to_string()))?;
        let text = text.trim();
        let key = URL_SAFE_NO_PAD
            .decode(text)
            .or_else(|_| URL_SAFE.decode(text));
        let key = key.map_err(|_| unusable("it is not base64url"))?;
        Ok(Some(ExternalAccountKey::new(id.clone(), &key)))
    }
}
