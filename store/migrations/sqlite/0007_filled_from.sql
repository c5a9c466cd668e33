-- The snapshot that a workspace's volumes are to be filled from before it starts, as JSON; NULL once
-- they are, and for a workspace that begins empty.
ALTER TABLE workspaces ADD COLUMN filled_from TEXT;
