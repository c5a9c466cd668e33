//! How ports are shared.

use kalpana_domain::id::Generation;
use kalpana_domain::sharing::{PortShare, Rule};
use mongodb::bson::{Binary, Bson, DateTime};
use serde::{Deserialize, Serialize};

use super::{corrupt, date, hash, number, parsed, read_number, read_value, time, write_value};
use crate::error::{StoreError, StoreResult};
use crate::transfer::port_key;

/// How a port is shared. The id is the workspace's and the port in five digits, with a slash between
/// them. `linkHashes` is what the port is found by; the links themselves say more.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PortShareDocument {
    #[serde(rename = "_id")]
    id: String,
    workspace_id: String,
    port: i32,
    level: String,
    members: Vec<String>,
    expires_at: Option<DateTime>,
    generation: Option<i64>,
    links: Bson,
    link_hashes: Vec<Binary>,
    requests: Bson,
    version: i64,
    updated_at: DateTime,
}

impl TryFrom<&PortShare> for PortShareDocument {
    type Error = StoreError;
    fn try_from(share: &PortShare) -> StoreResult<Self> {
        let rule = &share.rule;
        let generation = rule
            .generation
            .map(|generation| number(generation.0, "generation"));
        Ok(Self {
            id: port_key(share.workspace, share.port),
            workspace_id: share.workspace.to_string(),
            port: i32::from(share.port),
            level: rule.level.as_str().to_owned(),
            members: rule.members.iter().map(ToString::to_string).collect(),
            expires_at: rule.expires_at.map(date),
            generation: generation.transpose()?,
            links: write_value(&share.links)?,
            link_hashes: share
                .links
                .iter()
                .map(|link| hash(&link.secret_hash))
                .collect(),
            requests: write_value(&share.requests)?,
            version: number(share.version, "version")?,
            updated_at: date(share.updated_at),
        })
    }
}

impl TryFrom<PortShareDocument> for PortShare {
    type Error = StoreError;
    fn try_from(document: PortShareDocument) -> StoreResult<Self> {
        let members = document.members.iter();
        let expires_at = document.expires_at.map(|end| time(end, "expiresAt"));
        let generation = document
            .generation
            .map(|number| read_number(number, "generation").map(Generation));
        Ok(Self {
            workspace: parsed(&document.workspace_id, "workspaceId")?,
            port: u16::try_from(document.port).map_err(corrupt("port"))?,
            rule: Rule {
                level: parsed(&document.level, "level")?,
                members: members
                    .map(|id| parsed(id, "members"))
                    .collect::<Result<_, _>>()?,
                expires_at: expires_at.transpose()?,
                generation: generation.transpose()?,
            },
            links: read_value(document.links, "links")?,
            requests: read_value(document.requests, "requests")?,
            version: read_number(document.version, "version")?,
            updated_at: time(document.updated_at, "updatedAt")?,
        })
    }
}
