//! How ports are shared.

use async_trait::async_trait;
use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{Generation, UserId, WorkspaceId};
use kalpana_domain::sharing::{PortShare, Rule};
use rusqlite::{Connection, Row};

use super::row::{
    all, change, count, exists, json, one, optional_timestamp, parsed, plain, timestamp, to_column,
    to_json,
};
use super::{SqliteStore, audit};
use crate::error::{StoreError, StoreResult};
use crate::records::{SecretHash, first_version};
use crate::repository::Sharing;

pub(super) fn read(row: &Row<'_>) -> StoreResult<PortShare> {
    let members: String = plain(row, "members")?;
    let members: Result<Vec<UserId>, _> =
        members.split_ascii_whitespace().map(str::parse).collect();
    let generation: Option<i64> = plain(row, "generation")?;
    let corrupt = |column: &str| StoreError::Corrupt {
        what: format!("column {column}"),
        source: None,
    };
    Ok(PortShare {
        workspace: parsed(row, "workspace_id")?,
        port: u16::try_from(count(row, "port")?).map_err(|_| corrupt("port"))?,
        rule: Rule {
            level: parsed(row, "level")?,
            members: members.map_err(|_| corrupt("members"))?,
            expires_at: optional_timestamp(row, "expires_at")?,
            generation: generation
                .map(|number| u64::try_from(number).map(Generation))
                .transpose()
                .map_err(|_| corrupt("generation"))?,
        },
        links: json(row, "links")?,
        requests: json(row, "requests")?,
        version: count(row, "version")?,
        updated_at: timestamp(row, "updated_at")?,
    })
}

/// Writes a port as it is given, over what was there, and finds it by its links from now on.
pub(super) fn replace(connection: &Connection, share: &PortShare) -> StoreResult<usize> {
    let (workspace, rule) = (share.workspace.as_str(), &share.rule);
    let members: Vec<String> = rule.members.iter().map(ToString::to_string).collect();
    let generation = rule
        .generation
        .map(|generation| to_column(generation.0, "generation"))
        .transpose()?;
    let changed = change(
        connection,
        "INSERT INTO port_shares (workspace_id, port, level, members, expires_at, generation, links,
                                  requests, version, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (workspace_id, port) DO UPDATE
         SET level = excluded.level, members = excluded.members, expires_at = excluded.expires_at,
             generation = excluded.generation, links = excluded.links,
             requests = excluded.requests, version = excluded.version,
             updated_at = excluded.updated_at",
        (
            workspace,
            share.port,
            rule.level.as_str(),
            members.join(" "),
            rule.expires_at.map(Timestamp::as_millisecond),
            generation,
            to_json(&share.links, "links")?,
            to_json(&share.requests, "requests")?,
            to_column(share.version, "version")?,
            share.updated_at.as_millisecond(),
        ),
    )?;
    change(
        connection,
        "DELETE FROM port_share_links WHERE workspace_id = ?1 AND port = ?2",
        (workspace, share.port),
    )?;
    for link in &share.links {
        change(
            connection,
            "INSERT INTO port_share_links (secret_hash, workspace_id, port) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
            (link.secret_hash, workspace, share.port),
        )?;
    }
    Ok(changed)
}

/// Forgets a port, and how to find it by its links.
pub(super) fn remove(connection: &Connection, workspace: &str, port: u16) -> StoreResult<usize> {
    change(
        connection,
        "DELETE FROM port_shares WHERE workspace_id = ?1 AND port = ?2",
        (workspace, port),
    )
}

/// Forgets all ports of a workspace.
pub(super) fn remove_all_of(connection: &Connection, workspace: &str) -> StoreResult<()> {
    let sql = "DELETE FROM port_shares WHERE workspace_id = ?1";
    change(connection, sql, [workspace]).map(drop)
}

fn find(connection: &Connection, workspace: &str, port: u16) -> StoreResult<Option<PortShare>> {
    let sql = "SELECT * FROM port_shares WHERE workspace_id = ?1 AND port = ?2";
    one(connection, sql, (workspace, port), read)
}

fn put(connection: &Connection, share: &PortShare) -> StoreResult<PortShare> {
    let workspace = share.workspace.as_str();
    let living = "SELECT 1 FROM workspaces WHERE id = ?1 AND deleted_at IS NULL";
    if !exists(connection, living, [workspace])? {
        return Err(StoreError::NotFound { what: "workspace" });
    }
    let known = find(connection, workspace, share.port)?;
    if known.as_ref().map_or(0, |known| known.version) != share.version {
        return Err(StoreError::Conflict { what: "version" });
    }
    if share.is_blank() {
        remove(connection, workspace, share.port)?;
        return Ok(PortShare {
            version: 0,
            ..share.clone()
        });
    }
    let version = match &known {
        Some(known) => known.version + 1,
        None => {
            let sql = "SELECT count(*) AS ports FROM port_shares WHERE workspace_id = ?1";
            let ports = one(connection, sql, [workspace], |row| count(row, "ports"))?;
            if ports.unwrap_or(0) >= PortShare::PORT_LIMIT as u64 {
                return Err(StoreError::Conflict { what: "ports" });
            }
            first_version(share.updated_at)
        }
    };
    let kept = PortShare {
        version,
        ..share.clone()
    };
    replace(connection, &kept)?;
    find(connection, workspace, share.port)?.ok_or(StoreError::NotFound { what: "port" })
}

impl SqliteStore {
    /// Returns numbers that differ after any change of how ports are shared.
    pub(super) async fn sharing_mark(&self) -> StoreResult<(u64, u64, i64)> {
        self.read(|connection| {
            let sql = "SELECT count(*) AS ports, coalesce(sum(version), 0) AS versions,
                              coalesce(max(updated_at), 0) AS latest
                       FROM port_shares";
            let mark = one(connection, sql, [], |row| {
                Ok((
                    count(row, "ports")?,
                    count(row, "versions")?,
                    plain(row, "latest")?,
                ))
            })?;
            Ok(mark.unwrap_or_default())
        })
        .await
    }
}

#[async_trait]
impl Sharing for SqliteStore {
    async fn port_share(
        &self,
        workspace: WorkspaceId,
        port: u16,
    ) -> StoreResult<Option<PortShare>> {
        self.read(move |connection| find(connection, workspace.as_str(), port))
            .await
    }

    async fn port_shares_of(&self, workspace: WorkspaceId) -> StoreResult<Vec<PortShare>> {
        self.read(move |connection| {
            let sql = "SELECT * FROM port_shares WHERE workspace_id = ?1 ORDER BY port";
            all(connection, sql, [workspace.as_str()], read)
        })
        .await
    }

    async fn port_share_by_link(&self, secret: SecretHash) -> StoreResult<Option<PortShare>> {
        self.read(move |connection| {
            one(
                connection,
                "SELECT port_shares.* FROM port_share_links JOIN port_shares
                 USING (workspace_id, port)
                 WHERE port_share_links.secret_hash = ?1
                 ORDER BY workspace_id, port LIMIT 1",
                [secret],
                read,
            )
        })
        .await
    }

    async fn all_port_shares(&self) -> StoreResult<Vec<PortShare>> {
        self.read(|connection| {
            let sql = "SELECT * FROM port_shares ORDER BY workspace_id, port";
            all(connection, sql, [], read)
        })
        .await
    }

    async fn put_port_share(&self, share: &PortShare, event: AuditEvent) -> StoreResult<PortShare> {
        let share = share.clone();
        self.write(move |transaction| {
            let kept = put(transaction, &share)?;
            audit::append(transaction, &event)?;
            Ok(kept)
        })
        .await
    }
}
