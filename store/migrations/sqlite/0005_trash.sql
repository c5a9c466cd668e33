-- When the files of a deleted workspace were given up: it cannot be restored from then on. Its
-- `desired` stays 'deleted', which is all that the column's check knows.
ALTER TABLE workspaces ADD COLUMN purged_at INTEGER;

CREATE INDEX workspaces_in_trash ON workspaces (owner_id, deleted_at, id)
    WHERE deleted_at IS NOT NULL AND purged_at IS NULL;

-- What was deleted before there was a trash was promised to stay: its time begins now.
UPDATE workspaces SET deleted_at = CAST(unixepoch('subsec') * 1000 AS INTEGER)
WHERE deleted_at IS NOT NULL;
