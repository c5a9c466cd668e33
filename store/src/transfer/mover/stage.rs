//! What is left to do between two stores, and whether it may be done.

use std::sync::Arc;

use uuid::Uuid;

use super::report::MoveError;
use super::step;
use crate::error::StoreError;
use crate::open::HALF_FILLED;
use crate::repository::Repository;
use crate::transfer::Collection;

/// How far earlier runs came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The destination is empty.
    Fresh,
    /// The destination holds part of the source; the source is in use.
    HalfFilled,
    /// The destination holds everything and the source is retired; only the destination's mark is
    /// left to be taken away.
    Retired,
    /// Nothing is left to do.
    Done,
}

/// How many records a collection has on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Which.
    pub collection: Collection,
    /// Records in the source.
    pub in_source: u64,
    /// Records in the destination.
    pub in_destination: u64,
}

/// What a move would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is left to do.
    pub stage: Stage,
    /// Every collection, in order.
    pub collections: Vec<Planned>,
}

/// Looks at both stores and changes nothing. A destination that does not exist yet is `None`.
/// `place` is what the destination is called.
///
/// # Errors
/// [`MoveError`] when the move would be refused.
pub async fn plan(
    source: &Arc<dyn Repository>,
    destination: Option<&Arc<dyn Repository>>,
    place: &str,
) -> Result<Plan, MoveError> {
    let mut collections = Vec::new();
    for collection in Collection::ALL {
        let in_destination = match destination {
            Some(store) => step("count in the destination", store.count(collection)).await?,
            None => 0,
        };
        collections.push(Planned {
            collection,
            in_source: step("count in the source", source.count(collection)).await?,
            in_destination,
        });
    }
    let is_empty = collections
        .iter()
        .all(|planned| planned.in_destination == 0);
    let source = Known {
        id: step("read the source", source.store_id()).await?,
        moved_to: step("read the source", source.moved_to()).await?,
        filled_from: None,
    };
    let destination = match destination {
        None => None,
        Some(store) => {
            let incoming = step("read the destination", store.incoming()).await?;
            Some(Known {
                id: step("read the destination", store.store_id()).await?,
                moved_to: step("read the destination", store.moved_to()).await?,
                filled_from: incoming.map(|incoming| incoming.from),
            })
        }
    };
    let stage = stage(&source, destination.as_ref(), is_empty, place)?;
    Ok(Plan { stage, collections })
}

/// Tells whether a store cannot be opened because a move into it is not complete.
pub fn is_half_filled(error: &StoreError) -> bool {
    matches!(error, StoreError::Open { reason, .. } if reason == HALF_FILLED)
}

/// What a store says about moves.
struct Known {
    id: Uuid,
    moved_to: Option<String>,
    filled_from: Option<Uuid>,
}

fn stage(
    source: &Known,
    destination: Option<&Known>,
    is_empty: bool,
    place: &str,
) -> Result<Stage, MoveError> {
    if destination.is_some_and(|destination| destination.id == source.id) {
        return Err(MoveError::SameStore);
    }
    let filled_from = destination.and_then(|destination| destination.filled_from);
    if let Some(from) = filled_from
        && from != source.id
    {
        return Err(MoveError::DestinationOfAnother { from });
    }
    match &source.moved_to {
        // Another place that was once half filled from this source is out of date.
        Some(moved_to) if moved_to != place => Err(MoveError::MovedElsewhere {
            place: moved_to.clone(),
        }),
        Some(_) if filled_from.is_some() => Ok(Stage::Retired),
        Some(moved_to) if is_empty => Err(MoveError::DestinationLost {
            place: moved_to.clone(),
        }),
        Some(_) => Ok(Stage::Done),
        None if filled_from.is_some() => Ok(Stage::HalfFilled),
        None if is_empty && destination.is_none_or(|known| known.moved_to.is_none()) => {
            Ok(Stage::Fresh)
        }
        None => Err(MoveError::DestinationInUse),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Uuid = Uuid::from_u128(1);
    const DESTINATION: Uuid = Uuid::from_u128(2);
    const OTHER: Uuid = Uuid::from_u128(3);

    fn known(id: Uuid, moved_to: Option<&str>, filled_from: Option<Uuid>) -> Known {
        Known {
            id,
            moved_to: moved_to.map(str::to_owned),
            filled_from,
        }
    }

    fn told(
        source_moved_to: Option<&str>,
        destination: Option<(Option<&str>, Option<Uuid>)>,
        is_empty: bool,
    ) -> String {
        let source = known(SOURCE, source_moved_to, None);
        let destination =
            destination.map(|(moved_to, filled_from)| known(DESTINATION, moved_to, filled_from));
        match stage(&source, destination.as_ref(), is_empty, "here") {
            Ok(stage) => format!("{stage:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_stage_follows_from_what_both_stores_say() {
        for (moved_to, destination, is_empty, expected) in [
            (None, None, true, "Fresh"),
            (None, Some((None, None)), true, "Fresh"),
            (None, Some((None, Some(SOURCE))), true, "HalfFilled"),
            (None, Some((None, Some(SOURCE))), false, "HalfFilled"),
            (Some("here"), Some((None, Some(SOURCE))), false, "Retired"),
            (Some("here"), Some((None, None)), false, "Done"),
        ] {
            assert_eq!(told(moved_to, destination, is_empty), expected);
        }
    }

    #[test]
    fn a_destination_that_is_not_ours_to_fill_is_refused() {
        let in_use = "the destination is not empty";
        let elsewhere = "the source was moved to there already";
        let lost = "the source was moved to here, but nothing is there";
        let of_another = format!("the destination is half filled from another store ({OTHER})");
        for (moved_to, destination, is_empty, expected) in [
            (None, Some((None, None)), false, in_use),
            (None, Some((Some("back"), None)), true, in_use),
            (None, Some((None, Some(OTHER))), true, &of_another),
            (Some("here"), Some((None, Some(OTHER))), false, &of_another),
            (Some("there"), Some((None, Some(SOURCE))), false, elsewhere),
            (Some("there"), None, true, elsewhere),
            (Some("here"), Some((None, None)), true, lost),
            (Some("here"), None, true, lost),
        ] {
            assert_eq!(told(moved_to, destination, is_empty), expected);
        }
        let same = stage(
            &known(SOURCE, None, None),
            Some(&known(SOURCE, None, None)),
            true,
            "here",
        );
        assert!(matches!(same, Err(MoveError::SameStore)), "{same:?}");
    }
}
