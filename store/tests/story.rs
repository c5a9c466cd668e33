//! One story that every backend must be able to tell: each chapter holds a backend to promises of
//! `kalpana_store::repository`, through the traits alone. A backend joins with one line,
//! `tell!(name: crate::opener)`, where the opener opens the same store again each time it is called with
//! the same directory, as several processes would.

#[path = "story/bad_files.rs"]
mod bad_files;
#[path = "story/people.rs"]
mod people;
#[path = "story/sessions.rs"]
mod sessions;
#[path = "story/whole.rs"]
mod whole;
#[path = "story/workspaces.rs"]
mod workspaces;
#[path = "story/world.rs"]
mod world;

use std::path::Path;
use std::sync::Arc;

use kalpana_store::Store;
use kalpana_store::sqlite::{OpenMode, SqliteStore};

async fn sqlite(directory: &Path) -> Store {
    let path = directory.join("store/kalpana.sqlite3");
    let settings = kalpana_config::Store::default();
    let store = SqliteStore::open(&path, &settings, OpenMode::Migrate).await;
    Arc::new(store.expect("a store that opens"))
}

/// Tells every chapter to one backend.
macro_rules! tell {
    ($backend:ident: $opener:path) => {
        mod $backend {
            tell!(@chapters $opener;
                people: the_setup_link_works_once, one_of_many_setups_wins,
                    an_address_is_taken_once, people_are_listed_in_pages,
                    a_password_hash_is_replaced;
                sessions: a_session_lives_until_it_ends, a_session_ends_by_itself,
                    ended_sessions_are_remembered_and_purged, a_token_lives_until_it_is_revoked,
                    tokens_are_listed_newest_first;
                workspaces: a_workspace_is_remembered_as_it_was_asked_for,
                    the_quota_holds_under_parallel_creation, a_repeated_request_makes_one_workspace,
                    only_who_saw_the_latest_version_writes, a_deleted_workspace_leaves_a_tombstone,
                    workspaces_are_listed_in_pages;
                whole: a_change_without_its_audit_event_does_not_happen,
                    a_refused_change_leaves_no_audit_event, the_audit_log_is_kept_in_order,
                    hostile_text_is_only_text, what_returned_is_there_after_reopening,
                    two_processes_share_one_store, a_cursor_from_nowhere_is_refused;
            );
        }
    };
    (@chapters $opener:path; $($module:ident: $($chapter:ident),+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $chapter() {
                let world = crate::world::World::new(
                    |directory| Box::pin(async move { $opener(&directory).await }),
                );
                crate::$module::$chapter(&world).await;
            }
        )+)+
    };
}

tell!(sqlite_file: crate::sqlite);
