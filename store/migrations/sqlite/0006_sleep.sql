-- How a workspace sleeps, as JSON; NULL is as the site has it. From this version on a workspace's
-- state may be 'paused', which an older Kalpana does not know.
ALTER TABLE workspaces ADD COLUMN sleep TEXT;
