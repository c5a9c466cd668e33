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
        self.take_account().await?;
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
        self.give_account().await;
        tracing::info!(
            account = account.id(),
            "opened an account at {}",
            self.config.directory_url()
        );
        Ok(account)
    }

    /// Takes the account that another gateway of the site opened, if one did.
    async fn take_account(&self) -> Result<(), Failure> {
        let Some(shared) = &self.shared else {
            return Ok(());
        };
        let authority = self.authority();
        let account = shared.account(&authority).await;
        match account.map_err(|error| Failure::shared(&error))? {
            // Ours was put aside because the authority forgot it, and this is the same.
            Some(account) if self.forgotten(&account) => Ok(()),
            Some(account) => {
                let path = self.vault.account_path(&authority);
                storage::write(&path, &account, storage::PRIVATE)
                    .map_err(|error| Failure::storage(&error))
            }
            None => Ok(()),
        }
    }

    fn forgotten(&self, account: &[u8]) -> bool {
        let aside = self.vault.account_path(&self.authority());
        let aside = storage::read(&aside.with_extension("json.old"));
        aside.ok().flatten().is_some_and(|old| old == account)
    }

    /// Lets the other gateways use the account that was opened. One that they cannot have costs
    /// another account.
    async fn give_account(&self) {
        let Some(shared) = &self.shared else { return };
        let authority = self.authority();
        let account = storage::read(&self.vault.account_path(&authority));
        let Some(account) = account.ok().flatten() else {
            return;
        };
        if let Err(error) = shared.give_account(&authority, &account).await {
            tracing::warn!(%error, "could not share the account with other gateways: {error}");
        }
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
