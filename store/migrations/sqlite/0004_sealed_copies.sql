-- What gateways share: sealed by them, so that nobody else can read it.
CREATE TABLE sealed_copies (
    name TEXT NOT NULL PRIMARY KEY,
    contents BLOB NOT NULL,
    version INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
