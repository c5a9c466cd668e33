//! Cursor pagination: stable while rows come and go.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{StoreError, StoreResult};

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// The `next` of the page before, or `None` for the first.
    pub after: Option<String>,
    /// Rows wanted, at most [`PageRequest::LIMIT`].
    pub limit: usize,
}

impl PageRequest {
    /// Most rows of one page.
    pub const LIMIT: usize = 200;

    /// Returns the first page, as large as pages get.
    pub fn first() -> Self {
        Self {
            after: None,
            limit: Self::LIMIT,
        }
    }

    /// Returns how many rows the page has at most: what was asked, within 1 and the limit.
    pub(crate) fn size(&self) -> usize {
        self.limit.clamp(1, Self::LIMIT)
    }

    /// Returns the position that the page starts after, if it is not the first.
    pub(crate) fn position(&self) -> StoreResult<Option<Position>> {
        self.after.as_deref().map(Position::decode).transpose()
    }
}

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page starts, when there is one.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of `size` out of rows of which one more than that was asked for, so that it is
    /// known whether there is a next page.
    pub(crate) fn cut(mut items: Vec<T>, size: usize, position: impl Fn(&T) -> Position) -> Self {
        let has_more = items.len() > size;
        items.truncate(size);
        let next = items
            .last()
            .filter(|_| has_more)
            .map(|last| position(last).encode());
        Self { items, next }
    }
}

/// The sort key of the last row of a page: what the list is ordered by, and the id that makes it
/// unique. Clients see it as base64 and should not care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) rank: i64,
    pub(crate) id: String,
}

impl Position {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}/{}", self.rank, self.id))
    }

    fn decode(text: &str) -> StoreResult<Self> {
        let parse = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let (rank, id) = std::str::from_utf8(&bytes).ok()?.split_once('/')?;
            Some(Self {
                rank: rank.parse().ok()?,
                id: id.to_owned(),
            })
        };
        parse().ok_or(StoreError::InvalidCursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back() {
        let position = Position {
            rank: -5,
            id: "a/b".to_owned(),
        };
        assert_eq!(
            Position::decode(&position.encode()).expect("own text"),
            position
        );
    }

    #[test]
    fn other_texts_are_no_cursor() {
        for text in ["", "!", "AAAA", "bm90aGluZw", "w6k", "' OR 1=1 --"] {
            assert!(
                matches!(Position::decode(text), Err(StoreError::InvalidCursor)),
                "{text:?}"
            );
        }
    }
}
