//! What the store knows of itself: its id, and whether it is being moved.

use kalpana_domain::clock::{Clock, SystemClock};
use rusqlite::Connection;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::row::{change, json, one, to_json};
use crate::error::{StoreError, StoreResult};
use crate::transfer::{Freeze, Incoming};

pub(super) const ID: &str = "id";
pub(super) const FREEZE: &str = "freeze";
pub(super) const MOVED_TO: &str = "moved_to";
pub(super) const INCOMING: &str = "incoming";

/// Gives a store that has none its id.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    let id = format!("\"{}\"", Uuid::new_v4());
    connection.execute(
        "INSERT INTO state (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
        (ID, id),
    )?;
    Ok(())
}

pub(super) fn get<T: DeserializeOwned>(
    connection: &Connection,
    name: &str,
) -> StoreResult<Option<T>> {
    one(
        connection,
        "SELECT value FROM state WHERE name = ?1",
        [name],
        |row| json(row, "value"),
    )
}

pub(super) fn set<T: Serialize>(connection: &Connection, name: &str, value: &T) -> StoreResult<()> {
    change(
        connection,
        "INSERT INTO state (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, to_json(value, "value")?),
    )?;
    Ok(())
}

/// Removes a value. Returns whether it was there.
pub(super) fn clear(connection: &Connection, name: &str) -> StoreResult<bool> {
    let removed = change(connection, "DELETE FROM state WHERE name = ?1", [name])?;
    Ok(removed == 1)
}

pub(super) fn incoming(connection: &Connection) -> StoreResult<Option<Incoming>> {
    get(connection, INCOMING)
}

/// Refuses when the store is frozen. Lifts a freeze that nobody renewed, so that who froze it
/// learns that something was written since.
pub(super) fn require_writable(connection: &Connection) -> StoreResult<()> {
    // One statement on the way of every write; the rest is for stores that are moved.
    let is_marked = super::row::exists(
        connection,
        "SELECT 1 FROM state WHERE name IN ('freeze', 'moved_to')",
        [],
    )?;
    if !is_marked {
        return Ok(());
    }
    if let Some(moved_to) = get::<String>(connection, MOVED_TO)? {
        return Err(StoreError::Frozen {
            moved_to: Some(moved_to),
        });
    }
    let freeze: Option<Freeze> = get(connection, FREEZE)?;
    if freeze.is_some_and(|freeze| freeze.until > SystemClock.now()) {
        return Err(StoreError::Frozen { moved_to: None });
    }
    clear(connection, FREEZE)?;
    Ok(())
}
