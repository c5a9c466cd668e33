# shellcheck shell=sh
# What `npm install --global` and similar put under the home folder is found by interactive shells.
# Deliberately not in the image's PATH: the container's root processes must never look there.
case ":$PATH:" in
    *":$HOME/.local/bin:"*) ;;
    *) PATH="$HOME/.local/bin:$PATH" ;;
esac
