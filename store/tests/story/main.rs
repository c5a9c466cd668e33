//! One story that every backend must be able to tell: each chapter holds a backend to promises of
//! `kalpana_store::repository`, through the traits alone. A backend joins with one line,
//! `tell!(name)`, where `World::name` makes a place that the same store is opened at each time.

mod bad_files;
mod bad_servers;
mod model;
mod outage;
mod people;
mod sealed;
mod sessions;
mod sharing;
mod trash;
mod whole;
mod workspaces;
mod world;
mod writers;

/// Tells every chapter to one backend.
macro_rules! tell {
    ($backend:ident) => {
        mod $backend {
            tell!(@chapters $backend;
                people: the_setup_link_works_once, one_of_many_setups_wins,
                    an_address_is_taken_once, people_are_listed_in_pages,
                    a_password_hash_is_replaced,
                    a_changed_password_ends_what_was_opened_with_the_old_one;
                sessions: a_session_lives_until_it_ends, a_session_ends_by_itself,
                    a_person_sees_and_ends_their_own_sessions,
                    ended_sessions_are_remembered_and_purged, a_token_lives_until_it_is_revoked,
                    tokens_are_listed_newest_first;
                workspaces: a_workspace_is_remembered_as_it_was_asked_for,
                    the_quota_holds_under_parallel_creation,
                    what_failed_counts_again_when_it_is_started, a_repeated_request_makes_one_workspace,
                    only_who_saw_the_latest_version_writes, a_deleted_workspace_leaves_a_tombstone,
                    workspaces_are_listed_in_pages;
                trash: a_deleted_workspace_is_listed_and_restored_as_it_was,
                    a_restored_workspace_counts_against_the_quota, what_is_given_up_stays_gone,
                    the_trash_is_listed_in_pages;
                sharing: a_shared_port_is_remembered_as_it_was_given,
                    a_port_is_found_by_the_links_it_has_now,
                    only_who_saw_the_latest_version_shares, a_deleted_workspace_shares_nothing,
                    the_number_of_ports_is_bounded_for_many_writers;
                sealed: a_sealed_copy_is_kept_as_it_was_given,
                    only_who_saw_the_latest_version_writes_a_sealed_copy,
                    one_of_many_writers_of_a_sealed_copy_wins_each_version;
                whole: a_change_without_its_audit_event_does_not_happen,
                    a_refused_change_leaves_no_audit_event, the_audit_log_is_kept_in_order,
                    hostile_text_is_only_text, what_returned_is_there_after_reopening,
                    two_processes_share_one_store, a_cursor_from_nowhere_is_refused;
                writers: versions_lose_no_update, a_quota_and_a_key_hold_together,
                    an_address_is_taken_once_by_many, a_session_is_ended_once, no_session_slips_past_a_changed_password,
                    the_log_loses_nothing_and_is_read_in_pages_while_it_grows,
                    a_freeze_lets_no_write_slip_through;
                outage: an_ended_session_is_told_to_other_processes,
                    a_shared_port_is_told_to_other_processes;
            );
        }
    };
    (@chapters $backend:ident; $($module:ident: $($chapter:ident),+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $chapter() {
                let world = crate::world::World::$backend().await;
                crate::$module::$chapter(&world).await;
            }
        )+)+
    };
}

tell!(sqlite);
tell!(mongodb);

/// Runs the model beside a backend, in parts that run side by side.
macro_rules! compare_with_model {
    ($($name:ident: $backend:ident, $first:literal, $seeds:literal;)+) => {
        mod the_model_agrees {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let world = crate::world::World::$backend().await;
                    crate::model::run(world, $first, $seeds).await;
                }
            )+
        }
    };
}

compare_with_model! {
    sqlite_1: sqlite, 0, 500;
    sqlite_2: sqlite, 1_000_000, 500;
    sqlite_3: sqlite, 2_000_000, 500;
    sqlite_4: sqlite, 3_000_000, 500;
    mongodb_1: mongodb, 4_000_000, 50;
    mongodb_2: mongodb, 5_000_000, 50;
    mongodb_3: mongodb, 6_000_000, 50;
    mongodb_4: mongodb, 7_000_000, 50;
    mongodb_5: mongodb, 8_000_000, 50;
    mongodb_6: mongodb, 9_000_000, 50;
}
