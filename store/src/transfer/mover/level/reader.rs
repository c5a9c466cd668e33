//! Reading one side of a collection in the order of its keys, a page ahead.

use std::collections::VecDeque;

use crate::error::StoreError;
use crate::repository::Repository;
use crate::transfer::mover::report::MoveError;
use crate::transfer::{Collection, Record};

/// A record with its key.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) record: Record,
}

/// One side.
pub(super) struct Reader<'a> {
    store: &'a dyn Repository,
    /// What is said to have failed when reading fails.
    step: &'static str,
    collection: Collection,
    page: usize,
    /// The last key that was read.
    after: Option<String>,
    /// What was read and not taken.
    ahead: VecDeque<Entry>,
    is_at_end: bool,
}

impl<'a> Reader<'a> {
    /// Reads the records of a collection with keys after `after`.
    pub(super) fn new(
        store: &'a dyn Repository,
        step: &'static str,
        collection: Collection,
        page: usize,
        after: Option<String>,
    ) -> Self {
        Self {
            store,
            step,
            collection,
            page,
            after,
            ahead: VecDeque::new(),
            is_at_end: false,
        }
    }

    /// Reads the next page when everything was taken.
    pub(super) async fn fill(&mut self) -> Result<(), MoveError> {
        if self.is_at_end || !self.ahead.is_empty() {
            return Ok(());
        }
        let exported = self
            .store
            .export(self.collection, self.after.clone(), self.page)
            .await
            .map_err(MoveError::at(self.step))?;
        self.is_at_end = exported.len() < self.page;
        for record in exported {
            let key = record.key();
            // Comparing two sides depends on it, and a server may be set up to sort otherwise.
            if self.after.as_ref().is_some_and(|after| *after >= key) {
                return Err(MoveError::at(self.step)(StoreError::Corrupt {
                    what: format!(
                        "{} are not in the order of their keys",
                        self.collection.name()
                    ),
                    source: None,
                }));
            }
            self.after = Some(key.clone());
            self.ahead.push_back(Entry { key, record });
        }
        Ok(())
    }

    /// Returns the key up to which everything is known, or none when that is the end.
    pub(super) fn horizon(&self) -> Option<String> {
        if self.is_at_end {
            return None;
        }
        self.ahead.back().map(|entry| entry.key.clone())
    }

    /// Takes what was read up to a key, or all of it.
    pub(super) fn take(&mut self, stop: Option<&str>) -> Vec<Entry> {
        let count = match stop {
            None => self.ahead.len(),
            Some(stop) => self
                .ahead
                .partition_point(|entry| entry.key.as_str() <= stop),
        };
        self.ahead.drain(..count).collect()
    }
}

/// Reads a stretch again from its beginning.
pub(super) async fn read_stretch(
    store: &dyn Repository,
    collection: Collection,
    page: usize,
    after: Option<&str>,
    stop: Option<&str>,
) -> Result<Vec<Entry>, MoveError> {
    let step = "read the destination";
    let mut reader = Reader::new(store, step, collection, page, after.map(str::to_owned));
    let mut entries = Vec::new();
    loop {
        reader.fill().await?;
        entries.extend(reader.take(stop));
        // What is left lies behind the stretch.
        if reader.is_at_end || !reader.ahead.is_empty() {
            return Ok(entries);
        }
    }
}
