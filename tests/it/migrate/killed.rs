//! Killed with -9 and run again: everything arrives, nothing twice.

use std::time::Instant;

use anyhow::Context;
use futures_util::future::try_join_all;
use kalpana_test_mongodb::Database;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::site::{Move, Place};

/// Lines of progress to kill it at. Where writers wait, those of the next run wait for the freeze
/// that is left behind, up to 15 seconds: all runs are side by side.
const LINES: [&str; 5] = [
    "to ",
    "copying users",
    "froze the source",
    "verified sessions",
    "retired the source",
];

/// Moves that are killed at random moments, side by side.
const SIDE_BY_SIDE: usize = 3;

/// Returns how often each of them is killed: as `KALPANA_MIGRATE_KILLS` says in all, else thrice.
fn kills_of_each() -> anyhow::Result<usize> {
    match std::env::var("KALPANA_MIGRATE_KILLS") {
        Ok(kills) => Ok(kills.parse::<usize>()?.div_ceil(SIDE_BY_SIDE)),
        Err(_) => Ok(3),
    }
}

/// People in the store that is moved.
const PEOPLE: usize = 200;

enum Direction {
    ToMongodb,
    FromMongodb,
}

async fn prepare<'a>(
    direction: &Direction,
    folder: &'a tempfile::TempDir,
    database: &Database,
) -> anyhow::Result<Move<'a>> {
    let file = Place::file(
        folder.path(),
        &format!("{:08x}.sqlite3", rand::random::<u32>()),
    );
    let database = Place::database(database);
    let (from, to) = match direction {
        Direction::ToMongodb => (file, database),
        Direction::FromMongodb => (database, file),
    };
    from.fill(PEOPLE).await?;
    Ok(Move {
        folder: folder.path(),
        from,
        to,
    })
}

async fn clean(moves: &Move<'_>) -> anyhow::Result<()> {
    moves.from.remove().await?;
    moves.to.remove().await
}

#[expect(clippy::print_stdout, reason = "what a failure is repeated with")]
async fn a_killed_move_goes_on(direction: Direction) -> anyhow::Result<()> {
    let seed: u64 = rand::random();
    let kills = kills_of_each()?;
    println!("seed {seed}, {kills} kills of each of {SIDE_BY_SIDE} moves");
    let folder = tempfile::tempdir()?;
    let database = Database::fresh().await?;

    let undisturbed = prepare(&direction, &folder, &database).await?;
    let started = Instant::now();
    undisturbed.finish().await?;
    let usual = started.elapsed();
    clean(&undisturbed).await?;

    let at_lines = LINES.map(async |line| {
        let killed = prepare(&direction, &folder, &database).await?;
        let is_seen = killed.kill_at(line).await?;
        anyhow::ensure!(is_seen, "it never said {line:?}");
        killed
            .finish()
            .await
            .with_context(|| format!("killed at {line:?}"))?;
        clean(&killed).await
    });
    let at_random = (0..SIDE_BY_SIDE).map(async |number| {
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
        let killed = prepare(&direction, &folder, &database).await?;
        for _ in 0..kills {
            let mut process = killed.start()?;
            let moment = usual.mul_f64(random.random_range(0.0..1.5));
            // Until a moment comes, not until something has happened.
            let _ = tokio::time::timeout(moment, process.wait()).await;
            process.kill().await?;
        }
        killed
            .finish()
            .await
            .with_context(|| format!("seed {seed}"))?;
        clean(&killed).await
    });
    tokio::try_join!(try_join_all(at_lines), try_join_all(at_random))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_to_mongodb_that_is_killed_goes_on() -> anyhow::Result<()> {
    a_killed_move_goes_on(Direction::ToMongodb).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_from_mongodb_that_is_killed_goes_on() -> anyhow::Result<()> {
    a_killed_move_goes_on(Direction::FromMongodb).await
}
