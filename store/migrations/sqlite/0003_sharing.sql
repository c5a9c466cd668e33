-- How the ports of workspaces are shared. A port of which nothing is remembered has no row.
CREATE TABLE port_shares (
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    level TEXT NOT NULL CHECK (level IN ('owner', 'members', 'organization', 'link', 'public')),
    members TEXT NOT NULL, -- ids of users, separated by spaces
    expires_at INTEGER,
    generation INTEGER,
    links TEXT NOT NULL, -- JSON; secrets are SHA-256
    requests TEXT NOT NULL, -- JSON
    version INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, port)
) STRICT, WITHOUT ROWID;

-- Finds a port by the secret of one of its links. Written with the row above, from what it says.
CREATE TABLE port_share_links (
    secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
    workspace_id TEXT NOT NULL,
    port INTEGER NOT NULL,
    PRIMARY KEY (secret_hash, workspace_id, port),
    FOREIGN KEY (workspace_id, port) REFERENCES port_shares (workspace_id, port) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX port_share_links_by_port ON port_share_links (workspace_id, port);
