#!/bin/bash
# install.sh postfix|exim|opensmtpd...   (as root, on Debian)
#
# Downloads the peers' Debian packages and unpacks them (dpkg -x) below $PEERS_ROOT: no package is
# installed, no service starts, the system's mail-transport-agent stays what it is. The shared
# libraries they need, and strace, are installed with apt. What is there already is kept.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
export DEBIAN_FRONTEND=noninteractive
[ "$(id -u)" = 0 ] || die "run as root"
[ $# -gt 0 ] || die "which peers?"

debs=$PEERS_ROOT/deb
mkdir -p "$debs"
chmod 755 "$PEERS_ROOT"

apt_lists() { # once, and only where apt knows nothing yet
    apt-cache show postfix >/dev/null 2>&1 || apt-get update -q >&2
}

unpack() { # unpack PEER PACKAGE...
    local peer=$1 package deb; shift
    mkdir -p "$PEERS_ROOT/$peer"
    for package in "$@"; do
        [ ! -e "$PEERS_ROOT/$peer/.$package" ] || continue
        apt_lists
        ls "$debs/${package}_"*.deb >/dev/null 2>&1 ||
            (cd "$debs" && apt-get download -q "$package" >&2 2> >(grep -v unsandboxed >&2))
        deb=$(ls "$debs/${package}_"*.deb | tail -1)
        libraries "$deb"
        dpkg -x "$deb" "$PEERS_ROOT/$peer"
        basename "$deb" >"$PEERS_ROOT/$peer/.$package"
    done
}

libraries() { # installs the shared libraries a package depends on
    local missing= name
    for name in $(dpkg-deb -f "$1" Depends Pre-Depends | sed 's/^[A-Za-z-]*: //' | tr ',' '\n' |
        sed 's/|.*//; s/(.*//' | grep -oE '^ *lib[^ ]+'); do
        dpkg-query -W -f='${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed ||
            missing="$missing $name"
    done
    # shellcheck disable=SC2086 # a list of names
    [ -z "$missing" ] || apt-get install -y -q --no-install-recommends $missing >&2
}

command -v strace >/dev/null || { apt_lists; apt-get install -y -q --no-install-recommends strace >&2; }
for peer in "$@"; do
    case $peer in
    postfix) unpack postfix postfix postfix-lmdb ;;
    exim) unpack exim exim4-base exim4-daemon-heavy ;;
    opensmtpd) unpack opensmtpd opensmtpd ;;
    *) die "$peer is not a peer known here" ;;
    esac
done
