# What the peers' scripts share; sourced, not run.
#
# A peer is started as
#
#   NAME.sh start DIRECTORY PORT ALIASES
#
# and stays in the foreground: configuration, queue and Maildirs are made below DIRECTORY, it
# listens on 127.0.0.1:PORT, prints `listening on 127.0.0.1:PORT` once a client sees its banner,
# and ends on SIGTERM. Recipients are u0 .. u999@test.example, and both spellings smtp-source -N
# has had: 1u .. <ALIASES>u, and u0 .. u<ALIASES>, each mapped to Maildir <number modulo 1000>.
#
# The host's /etc is not touched: the server runs in a mount namespace of its own with a small
# private /etc that holds the accounts it wants. Needs root.

PEERS_ROOT=${PEERS_ROOT:-/var/tmp/perf-peers} # where install.sh unpacks the packages
DOMAIN=test.example
USERS=1000

# Numbers no Debian package uses; nothing outside the private /etc knows them.
POSTFIX_ID=61001 VMAIL_ID=61002 EXIM_ID=61003 SMTPD_ID=61004 SMTPQ_ID=61005 POSTDROP_ID=61006

die() { echo "$0: $*" >&2; exit 1; }

# private_etc DIRECTORY: accounts, names, and the library cache of a server's own.
private_etc() {
    local etc=$1/etc-private
    mkdir -p "$etc/ld.so.conf.d"
    cat >"$etc/passwd" <<EOF
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
postfix:x:$POSTFIX_ID:$POSTFIX_ID::/var/spool/postfix:/usr/sbin/nologin
vmail:x:$VMAIL_ID:$VMAIL_ID::/nonexistent:/usr/sbin/nologin
Debian-exim:x:$EXIM_ID:$EXIM_ID::/var/spool/exim4:/usr/sbin/nologin
opensmtpd:x:$SMTPD_ID:$SMTPD_ID::/var/lib/opensmtpd/empty:/usr/sbin/nologin
opensmtpq:x:$SMTPQ_ID:$SMTPQ_ID::/var/lib/opensmtpd/empty:/usr/sbin/nologin
EOF
    cat >"$etc/group" <<EOF
root:x:0:
mail:x:8:
nogroup:x:65534:
postfix:x:$POSTFIX_ID:
vmail:x:$VMAIL_ID:
Debian-exim:x:$EXIM_ID:
opensmtpd:x:$SMTPD_ID:
opensmtpq:x:$SMTPQ_ID:
postdrop:x:$POSTDROP_ID:
EOF
    printf 'passwd: files\ngroup: files\nhosts: files\nservices: files\n' >"$etc/nsswitch.conf"
    printf '127.0.0.1 localhost mx.%s\n::1 localhost\n' "$DOMAIN" >"$etc/hosts"
    # OpenSMTPD looks up the name of every client; this keeps its resolver at home.
    echo 'lookup file' >"$etc/resolv.conf"
    local file
    for file in services protocols host.conf localtime ssl; do
        [ ! -e "/etc/$file" ] || cp -rL "/etc/$file" "$etc/"
    done
    echo "mx.$DOMAIN" >"$etc/mailname"
    { cat /etc/ld.so.conf.d/*.conf; echo "$PEERS_ROOT/postfix/usr/lib/postfix"; } \
        >"$etc/ld.so.conf" 2>/dev/null
    ldconfig -i -X -C "$etc/ld.so.cache" -f "$etc/ld.so.conf" 2>/dev/null
}

# in_private_etc DIRECTORY command...: replaces this shell.
in_private_etc() {
    local etc=$1/etc-private; shift
    exec unshare -m sh -c 'mount --make-rprivate / && mount --bind "$1" /etc && shift && exec "$@"' \
        sh "$etc" "$@"
}

# make_maildirs DIRECTORY OWNER: u0 .. u999, each with tmp, new and cur.
make_maildirs() {
    mkdir -p "$1"
    ( cd "$1" && for ((i = 0; i < USERS; i++)); do echo "u$i/tmp u$i/new u$i/cur"; done |
        xargs mkdir -p )
    chown -R "$2" "$1"
    chmod 755 "$1"
}

# user_list ALIASES: every local part and the Maildir it belongs to.
user_list() {
    awk -v users=$USERS -v aliases="$1" 'BEGIN {
        last = aliases > users ? aliases : users
        for (i = 0; i < last; i++) print "u" i, "u" i % users
        for (i = 1; i <= aliases; i++) print i "u", "u" i % users
    }'
}

# announce PORT: waits in the background for the banner and says so. Forked twice: the server that
# replaces this shell must not find a child it did not make (Postfix's master panics).
announce() {
    ( (
        exec 2>/dev/null
        for ((i = 0; i < 600; i++)); do
            if exec 3<>"/dev/tcp/127.0.0.1/$1"; then
                read -r -t 10 banner <&3
                printf 'QUIT\r\n' >&3
                exec 3>&-
                case $banner in 220*) echo "listening on 127.0.0.1:$1"; exit 0 ;; esac
            fi
            sleep 0.05
        done
    ) & )
}
