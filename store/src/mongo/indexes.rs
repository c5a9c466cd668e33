//! What must be indexed: made by the process that migrates, checked by all.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;

use super::failure::{code, code_of};
use super::{MongoStore, name};
use crate::error::StoreResult;

/// The index that keeps addresses unique.
pub(super) const USERS_BY_EMAIL: &str = "users_by_email";

/// How long after its end a session is removed when nobody purges: far beyond what anybody asks
/// about ended sessions.
const SESSION_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// One index that must be there.
struct Index {
    collection: &'static str,
    name: &'static str,
    keys: Document,
    is_unique: bool,
    /// Documents are removed this long after the time in the field.
    expires_after: Option<Duration>,
}

/// What is wrong with an index, for whoever runs the database.
#[derive(Debug)]
pub(super) enum Problem {
    /// It is not there.
    Missing(String),
    /// There is one of this name or these fields that does not do the same.
    Different(String),
}

fn wanted() -> Vec<Index> {
    let plain = |collection, name, keys| Index {
        collection,
        name,
        keys,
        is_unique: false,
        expires_after: None,
    };
    let unique = |collection, name, keys| Index {
        is_unique: true,
        ..plain(collection, name, keys)
    };
    let expiring = |collection, name, keys, after| Index {
        expires_after: Some(after),
        ..plain(collection, name, keys)
    };
    vec![
        unique(
            name::ORGANIZATIONS,
            "organizations_by_slug",
            doc! { "slug": 1 },
        ),
        unique(name::USERS, USERS_BY_EMAIL, doc! { "email": 1 }),
        plain(
            name::USERS,
            "users_by_age",
            doc! { "createdAt": 1, "_id": 1 },
        ),
        unique(
            name::SESSIONS,
            "sessions_by_token",
            doc! { "sessionToken": 1 },
        ),
        plain(name::SESSIONS, "sessions_by_user", doc! { "userId": 1 }),
        plain(
            name::SESSIONS,
            "sessions_by_end",
            doc! { "endedAt": 1, "_id": 1 },
        ),
        expiring(
            name::SESSIONS,
            "sessions_expire",
            doc! { "expires": 1 },
            SESSION_KEPT,
        ),
        plain(
            name::TOKENS,
            "tokens_by_user",
            doc! { "userId": 1, "createdAt": -1, "_id": -1 },
        ),
        plain(
            name::WORKSPACES,
            "workspaces_by_user",
            doc! { "userId": 1, "createdAt": -1, "_id": -1 },
        ),
        plain(
            name::WORKSPACES,
            "workspaces_by_organization",
            doc! { "organizationId": 1, "createdAt": -1, "_id": -1 },
        ),
        plain(
            name::WORKSPACES,
            "workspaces_by_status",
            doc! { "status": 1 },
        ),
        plain(
            name::PORT_SHARES,
            "port_shares_by_workspace",
            doc! { "workspaceId": 1 },
        ),
        plain(
            name::PORT_SHARES,
            "port_shares_by_link",
            doc! { "linkHashes": 1 },
        ),
        expiring(
            name::IDEMPOTENCY_KEYS,
            "idempotency_keys_expire",
            doc! { "expiresAt": 1 },
            Duration::ZERO,
        ),
        unique(
            name::AUDIT_EVENTS,
            "audit_events_by_sequence",
            doc! { "sequence": 1 },
        ),
    ]
}

/// The collections that transactions write to; they are made beforehand.
const COLLECTIONS: [&str; 13] = [
    name::AUDIT_EVENTS,
    name::COUNTERS,
    name::GATE,
    name::IDEMPOTENCY_KEYS,
    name::LOCKS,
    name::META,
    name::ORGANIZATIONS,
    name::PORT_SHARES,
    name::SEALED_COPIES,
    name::SESSIONS,
    name::TOKENS,
    name::USERS,
    name::WORKSPACES,
];

/// Tells whether all these collections are ours by name.
pub(super) fn are_ours(names: &[String]) -> bool {
    names
        .iter()
        .all(|name| COLLECTIONS.contains(&name.as_str()))
}

/// Makes the collections and indexes that are missing. Indexes that differ stay as they are:
/// [`check`] tells of them.
pub(super) async fn create(store: &MongoStore) -> StoreResult<()> {
    let known = store.database.list_collection_names().await?;
    for collection in COLLECTIONS {
        if known.iter().any(|name| name == collection) {
            continue;
        }
        if let Err(error) = store.database.create_collection(collection).await
            && code_of(&error) != Some(code::NAMESPACE_EXISTS)
        {
            return Err(error.into());
        }
    }
    for index in wanted() {
        let mut options = IndexOptions::builder().name(index.name.to_owned()).build();
        options.unique = index.is_unique.then_some(true);
        options.expire_after = index.expires_after;
        let model = IndexModel::builder()
            .keys(index.keys)
            .options(options)
            .build();
        let made = store.collection(index.collection).create_index(model).await;
        if let Err(error) = made {
            let is_other = matches!(
                code_of(&error),
                Some(code::INDEX_OPTIONS_CONFLICT | code::INDEX_KEY_CONFLICT)
            );
            if !is_other {
                return Err(error.into());
            }
        }
    }
    Ok(())
}

/// Returns what is wrong with the indexes, nothing when all is as it must be.
pub(super) async fn check(store: &MongoStore) -> StoreResult<Vec<Problem>> {
    let mut found: HashMap<&str, Vec<IndexModel>> = HashMap::new();
    let mut problems = Vec::new();
    for index in wanted() {
        let collection = index.collection;
        if !found.contains_key(collection) {
            let listed = store.collection(collection).list_indexes().await?;
            found.insert(collection, listed.try_collect().await?);
        }
        let there = found.get(collection).into_iter().flatten();
        problems.extend(problem(&index, there));
    }
    Ok(problems)
}

fn problem<'a>(wanted: &Index, mut found: impl Iterator<Item = &'a IndexModel>) -> Option<Problem> {
    let label = format!("{}.{}", wanted.collection, wanted.name);
    let named = found.find(|index| {
        let name = index
            .options
            .as_ref()
            .and_then(|options| options.name.as_deref());
        name == Some(wanted.name)
    });
    let Some(index) = named else {
        return Some(Problem::Missing(label));
    };
    let options = index.options.clone().unwrap_or_default();
    let is_same = has_same_keys(&index.keys, &wanted.keys)
        && options.unique.unwrap_or(false) == wanted.is_unique
        && options.expire_after == wanted.expires_after;
    (!is_same).then_some(Problem::Different(label))
}

/// Compares fields, their order and direction; servers answer directions in any type of number.
fn has_same_keys(one: &Document, other: &Document) -> bool {
    let direction = |value: &mongodb::bson::Bson| {
        value
            .as_i32()
            .map(f64::from)
            .or_else(|| value.as_i64().map(|number| number as f64))
            .or_else(|| value.as_f64())
    };
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|((a, x), (b, y))| a == b && direction(x) == direction(y))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(keys: Document, unique: bool) -> IndexModel {
        let mut options = IndexOptions::builder()
            .name(USERS_BY_EMAIL.to_owned())
            .build();
        options.unique = unique.then_some(true);
        IndexModel::builder().keys(keys).options(options).build()
    }

    #[test]
    fn an_index_that_does_not_do_its_work_is_noticed() {
        let wanted = wanted()
            .into_iter()
            .find(|index| index.name == USERS_BY_EMAIL)
            .expect("listed");
        let good = index(doc! { "email": 1.0 }, true);
        assert!(problem(&wanted, [&good].into_iter()).is_none());
        for bad in [
            index(doc! { "email": 1 }, false),
            index(doc! { "email": -1 }, true),
            index(doc! { "email": 1, "name": 1 }, true),
        ] {
            let found = problem(&wanted, [&bad].into_iter());
            assert!(matches!(found, Some(Problem::Different(_))), "{found:?}");
        }
        let found = problem(&wanted, [].into_iter());
        assert!(matches!(found, Some(Problem::Missing(label)) if label == "users.users_by_email"));
    }
}
