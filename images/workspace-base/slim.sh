#!/bin/sh
# Takes out of code-server's tree what a Kalpana workspace never runs. Called inside the `editor`
# stage with the tree's path. Halves it: about 630 MB becomes about 260 MB.
set -eu

tree=$1
vscode=$tree/lib/vscode

# Every removal must find something: when a new code-server moves its files, the build stops here
# instead of quietly growing by 200 MB.
remove() {
    for path in "$@"; do
        if [ ! -e "$path" ]; then
            echo "slim.sh: nothing at $path; has code-server's layout changed?" >&2
            exit 1
        fi
        rm -rf "$path"
    done
}

# Microsoft's and GitHub's assistants. Kalpana brings an agent of its own, and the SDK would start
# a 97 MB helper process beside every opened window.
remove "$vscode"/node_modules/@github/copilot-sdk-linux-x64 \
    "$vscode"/node_modules/@microsoft/mxc-sdk \
    "$vscode"/extensions/copilot \
    "$vscode"/extensions/microsoft-authentication

# Prebuilt binaries for other systems.
keep=linux-x64
for folder in "$vscode"/node_modules/node-pty/prebuilds "$tree"/node_modules/argon2/prebuilds \
    "$vscode"/node_modules/@vscode/ripgrep-universal/bin; do
    remove "$folder"/darwin-arm64
    test -d "$folder/$keep"
    find "$folder" -mindepth 1 -maxdepth 1 ! -name "$keep" -exec rm -rf {} +
done

# What the compiler left beside the native modules; only the finished `.node` files are loaded.
find "$tree" -type d \( -name obj.target -o -name obj -o -name .deps \) -path '*/build/*' -prune -exec rm -rf {} +
find "$tree" -path '*/build/Release/*' -name '*.a' -delete
rm -rf "$vscode"/node_modules/@vscode/sqlite3/deps

# The bundler that built the bundled extensions; they ship built.
remove "$vscode"/extensions/node_modules/esbuild "$vscode"/extensions/node_modules/@esbuild

# Source maps, read by nobody.
find "$tree" -name '*.map' -type f -delete
