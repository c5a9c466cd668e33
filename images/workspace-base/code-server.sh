#!/bin/sh
# Starts code-server with the platform's own Node, whatever `node` the workspace's user prefers.
exec /opt/kalpana/node/bin/node /opt/kalpana/code-server/lib/node_modules/code-server/out/node/entry.js "$@"
