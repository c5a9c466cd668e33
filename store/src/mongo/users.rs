//! People and their place in the default organisation.

use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{OrganizationId, UserId};
use kalpana_domain::organization::Organization;
use kalpana_domain::user::{EmailAddress, Role, User};
use mongodb::ClientSession;
use mongodb::bson::{DateTime, Document, doc};

use super::document::{self, UserDocument};
use super::failure::Failure;
use super::{Attempt, MongoStore, audit, name, sessions, setup, tokens};
use crate::error::{StoreError, StoreResult};
use crate::page::{Page, PageRequest, Position};
use crate::records::{EndedAccess, NewUser, PasswordChange, UserWithPassword};
use crate::repository::Users;
use crate::transfer::UserRecord;

pub(super) fn read(document: Document) -> StoreResult<UserRecord> {
    document::read::<UserDocument>(document, name::USERS)?.try_into()
}

/// Refuses an operation that refers to somebody who is not there.
pub(super) async fn require(attempt: &mut Attempt<'_>, id: UserId) -> Result<(), Failure> {
    let found = attempt
        .collection(name::USERS)
        .find_one(doc! { "_id": id.to_string() })
        .projection(doc! { "_id": 1 })
        .session(&mut *attempt.session)
        .await?;
    match found {
        Some(_) => Ok(()),
        None => Err(StoreError::NotFound { what: "reference" }.into()),
    }
}

/// Makes transactions about by what right one person gets in run one after the other: each writes
/// this document. A transaction sees a snapshot, so one that ends sessions and one that makes one
/// could else pass each other unseen.
pub(super) async fn lock_access(attempt: &mut Attempt<'_>, id: UserId) -> Result<(), Failure> {
    attempt
        .collection(name::LOCKS)
        .update_one(
            doc! { "_id": format!("access of {id}") },
            doc! { "$inc": { "turns": 1_i64 } },
        )
        .upsert(true)
        .session(&mut *attempt.session)
        .await?;
    Ok(())
}

/// Returns the filter and the change that replace a password's hash, unless it is not `known` any
/// more.
fn replacement(id: UserId, known: &str, new: &str) -> (Document, Document) {
    (
        doc! { "_id": id.to_string(), "passwordHash": known },
        doc! { "$set": { "passwordHash": new, "updatedAt": DateTime::now() } },
    )
}

/// Tells whether the site has a user, as a transaction sees it.
pub(super) async fn any(attempt: &mut Attempt<'_>) -> Result<bool, Failure> {
    let found = attempt
        .collection(name::USERS)
        .find_one(doc! {})
        .projection(doc! { "_id": 1 })
        .session(&mut *attempt.session)
        .await?;
    Ok(found.is_some())
}

/// Makes a person with `role`. A setup link that is still out means nothing from now on.
pub(super) async fn insert(
    attempt: &mut Attempt<'_>,
    user: &NewUser,
    role: Role,
) -> Result<User, Failure> {
    let taken = attempt
        .collection(name::USERS)
        .find_one(doc! { "email": user.email.as_str() })
        .session(&mut *attempt.session)
        .await?;
    if taken.is_some() {
        return Err(StoreError::Conflict { what: "email" }.into());
    }
    let organization = default_organization(attempt.store, Some(&mut *attempt.session)).await?;
    let record = UserRecord {
        id: user.id,
        email: user.email.clone(),
        name: user.name.clone(),
        password_hash: user.password_hash.clone(),
        organization,
        role,
        created_at: user.created_at,
    };
    let document = document::write(&UserDocument::from(&record))?;
    attempt
        .collection(name::USERS)
        .insert_one(&document)
        .session(&mut *attempt.session)
        .await
        .map_err(|error| {
            // Two indexes can refuse: the id's, and the address's when somebody else commits first.
            let is_address = error.to_string().contains(super::indexes::USERS_BY_EMAIL);
            Failure::collision(error, if is_address { "email" } else { "id" })
        })?;
    setup::forget(attempt).await?;
    Ok(read(document)?.into())
}

async fn default_organization(
    store: &MongoStore,
    session: Option<&mut ClientSession>,
) -> Result<OrganizationId, Failure> {
    let organizations = store.collection(name::ORGANIZATIONS);
    let find = organizations.find_one(doc! { "slug": Organization::DEFAULT_SLUG });
    let found = match session {
        Some(session) => find.session(session).await?,
        None => find.await?,
    };
    let not_found = StoreError::NotFound {
        what: "default organization",
    };
    let organization = found.ok_or(not_found)?;
    Ok(read_organization(&organization)?.id)
}

pub(super) fn read_organization(document: &Document) -> StoreResult<Organization> {
    let corrupt = || StoreError::Corrupt {
        what: format!("a document of {}", name::ORGANIZATIONS),
        source: None,
    };
    let created_at = document.get_datetime("createdAt").map_err(|_| corrupt())?;
    Ok(Organization {
        id: document
            .get_str("_id")
            .ok()
            .and_then(|id| id.parse().ok())
            .ok_or_else(corrupt)?,
        slug: document.get_str("slug").map_err(|_| corrupt())?.to_owned(),
        created_at: document::time(*created_at, "createdAt")?,
    })
}

pub(super) fn write_organization(organization: &Organization) -> Document {
    doc! {
        "_id": organization.id.to_string(),
        "slug": &organization.slug,
        "createdAt": document::date(organization.created_at),
    }
}

#[async_trait]
impl Users for MongoStore {
    async fn create_user(&self, user: NewUser, event: AuditEvent) -> StoreResult<User> {
        let context = (user, self.entry(event).await?);
        self.transact(context, |attempt, (user, entry)| {
            async move {
                let made = insert(attempt, user, user.role).await?;
                audit::append(attempt, entry).await?;
                Ok(made)
            }
            .boxed()
        })
        .await
    }

    async fn user(&self, id: UserId) -> StoreResult<Option<User>> {
        let found = self
            .collection(name::USERS)
            .find_one(doc! { "_id": id.to_string() })
            .await?;
        Ok(found.map(read).transpose()?.map(User::from))
    }

    async fn user_by_email(&self, email: &EmailAddress) -> StoreResult<Option<UserWithPassword>> {
        let found = self
            .collection(name::USERS)
            .find_one(doc! { "email": email.as_str() })
            .await?;
        let Some(record) = found.map(read).transpose()? else {
            return Ok(None);
        };
        Ok(Some(UserWithPassword {
            password_hash: record.password_hash.clone(),
            user: record.into(),
        }))
    }

    async fn upgrade_password_hash(
        &self,
        id: UserId,
        known_hash: String,
        password_hash: String,
    ) -> StoreResult<()> {
        let (filter, change) = replacement(id, &known_hash, &password_hash);
        self.collection(name::USERS)
            .update_one(filter, change)
            .await?;
        Ok(())
    }

    async fn change_password(
        &self,
        wish: PasswordChange,
        event: AuditEvent,
    ) -> StoreResult<EndedAccess> {
        let entry = self.entry(event).await?;
        let revocation = match wish.revocation.clone() {
            Some(event) => Some(self.entry(event).await?),
            None => None,
        };
        let context = (wish, entry, revocation);
        self.transact(context, |attempt, (wish, entry, revocation)| {
            async move {
                let user = wish.user;
                lock_access(attempt, user).await?;
                let (filter, change) = replacement(user, &wish.known_hash, &wish.new_hash);
                let changed = attempt
                    .collection(name::USERS)
                    .update_one(filter, change)
                    .session(&mut *attempt.session)
                    .await?;
                if changed.matched_count != 1 {
                    return Err(match require(attempt, user).await {
                        Ok(()) => StoreError::Conflict { what: "password" }.into(),
                        Err(Failure::Refused(_)) => StoreError::NotFound { what: "user" }.into(),
                        Err(other) => other,
                    });
                }
                let sessions =
                    sessions::end_others(attempt, user, Some(wish.kept), wish.at).await?;
                audit::append(attempt, entry).await?;
                let mut tokens = Vec::new();
                if let Some(revocation) = revocation {
                    tokens = tokens::revoke_all(attempt, user, wish.at).await?;
                    if !tokens.is_empty() {
                        audit::append(attempt, revocation).await?;
                    }
                }
                Ok(EndedAccess { sessions, tokens })
            }
            .boxed()
        })
        .await
    }

    async fn users(&self, page: PageRequest) -> StoreResult<Page<User>> {
        let (after, size) = (page.position()?, page.size());
        let filter = after.map_or_else(Document::new, |after| after_position(&after, "$gt"));
        let documents: Vec<Document> = self
            .collection(name::USERS)
            .find(filter)
            .sort(doc! { "createdAt": 1, "_id": 1 })
            .limit(size as i64 + 1)
            .await?
            .try_collect()
            .await?;
        let users: Vec<User> = documents
            .into_iter()
            .map(|document| read(document).map(User::from))
            .collect::<Result<_, _>>()?;
        Ok(Page::cut(users, size, |user| Position {
            rank: user.created_at.as_millisecond(),
            id: user.id.to_string(),
        }))
    }

    async fn default_organization(&self) -> StoreResult<OrganizationId> {
        Ok(default_organization(self, None).await?)
    }
}

/// Selects what comes after a position (`$gt`) or before it (`$lt`) by age and id.
pub(super) fn after_position(position: &Position, operator: &str) -> Document {
    let at = DateTime::from_millis(position.rank);
    doc! { "$or": [
        { "createdAt": { operator: at } },
        { "createdAt": at, "_id": { operator: &position.id } },
    ] }
}
