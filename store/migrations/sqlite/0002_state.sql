-- What the store knows of itself, each by name, as JSON: `id` tells it from every other store,
-- `freeze` refuses writes while it is moved, `moved_to` for good, `incoming` while it is filled.
CREATE TABLE state (
    name TEXT NOT NULL PRIMARY KEY CHECK (name IN ('id', 'freeze', 'moved_to', 'incoming')),
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
