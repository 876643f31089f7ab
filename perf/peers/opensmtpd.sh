#!/bin/bash
# opensmtpd.sh start DIRECTORY PORT ALIASES     (see lib.sh)
# opensmtpd.sh version
#
# OpenSMTPD 6.8 does not sync its queue before the 250: its accept rates are not durable accepts.
# Its listen backlog is 5, so many short connections lose SYNs and wait for their retransmission.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
R=$PEERS_ROOT/opensmtpd

configure() { # configure DIRECTORY PORT ALIASES
    local W=$1 C=$1/etc
    mkdir -p "$C" "$W/spool"
    chmod 755 "$W" "$C"
    chmod 711 "$W/spool"
    make_maildirs "$W/mail/$DOMAIN" $VMAIL_ID:$VMAIL_ID
    user_list "$3" | awk -v m="$W/mail/$DOMAIN" -v i="$VMAIL_ID:$VMAIL_ID" \
        '{ print $1, i ":" m "/" $2 }' >"$C/userbase"
    cat >"$C/smtpd.conf" <<EOF
smtp limit max-mails 1000000
smtp limit max-rcpt 10000
smtp max-message-size 50M
listen on 127.0.0.1 port $2 hostname mx.$DOMAIN
table users file:$C/userbase
action "local" maildir "%{user.directory}" userbase <users>
match from any for domain "$DOMAIN" action "local"
EOF
    chmod 600 "$C/smtpd.conf"
    private_etc "$W"
}

case ${1:-} in
start)
    configure "$2" "$3" "$4"
    ulimit -n "$(ulimit -Hn)"
    announce "$3"
    # Its libexec, chroot and spool paths are compiled in: they too are private.
    in_private_etc "$2" sh -c '
        set -e
        mount -t tmpfs none /usr/libexec && ln -s "$2/usr/libexec/opensmtpd" /usr/libexec/opensmtpd
        mount -t tmpfs none /var/lib && mkdir -p -m 755 /var/lib/opensmtpd/empty
        mount -t tmpfs none /var/spool && mkdir /var/spool/smtpd && mount --bind "$1/spool" /var/spool/smtpd
        exec "$2/usr/sbin/smtpd" -d -f "$1/etc/smtpd.conf"' sh "$2" "$R" >&2
    ;;
version) echo "OpenSMTPD $(cut -d_ -f2 "$R/.opensmtpd")" ;;
*) die "usage: $0 start DIRECTORY PORT ALIASES | version" ;;
esac
