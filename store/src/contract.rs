//! The store contract: what a backend promises, in enough words to write another one from.
//!
//! The traits are in [`repository`](crate::repository) and [`transfer`](crate::transfer); each
//! method says what it does. This page says what holds for all of them. `tests/story` holds every
//! backend to it through the traits alone, by chapters, by a model and by writers that get into
//! each other's way; `tests/mover` moves everything between any two. A backend that passes them and
//! keeps "Durability" is one.
//!
//! # Atomicity
//! A method happens wholly or not at all, its audit event included. No reader sees half of it, no
//! crash leaves half of it. An error other than [`Unavailable`](crate::StoreError::Unavailable) means
//! that nothing happened. `Unavailable` with [`Outage::Away`](crate::Outage::Away) means that the
//! answer is not known: the operation happened wholly or not at all, and may still happen within
//! moments. Callers that try again use an idempotency key, a version, or a method that may be
//! repeated. The two exceptions are [`import`](crate::transfer::Transfer::import) and
//! [`remove`](crate::transfer::Transfer::remove), of which part may have happened: they work on a
//! store that nobody uses yet and are repeated until they succeed.
//!
//! # Order
//! Operations are linearizable: one that begins after another has returned, in any process, sees
//! what the other did. Lists are read at one moment each; a list read in pages neither repeats nor
//! hides what was there all the time, because a cursor is a position by age and id and not a count.
//! The audit log is ordered by writing: of two operations where one began after the other had
//! returned, the later one's event is the newer. Events of operations side by side may be either
//! way, and one that is still being written may appear a moment later below a newer one.
//!
//! # Uniqueness
//! Ids are unique for all time, also those of what was deleted: a workspace keeps its row as a
//! tombstone. E-mail addresses, session hashes, audit ids and (user, idempotency key) are unique.
//! Uniqueness and limits hold under any number of writers: a quota is counted and used in one
//! step, the first administrator is made once. `create_session` and `create_token` are before or
//! after `change_password` and `end_other_sessions` of the same person, never beside them: what is
//! made before is ended, and who made it after sees the new hash.
//!
//! # `NotFound` and `Conflict`
//! Looking for something that is not there gives `None`. [`NotFound`](crate::StoreError::NotFound)
//! is for an operation that needs it: the row to be changed, or `reference` for a user or an
//! organisation that a new row names. [`Conflict`](crate::StoreError::Conflict) is for a claim that
//! somebody else has: `email`, `id`, `idempotency`, `setup`; `password` for
//! a change of a password that somebody else changed first; `ports` for one port more than a
//! workspace may have remembered; and `version` for a write by who did not see the latest state, who
//! reads again and decides again. Where several could be told, the
//! order is: frozen, conflict of what the method is about, quota, reference, id, audit. For
//! `put_port_share` it is: frozen, workspace, version, ports, audit.
//!
//! # Durability
//! What returned is there after the process, the machine or one member of a replica set dies at any
//! later moment. Three methods write hints, which a frozen store may drop and a crash may lose:
//! `touch_session`, `touch_token` and `upgrade_password_hash`. `purge_sessions` removes what no
//! other method can return.
//!
//! # Time and text
//! Times are kept to the millisecond, cut off; those inside a lifecycle, a link and a
//! wish to be let in as they are. Text is kept as
//! it is, any Unicode up to 1 MiB at least, NUL included; it is never part of a statement. Text is
//! ordered by its bytes. Nothing is removed by time but what no method can return any more.
//!
//! # Freezing
//! In a frozen store every method that writes, but the hints and `purge_sessions`, refuses with
//! [`Frozen`](crate::StoreError::Frozen) and changes nothing; reading goes on. Once `freeze` has
//! returned, nothing that began earlier can still be written. A freeze that is past its end is
//! lifted by the next write and not before, so that [`retire`](crate::transfer::Transfer::retire)
//! knows by the freeze alone whether anything was written.
//!
//! # Events
//! [`events`](crate::repository::Events::events) tells of what any process wrote, at least once, after
//! it can be read, within seconds (the poll interval, or what the database needs). After anything
//! that may have made it miss something it says so.
