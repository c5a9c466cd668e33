# Sourced by every script in this folder: where things are kept, how progress is printed, how a
# failure is reported. It runs nothing by itself.
# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used by the scripts that source this

set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scripts=$repository/scripts

# Everything built or downloaded lives outside the repository, so that clones share it.
export KALPANA_CACHE=${KALPANA_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/kalpana}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$KALPANA_CACHE/target}
logs=$KALPANA_CACHE/logs
# In CI a Cargo.lock that no longer fits its manifests is an error; at a desk cargo mends it.
locked=()
if [[ -n ${CI:-} ]]; then locked=(--locked); fi
mkdir -p "$logs"

# Versions that several scripts must agree on.
node_version=24.21.0
npm_version=11.21.2
export node_version npm_version

# Without a terminal nothing is redrawn and nothing is coloured.
if [[ -t 1 && ${TERM:-dumb} != dumb ]]; then
    on_terminal=yes bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' plain=$'\e[0m'
else
    on_terminal=no bold='' dim='' red='' plain=''
fi

say() { printf '%s\n' "$*"; }
note() { printf '%s      %s%s\n' "$dim" "$*" "$plain"; }

# fail "what went wrong" "what to do next"
fail() {
    printf '\n%serror:%s %s\n' "$red" "$plain" "$1" >&2
    if [[ -n ${2:-} ]]; then
        printf ' next: %s\n' "$2" >&2
    fi
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root: directly, or through sudo.
as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        fail "this needs root, and there is no sudo: $*" \
            "run the command as root (su -c '$*'), then this script again"
    fi
}

# --- progress ------------------------------------------------------------------------------------

phase_number=0
phase_count=${phase_count:-0}
phase_table=()
phase_seconds=0
ticker_pid=

# Redraws one line while a phase runs: seconds so far and the last thing its log says.
ticker() {
    local heading=$1 log=$2 started=$SECONDS width last
    while sleep 1; do
        width=$(tput cols 2>/dev/null || echo 80)
        last=$(tail -c 400 "$log" 2>/dev/null | tr '\r' '\n' | sed 's/\x1b\[[0-9;]*[A-Za-z]//g' \
            | grep -v '^[[:space:]]*$' | tail -n 1 || true)
        printf '\r\e[K%.*s' "$((width - 1))" "$heading … $((SECONDS - started)) s  $last"
    done
}

stop_ticker() {
    if [[ -n $ticker_pid ]]; then
        kill "$ticker_pid" 2>/dev/null || true
        wait "$ticker_pid" 2>/dev/null || true
        ticker_pid=
        printf '\r\e[K'
    fi
}
trap stop_ticker EXIT

phase_heading() {
    phase_number=$((phase_number + 1))
    heading="$1"
    if [[ $phase_count -gt 0 ]]; then
        heading="[$phase_number/$phase_count] $1"
    fi
}

# quiet_phase "title" command…
#
# Runs a command with its output in a log file; prints one line with the seconds it took. If it
# fails, prints the end of the log and returns its status. The command is always a program of its
# own, never a shell function, because bash ignores `set -e` inside a function whose result is tested.
quiet_phase() {
    local title=$1 heading log started status=0
    shift
    phase_heading "$title"
    log=${title%% (*}
    log=$logs/${log//[^a-zA-Z0-9]/-}.log
    started=$SECONDS
    : >"$log"
    if [[ $on_terminal == yes ]]; then
        ticker "$heading" "$log" &
        ticker_pid=$!
    fi
    "$@" >"$log" 2>&1 || status=$?
    stop_ticker
    phase_seconds=$((SECONDS - started))
    phase_table+=("$(printf '%6d s  %s' "$phase_seconds" "$title")")
    if [[ $status -ne 0 ]]; then
        say "$heading … ${red}failed${plain} after $phase_seconds s"
        tail -n 40 "$log" | sed 's/^/      /' >&2
        printf '      (all of it: %s)\n' "$log" >&2
        return "$status"
    fi
    say "$heading … $phase_seconds s"
    # A line that a phase marks with `note:` is for the person, whatever else stays in the log.
    { grep -a '^note: ' "$log" || true; } | while IFS= read -r line; do note "${line#note: }"; done
}

# loud_phase "title" command…   The same with the output shown as it comes.
loud_phase() {
    local title=$1 heading started status=0
    shift
    phase_heading "$title"
    say ""
    say "${bold}${heading}${plain}"
    started=$SECONDS
    "$@" || status=$?
    phase_seconds=$((SECONDS - started))
    phase_table+=("$(printf '%6d s  %s' "$phase_seconds" "$title")")
    if [[ $status -ne 0 ]]; then
        say "$heading … ${red}failed${plain} after $phase_seconds s"
    else
        say "$heading … $phase_seconds s"
    fi
    return "$status"
}

print_phases() {
    local line
    for line in "${phase_table[@]}"; do
        say "$line"
    done
}

# --- content hashes ------------------------------------------------------------------------------

# Prints 16 hex digits over the names and contents of files, and over any text given on stdin.
hash_of_files() {
    { cat; [[ $# -eq 0 ]] || (cd "$repository" && sha256sum -- "$@"); } | sha256sum | cut -c1-16
}

# --- Node ----------------------------------------------------------------------------------------

# True if the Node on the path is new enough to build the user interface.
node_is_new_enough() {
    have node && have npm || return 1
    local version major minor
    version=$(node --version 2>/dev/null) || return 1
    version=${version#v}
    major=${version%%.*}
    minor=${version#*.}
    minor=${minor%%.*}
    [[ $major -gt 20 || ( $major -eq 20 && $minor -ge 19 ) ]]
}

private_node=$KALPANA_CACHE/node-$node_version

# Puts our own Node on the path when the machine's is missing or too old and ours is installed.
use_node() {
    if ! node_is_new_enough && [[ -x $private_node/bin/node ]]; then
        export PATH=$private_node/bin:$PATH
    fi
}

# npm_archive NAME VERSION: prints the path of the package's archive, fetched once.
npm_archive() {
    local file=$KALPANA_CACHE/downloads/$1-$2.tgz part
    if [[ ! -s $file ]]; then
        mkdir -p "$KALPANA_CACHE/downloads"
        part=$(mktemp -d "$KALPANA_CACHE/downloads/.part-XXXXXX")
        (cd "$part" && npm pack --silent "$1@$2" >/dev/null) \
            || { rm -rf "$part"; fail "npm could not fetch $1@$2" \
                "check that 'npm view $1 version' works; behind a proxy set npm's proxy and cafile"; }
        mv "$part/$1-$2.tgz" "$file"
        rmdir "$part"
    fi
    printf '%s\n' "$file"
}

# install_npm_packages FOLDER: installs what the folder's package-lock.json names, when it changed.
install_npm_packages() {
    local folder=$1 stamp wanted log
    stamp=$folder/node_modules/.kalpana-packages
    wanted="$(cat "$folder/package.json" "$folder/package-lock.json" | sha256sum | cut -c1-16) node $(node --version | cut -d. -f1)"
    if [[ $(cat "$stamp" 2>/dev/null || true) == "$wanted" ]]; then
        return
    fi
    log=$(mktemp)
    say "installing the npm packages of ${folder#"$repository/"}"
    if ! (cd "$folder" && npm ci --no-audit --no-fund) >"$log" 2>&1; then
        # A mirror that carries only its own system's binary packages leaves the others out of a lock
        # file written there ("Missing: name@ from lock file", without a version), and `npm ci`
        # refuses such a file. `npm install --no-save` keeps to it and leaves it as it is. Any other
        # complaint is a real one.
        if ! grep -q 'Missing: [^ ]*@ from lock file' "$log" \
            || grep -E '(Missing|Invalid): ' "$log" | grep -qv 'Missing: [^ ]*@ from lock file'; then
            cat "$log" >&2
            rm -f "$log"
            fail "npm ci failed in ${folder#"$repository/"}" "its message is above; behind a proxy set npm's proxy and cafile"
        fi
        say "the lock file leaves out packages of other systems; installing with npm install"
        (cd "$folder" && npm install --no-save --no-audit --no-fund) \
            || fail "npm install failed in ${folder#"$repository/"}" "its message is above; behind a proxy set npm's proxy and cafile"
    fi
    rm -f "$log"
    printf '%s\n' "$wanted" >"$stamp"
    say "note: installed the npm packages of ${folder#"$repository/"}"
}
