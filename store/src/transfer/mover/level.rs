//! Making a collection the same on both sides: both are read in the order of their keys and
//! compared stretch by stretch; what differs is copied, what is only in the destination removed.

mod reader;

use kalpana_domain::clock::Clock;
use sha2::{Digest, Sha256};

use super::Mover;
use super::report::{MoveError, Moved};
use crate::error::StoreError;
use crate::records::SecretHash;
use crate::transfer::{Collection, Record};
use reader::{Entry, Reader, read_stretch};

/// How often a stretch is looked at before the sides count as different. A database may remove
/// what is over by its own clock in between, so once is not enough.
const LOOKS: usize = 4;

/// Records that are written at once: fewer than are read, so that a slow server answers in time.
const BATCH: usize = 1000;

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// What differs is copied, beside writers. What refers to something that is not there yet is
    /// left for later.
    Copy,
    /// What was copied is read back and compared, and both sides are summed up.
    Proof,
}

/// How far two sides were compared, and what they come to.
#[derive(Debug, Clone, Default)]
pub(super) struct Compared {
    /// The key that comparing goes on after.
    after: Option<String>,
    source: Sum,
    destination: Sum,
}

/// Where comparing ended, and up to where it need not be done again in an append-only collection.
pub(super) struct Levelled {
    pub(super) end: Compared,
    /// One page at least before the end: writes side by side may come in a little out of order.
    pub(super) settled: Compared,
}

/// Keeps copying from running after writers for ever: it goes up to what there was when it began,
/// then up to what there is then, as long as it comes nearer quickly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chase {
    /// Records gone through when this leg began.
    begin: u64,
    /// Records to go through in this leg.
    bound: u64,
}

impl Chase {
    /// Begins where there are `count` records.
    pub(super) fn new(count: u64) -> Self {
        Self {
            begin: 0,
            bound: count,
        }
    }

    fn is_at_bound(&self, done: u64) -> bool {
        done >= self.bound
    }

    /// Tells whether another leg is worth it after `done` records when there are `count`. What is
    /// left is for the last part, which nobody writes beside.
    fn goes_on(&mut self, done: u64, count: u64, page: u64) -> bool {
        let (leg, left) = (done - self.begin, count.saturating_sub(done));
        *self = Self {
            begin: done,
            bound: count,
        };
        left > page && left <= leg / 2
    }
}

/// Count and running hash of one side.
#[derive(Debug, Clone, Default)]
struct Sum {
    count: u64,
    hash: Sha256,
}

impl Sum {
    /// Sums up for a proof; otherwise only counts, which is cheaper.
    fn add(&mut self, entries: &[Entry], extent: Extent) {
        self.count += entries.len() as u64;
        if extent == Extent::Copy {
            return;
        }
        for entry in entries {
            // With its length, so that no two lists of keys read the same.
            self.hash.update((entry.key.len() as u64).to_le_bytes());
            self.hash.update(&entry.key);
            self.hash.update(entry.record.digest());
        }
    }

    fn result(&self) -> (u64, SecretHash) {
        (self.count, self.hash.clone().finalize().into())
    }
}

impl Compared {
    /// Returns how many records were compared: in the source, in the destination.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.source.count, self.destination.count)
    }

    /// Returns what both sides come to.
    ///
    /// # Errors
    /// [`MoveError::Differs`] when they do not come to the same.
    pub(super) fn prove(&self, collection: Collection) -> Result<Moved, MoveError> {
        let (count, digest) = self.source.result();
        if self.destination.result() != (count, digest) {
            return Err(MoveError::differs(collection, None));
        }
        Ok(Moved {
            collection,
            count,
            digest,
        })
    }
}

impl<C: Clock> Mover<C> {
    /// Makes a collection the same on both sides from where `from` ended, telling `tell` how many
    /// records of the source were gone through. With a `chase` it may end before the collection
    /// does.
    pub(super) async fn level(
        &self,
        collection: Collection,
        from: Compared,
        extent: Extent,
        mut chase: Option<Chase>,
        tell: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Levelled, MoveError> {
        let page = self.pace.page.max(1);
        let reader = |store, name| Reader::new(store, name, collection, page, from.after.clone());
        let mut source = reader(&*self.source, "read the source");
        let mut destination = reader(&*self.destination, "read the destination");
        let mut end = from;
        let mut settled = [end.clone(), end.clone()];
        loop {
            tokio::try_join!(source.fill(), destination.fill())?;
            let stop = match (source.horizon(), destination.horizon()) {
                (None, None) => None,
                (Some(key), None) | (None, Some(key)) => Some(key),
                (Some(one), Some(other)) => Some(one.min(other)),
            };
            let here = source.take(stop.as_deref());
            let there = destination.take(stop.as_deref());
            let stretch = Stretch {
                collection,
                after: end.after.as_deref(),
                stop: stop.as_deref(),
            };
            // The next page comes while this one is written.
            let (there, ()) = tokio::try_join!(
                self.level_stretch(&stretch, &here, there, extent),
                source.fill()
            )?;
            end.source.add(&here, extent);
            end.destination.add(&there, extent);
            tell(end.source.count);
            let Some(stop) = stop else { break };
            if let Some(chase) = &mut chase
                && chase.is_at_bound(end.source.count)
            {
                let count = self.source.count(collection).await;
                let count = count.map_err(MoveError::at("count in the source"))?;
                if !chase.goes_on(end.source.count, count, page as u64) {
                    break;
                }
            }
            end.after = Some(stop);
            if end.source.count >= settled[1].source.count + page as u64 {
                settled = [settled[1].clone(), end.clone()];
            }
        }
        let [settled, _] = settled;
        Ok(Levelled { end, settled })
    }

    /// Makes one stretch the same. Returns what the destination has then.
    async fn level_stretch(
        &self,
        stretch: &Stretch<'_>,
        here: &[Entry],
        mut there: Vec<Entry>,
        extent: Extent,
    ) -> Result<Vec<Entry>, MoveError> {
        for _ in 0..LOOKS {
            let difference = Difference::between(here, &there);
            if difference.is_empty() {
                return Ok(there);
            }
            if let Some(key) = difference.extra.first()
                && stretch.collection.is_append_only()
            {
                return Err(MoveError::differs(stretch.collection, Some(key)));
            }
            self.mend(stretch.collection, difference, extent).await?;
            if extent == Extent::Copy {
                return Ok(there);
            }
            // One more than there should be: when all is well that is one page.
            let (page, destination) = (here.len() + 1, &*self.destination);
            let Stretch {
                collection,
                after,
                stop,
            } = *stretch;
            there = read_stretch(destination, collection, page, after, stop).await?;
        }
        let difference = Difference::between(here, &there);
        let missing = difference.missing.first().map(Record::key);
        let key = missing.or_else(|| difference.extra.first().cloned());
        match key {
            None => Ok(there),
            Some(key) => Err(MoveError::differs(stretch.collection, Some(&key))),
        }
    }

    /// Removes and copies what differs.
    async fn mend(
        &self,
        collection: Collection,
        difference: Difference,
        extent: Extent,
    ) -> Result<(), MoveError> {
        if !difference.extra.is_empty() {
            let removed = self.destination.remove(collection, difference.extra).await;
            removed.map_err(MoveError::at("remove from the destination"))?;
        }
        let mut batches: Vec<Vec<Record>> = difference
            .missing
            .chunks(BATCH)
            .rev()
            .map(<[Record]>::to_vec)
            .collect();
        while let Some(mut batch) = batches.pop() {
            let retry = (extent == Extent::Copy).then(|| batch.clone());
            match (
                self.destination.import(std::mem::take(&mut batch)).await,
                retry,
            ) {
                (Ok(()), _) => {}
                // Somebody made what it refers to after that was copied: the last part, which
                // nobody writes beside, brings both. The others of the batch can come now.
                (Err(StoreError::NotFound { .. }), Some(mut batch)) => {
                    if batch.len() > 1 {
                        let half = batch.split_off(batch.len() / 2);
                        batches.extend([half, batch]);
                    }
                }
                (Err(StoreError::Conflict { what: "audit" }), _) => {
                    return Err(MoveError::differs(collection, None));
                }
                (Err(error), _) => return Err(MoveError::at("write to the destination")(error)),
            }
        }
        Ok(())
    }
}

/// The keys of a collection after one and up to another.
struct Stretch<'a> {
    collection: Collection,
    after: Option<&'a str>,
    /// None for the end of the collection.
    stop: Option<&'a str>,
}

/// What must be done to a destination.
#[derive(Debug, Default)]
struct Difference {
    /// Records that it lacks, or has with another content.
    missing: Vec<Record>,
    /// Keys that only it has.
    extra: Vec<String>,
}

impl Difference {
    /// Compares two lists that are in the order of their keys.
    fn between(here: &[Entry], there: &[Entry]) -> Self {
        let mut difference = Self::default();
        let mut there = there.iter().peekable();
        for entry in here {
            while let Some(extra) = there.next_if(|other| other.key < entry.key) {
                difference.extra.push(extra.key.clone());
            }
            let same = there.next_if(|other| other.key == entry.key);
            if same.is_none_or(|other| other.record != entry.record) {
                difference.missing.push(entry.record.clone());
            }
        }
        difference
            .extra
            .extend(there.map(|extra| extra.key.clone()));
        difference
    }

    fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chase_goes_on_only_while_it_comes_nearer() {
        let mut chase = Chase::new(1000);
        assert!(!chase.is_at_bound(999));
        assert!(chase.is_at_bound(1000));
        assert!(chase.goes_on(1000, 1400, 100), "400 left after 1,000");
        assert!(!chase.is_at_bound(1399));
        assert!(
            !chase.goes_on(1400, 1401, 100),
            "the last part does one page"
        );
        assert!(
            !Chase::new(1000).goes_on(1000, 1501, 100),
            "writers are as fast"
        );
    }
}
