//! Random operations on a backend and on a plain model of the contract: every answer and, at the
//! end, everything that is stored must be the same.
//!
//! A seed is a sequence of operations on an empty store. `KALPANA_MODEL_SEED=<n>` runs that one
//! alone, `KALPANA_MODEL_SEEDS=<n>` so many times the usual number.

mod operation;
mod state;

use kalpana_store::transfer::{Collection, Record};
use kalpana_store::{Store, StoreResult};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::world::World;
use operation::Operation;
use state::Model;

/// Operations of one seed.
const LENGTH: usize = 30;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

/// Runs seeds from `first` on.
#[expect(clippy::print_stderr, reason = "counts are part of the result")]
pub(crate) async fn run(mut world: World, first: u64, seeds: u64) {
    let range = match variable("KALPANA_MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => first..first + seeds * variable("KALPANA_MODEL_SEEDS").unwrap_or(1),
    };
    let mut operations = 0;
    for seed in range.clone() {
        let store = world.emptied().await;
        operations += run_seed(&store, seed).await;
    }
    eprintln!(
        "{} seeds from {}, {operations} operations",
        range.clone().count(),
        range.start
    );
}

async fn run_seed(store: &Store, seed: u64) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let organization = store.default_organization().await.expect("there");
    let mut model = Model::new(organization);
    let mut history = Vec::new();
    for _ in 0..LENGTH {
        let operation = Operation::draw(&mut random, &model);
        let expected = model.answer(&operation);
        history.push(format!("{operation:?}"));
        let actual = operation.run(store).await;
        assert_eq!(
            actual,
            expected,
            "seed {seed}: the store (left) and the model (right) disagree after\n{}",
            history.join("\n")
        );
    }
    let (actual, expected) = (dump(store).await.expect("read"), model.dump());
    assert_eq!(
        actual,
        expected,
        "seed {seed}: the store holds (left) other than the model (right) after\n{}",
        history.join("\n")
    );
    LENGTH
}

/// Returns all records but keys of requests, which may be there for a while after their end.
/// Places in the audit log are counted from 1.
async fn dump(store: &Store) -> StoreResult<Vec<Record>> {
    let mut records = Vec::new();
    for collection in Collection::ALL {
        if collection == Collection::Organizations || collection == Collection::IdempotencyKeys {
            continue;
        }
        // Pages smaller than the collection, so that reading on is tried too.
        let (mut after, mut place) = (None, 0);
        loop {
            let mut part = store.export(collection, after.clone(), 5).await?;
            let Some(last) = part.last() else { break };
            after = Some(last.key());
            for record in &mut part {
                if let Record::AuditEvent { sequence, .. } = record {
                    place += 1;
                    *sequence = place;
                }
            }
            records.append(&mut part);
        }
    }
    Ok(records)
}
