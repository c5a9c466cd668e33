# Sourced by the commands that use Docker as an ordinary user.
# shellcheck shell=bash

# Runs the calling script again inside the group that may use Docker's socket, when needed.
#
# A user who was added to the group `docker` a moment ago is not in it yet in a shell that was
# opened before: `sg` opens one command with the group in force.
enter_docker_group() {
    if [[ $EUID -eq 0 || -n ${DOCKER_HOST:-} ]] || docker version >/dev/null 2>&1; then
        return
    fi
    local user
    user=$(id -un)
    if [[ -n ${KALPANA_IN_DOCKER_GROUP:-} ]]; then
        fail "user $user may not use the Docker engine's socket" \
            "run 'sudo usermod -aG docker $user', log out and in, then run the same command again"
    fi
    if ! id -nG "$user" | tr ' ' '\n' | grep -qx docker; then
        say "Adding $user to the group 'docker', so that Docker works without sudo (its members can become root)."
        as_root usermod -aG docker "$user"
    fi
    have sg || fail "this shell is not in the group 'docker' yet" "log out and in, then run the same command again"
    say "This shell is not in the group 'docker' yet; going on inside it (from the next login on you are)."
    export KALPANA_IN_DOCKER_GROUP=yes
    exec sg docker -c "$(printf '%q ' "$0" "$@")"
}
