#!/bin/sh
# Prints what code-server serves below its static root: where that is, and then one line for each
# file, "<sha256> <bytes> <path>", sorted by path. `scripts/image` runs this in the finished base, puts
# what it prints where code-server serves it too, and vouches for it by a label on the image, so that
# the gateway can keep these files for every workspace of the image and know that they are the image's.
set -eu

cd /opt/kalpana/code-server/lib/node_modules/code-server/lib/vscode
commit=$(sed -n 's/.*"commit": *"\([0-9a-f]\{40\}\)".*/\1/p' product.json)
quality=$(sed -n 's/.*"quality": *"\([a-z]*\)".*/\1/p' product.json)
if [ "${#commit}" -ne 40 ] || [ "${quality:=stable}" != stable ]; then
    echo "assets.sh: product.json names no commit, or another quality; has code-server changed?" >&2
    exit 1
fi
echo "root /stable-$commit/static/"

work=$(mktemp -d)
# Browsers ask for other names in an escaped form, under which nobody would look for them.
find out extensions node_modules resources -type f -print0 \
    | LC_ALL=C grep -zE '^[A-Za-z0-9@._/+-]+$' | LC_ALL=C sort -z >"$work/names"
xargs -0 sha256sum <"$work/names" | cut -d ' ' -f 1 >"$work/hashes"
xargs -0 stat -c '%s %n' <"$work/names" >"$work/sizes"
paste -d ' ' "$work/hashes" "$work/sizes"
rm -rf "$work"
