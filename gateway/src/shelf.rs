//! What gateways of this site share, kept by `web` and sealed by us.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use kalpana_certs::Shelf;
use kalpana_certs::shelf::{Kept, ShelfError};
use kalpana_link::{CallError, Client};
use kalpana_protocol::copies::{Copies, SealedContents, Written};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::seal::Seal;

/// What the key that seals is derived for.
pub const PURPOSE: &str = "kalpana shared copies";

/// The shelf behind `web`.
#[derive(Debug)]
pub struct WebShelf {
    client: Client,
    seal: Seal,
}

impl WebShelf {
    /// Speaks with `web` through `client`.
    pub fn new(client: Client, seal: Seal) -> Self {
        Self { client, seal }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Option<T>, ShelfError> {
        match self.client.call(method, path, None, body).await {
            Ok(answer) => Ok(Some(answer)),
            Err(CallError::Refused {
                status: StatusCode::NOT_FOUND,
                ..
            }) => Ok(None),
            Err(CallError::Refused {
                status: StatusCode::CONFLICT,
                ..
            }) => Err(ShelfError::Changed),
            Err(error) => Err(ShelfError::Away(error.to_string())),
        }
    }
}

/// Names are made of host names and base64url, which stand in a path as they are.
fn path(name: &str) -> String {
    format!("/v1/copies/{name}")
}

fn missing() -> ShelfError {
    ShelfError::Away("web does not know how gateways share; is it of an older version?".to_owned())
}

#[async_trait]
impl Shelf for WebShelf {
    async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, ShelfError> {
        let path = format!("/v1/copies?prefix={prefix}");
        let all: Option<Copies> = self.call(Method::GET, &path, None::<&()>).await?;
        let copies = all.ok_or_else(missing)?.copies.into_iter();
        Ok(copies.map(|mark| (mark.name, mark.version)).collect())
    }

    async fn get(&self, name: &str) -> Result<Option<Kept>, ShelfError> {
        let kept: Option<SealedContents> = self.call(Method::GET, &path(name), None::<&()>).await?;
        let Some(kept) = kept else { return Ok(None) };
        let sealed = STANDARD.decode(&kept.contents).ok();
        let contents = sealed.and_then(|sealed| self.seal.open(name.as_bytes(), &sealed));
        Ok(Some(Kept {
            version: kept.version,
            contents: contents.ok_or(ShelfError::Foreign)?,
        }))
    }

    async fn put(&self, name: &str, version: u64, contents: &[u8]) -> Result<u64, ShelfError> {
        let sealed = self.seal.seal(name.as_bytes(), contents.to_vec());
        let sealed = sealed.map_err(|_| ShelfError::Away("sealing failed".to_owned()))?;
        let given = SealedContents {
            version,
            contents: STANDARD.encode(sealed),
        };
        let written: Option<Written> = self.call(Method::PUT, &path(name), Some(&given)).await?;
        Ok(written.ok_or_else(missing)?.version)
    }

    async fn remove(&self, name: &str, version: u64) -> Result<(), ShelfError> {
        let path = format!("{}?version={version}", path(name));
        self.call::<()>(Method::DELETE, &path, None::<&()>)
            .await
            .map(drop)
    }
}
