//! Columns read back as the typed values they were written from.

use std::str::FromStr;

use kalpana_domain::Timestamp;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use crate::error::{StoreError, StoreResult};
use crate::records::SecretHash;

fn corrupt<E: std::error::Error + Send + Sync + 'static>(
    column: &str,
) -> impl FnOnce(E) -> StoreError {
    move |error| StoreError::Corrupt {
        what: format!("column {column}"),
        source: Some(Box::new(error)),
    }
}

/// Reads a column as SQLite has it.
pub(super) fn plain<T: FromSql>(row: &Row<'_>, column: &'static str) -> StoreResult<T> {
    row.get(column).map_err(corrupt(column))
}

/// Reads text that one of our types parses.
pub(super) fn parsed<T>(row: &Row<'_>, column: &'static str) -> StoreResult<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    plain::<String>(row, column)?
        .parse()
        .map_err(corrupt(column))
}

/// Reads text that one of our types parses, where there is any.
pub(super) fn optional_parsed<T>(row: &Row<'_>, column: &'static str) -> StoreResult<Option<T>>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: Option<String> = plain(row, column)?;
    text.map(|text| text.parse())
        .transpose()
        .map_err(corrupt(column))
}

/// Reads text that a type is made from.
pub(super) fn converted<T>(row: &Row<'_>, column: &'static str) -> StoreResult<T>
where
    T: TryFrom<String, Error: std::error::Error + Send + Sync + 'static>,
{
    plain::<String>(row, column)?
        .try_into()
        .map_err(corrupt(column))
}

/// Reads text that a type is made from, where there is any.
pub(super) fn optional_converted<T>(row: &Row<'_>, column: &'static str) -> StoreResult<Option<T>>
where
    T: TryFrom<String, Error: std::error::Error + Send + Sync + 'static>,
{
    let text: Option<String> = plain(row, column)?;
    text.map(T::try_from).transpose().map_err(corrupt(column))
}

/// Reads JSON.
pub(super) fn json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: &'static str,
) -> StoreResult<T> {
    serde_json::from_str(&plain::<String>(row, column)?).map_err(corrupt(column))
}

/// Reads JSON that may be absent.
pub(super) fn optional_json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: &'static str,
) -> StoreResult<Option<T>> {
    let text: Option<String> = plain(row, column)?;
    let read = text.map(|text| serde_json::from_str(&text)).transpose();
    read.map_err(corrupt(column))
}

/// Reads a time.
pub(super) fn timestamp(row: &Row<'_>, column: &'static str) -> StoreResult<Timestamp> {
    Timestamp::from_millisecond(plain(row, column)?).map_err(corrupt(column))
}

/// Reads a time that may be absent.
pub(super) fn optional_timestamp(
    row: &Row<'_>,
    column: &'static str,
) -> StoreResult<Option<Timestamp>> {
    let milliseconds: Option<i64> = plain(row, column)?;
    milliseconds
        .map(Timestamp::from_millisecond)
        .transpose()
        .map_err(corrupt(column))
}

/// Reads a count that is never negative.
pub(super) fn count(row: &Row<'_>, column: &'static str) -> StoreResult<u64> {
    u64::try_from(plain::<i64>(row, column)?).map_err(corrupt(column))
}

/// Reads the hash of a secret.
pub(super) fn secret_hash(row: &Row<'_>, column: &'static str) -> StoreResult<SecretHash> {
    plain(row, column)
}

/// Makes a count into what a column holds.
pub(super) fn to_column(number: u64, column: &'static str) -> StoreResult<i64> {
    i64::try_from(number).map_err(corrupt(column))
}

/// Writes a value as JSON.
pub(super) fn to_json<T: serde::Serialize>(value: &T, column: &'static str) -> StoreResult<String> {
    serde_json::to_string(value).map_err(corrupt(column))
}

/// Returns the one row that a query gives, if it gives one.
pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> StoreResult<T>,
) -> StoreResult<Option<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement
        .query_row(params, |row| Ok(read(row)))
        .optional()?;
    found.transpose()
}

/// Returns every row that a query gives.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> StoreResult<T>,
) -> StoreResult<Vec<T>> {
    connection
        .prepare_cached(sql)?
        .query_and_then(params, read)?
        .collect()
}

/// Tells whether a query gives a row.
pub(super) fn exists(connection: &Connection, sql: &str, params: impl Params) -> StoreResult<bool> {
    Ok(connection.prepare_cached(sql)?.exists(params)?)
}

/// Runs a statement; returns how many rows it changed.
pub(super) fn change(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> StoreResult<usize> {
    Ok(connection.prepare_cached(sql)?.execute(params)?)
}
