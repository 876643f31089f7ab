#!/bin/bash
# postfix.sh start DIRECTORY PORT ALIASES     (see lib.sh)
# postfix.sh version
#
# Tuned as a dedicated inbound host would be: no DNS, no TLS, no rate limits, an lmdb map, 100
# processes (20, 50 and 200 were slower at 20 and 100 sessions). Postfix always syncs the queue file
# and the mailbox file: 2 fsyncs per message.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
R=$PEERS_ROOT/postfix
export LD_LIBRARY_PATH=$R/usr/lib/postfix

configure() { # configure DIRECTORY PORT ALIASES
    local W=$1 C=$1/etc d
    mkdir -p "$C" "$W/data" "$W/spool" "$W/log"
    chmod 755 "$W" "$W/spool"
    chown $POSTFIX_ID:$POSTFIX_ID "$W/data"
    for d in active bounce corrupt defer deferred flush hold incoming private saved trace; do
        mkdir -p "$W/spool/$d"
        chown $POSTFIX_ID "$W/spool/$d"
        chmod 700 "$W/spool/$d"
    done
    mkdir -p "$W/spool/maildrop" "$W/spool/public" "$W/spool/pid"
    chown $POSTFIX_ID:$POSTDROP_ID "$W/spool/maildrop" "$W/spool/public"
    chmod 1730 "$W/spool/maildrop"
    chmod 2710 "$W/spool/public"
    make_maildirs "$W/mail/$DOMAIN" $VMAIL_ID:$VMAIL_ID
    echo "lmdb $R/usr/lib/postfix/postfix-lmdb.so dict_lmdb_open mkmap_lmdb_open" >"$C/dynamicmaps.cf"
    cat >"$C/main.cf" <<EOF
compatibility_level = 3.6
queue_directory = $W/spool
data_directory = $W/data
command_directory = $R/usr/sbin
daemon_directory = $R/usr/lib/postfix/sbin
shlib_directory = $R/usr/lib/postfix
meta_directory = $C
import_environment = MAIL_CONFIG LD_LIBRARY_PATH=$LD_LIBRARY_PATH
mail_owner = postfix
setgid_group = postdrop
maillog_file = $W/log/maillog
maillog_file_prefixes = $W
myhostname = mx.$DOMAIN
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
biff = no
alias_maps =
smtpd_peername_lookup = no
disable_dns_lookups = yes
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_tls_security_level = none
smtp_tls_security_level = none
in_flow_delay = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_event_limit_exceptions = 127.0.0.0/8
smtpd_timeout = 600s
default_process_limit = ${POSTFIX_PROCESSES:-100}
message_size_limit = 52428800
mailbox_size_limit = 0
virtual_mailbox_limit = 0
enable_long_queue_ids = yes
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
virtual_mailbox_domains = $DOMAIN
virtual_mailbox_base = $W/mail/$DOMAIN
virtual_mailbox_maps = lmdb:$C/vmailbox
virtual_minimum_uid = 100
virtual_uid_maps = static:$VMAIL_ID
virtual_gid_maps = static:$VMAIL_ID
EOF
    cat >"$C/master.cf" <<EOF
127.0.0.1:$2 inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
EOF
    user_list "$3" | awk -v d=$DOMAIN '{ print $1 "@" d, $2 "/" }' >"$C/vmailbox"
    private_etc "$W"
    (in_private_etc "$W" env MAIL_CONFIG="$C" "$R/usr/sbin/postmap" -c "$C" "lmdb:$C/vmailbox")
    # Postfix re-reads a main.cf that is only a few seconds old at every start of a process.
    touch -d '1 minute ago' "$C/main.cf" "$C/master.cf"
}

case ${1:-} in
start)
    configure "$2" "$3" "$4"
    ulimit -n "$(ulimit -Hn)"
    announce "$3"
    in_private_etc "$2" env MAIL_CONFIG="$2/etc" "$R/usr/lib/postfix/sbin/master" -c "$2/etc"
    ;;
version) echo "Postfix $(cut -d_ -f2 "$R/.postfix")" ;;
*) die "usage: $0 start DIRECTORY PORT ALIASES | version" ;;
esac
