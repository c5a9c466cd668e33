//! The audit log.

use async_trait::async_trait;
use kalpana_domain::audit::{AuditAction, AuditEvent};
use rusqlite::{Connection, Row};

use super::SqliteStore;
use super::row::{all, change, json, one, optional_parsed, parsed, plain, timestamp, to_json};
use crate::error::{StoreError, StoreResult};
use crate::page::{Page, PageRequest, Position};
use crate::repository::Audit;

/// Appends an event, in the transaction of the change it tells of.
pub(super) fn append(connection: &Connection, event: &AuditEvent) -> StoreResult<()> {
    insert(connection, None, event).map(drop)
}

fn insert(
    connection: &Connection,
    sequence: Option<i64>,
    event: &AuditEvent,
) -> StoreResult<usize> {
    change(
        connection,
        "INSERT INTO audit_events
             (sequence, id, at, organization_id, actor, action, subject, address, request_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (
            sequence,
            event.id.to_string(),
            event.at.as_millisecond(),
            event.organization.map(|id| id.to_string()),
            to_json(&event.actor, "actor")?,
            event.action.as_str(),
            &event.subject,
            &event.address,
            &event.request_id,
        ),
    )
}

/// Puts an event of another store's log at the same place in this one.
///
/// # Errors
/// `Conflict("audit")` when another event is there.
pub(super) fn place(
    connection: &Connection,
    sequence: i64,
    event: &AuditEvent,
) -> StoreResult<usize> {
    let sql = "SELECT * FROM audit_events WHERE sequence = ?1";
    match one(connection, sql, [sequence], read)? {
        Some((_, known)) if known == *event => Ok(0),
        Some(_) => Err(StoreError::Conflict { what: "audit" }),
        None => insert(connection, Some(sequence), event),
    }
}

pub(super) fn read(row: &Row<'_>) -> StoreResult<(i64, AuditEvent)> {
    let action: String = plain(row, "action")?;
    let action: AuditAction =
        serde_json::from_value(action.into()).map_err(|error| StoreError::Corrupt {
            what: "column action".to_owned(),
            source: Some(Box::new(error)),
        })?;
    let event = AuditEvent {
        id: parsed(row, "id")?,
        at: timestamp(row, "at")?,
        organization: optional_parsed(row, "organization_id")?,
        actor: json(row, "actor")?,
        action,
        subject: plain(row, "subject")?,
        address: plain(row, "address")?,
        request_id: plain(row, "request_id")?,
    };
    Ok((plain(row, "sequence")?, event))
}

#[async_trait]
impl Audit for SqliteStore {
    async fn append_audit(&self, event: AuditEvent) -> StoreResult<()> {
        self.write(move |transaction| append(transaction, &event))
            .await
    }

    async fn audit_events(&self, page: PageRequest) -> StoreResult<Page<AuditEvent>> {
        let before = page.position()?.map_or(i64::MAX, |position| position.rank);
        let size = page.size();
        let rows = self
            .read(move |connection| {
                all(
                    connection,
                    "SELECT * FROM audit_events WHERE sequence < ?1
                     ORDER BY sequence DESC LIMIT ?2",
                    (before, size as i64 + 1),
                    read,
                )
            })
            .await?;
        let page = Page::cut(rows, size, |(sequence, _)| Position {
            rank: *sequence,
            id: String::new(),
        });
        let items = page.items.into_iter().map(|(_, event)| event).collect();
        Ok(Page {
            items,
            next: page.next,
        })
    }
}
