#!/bin/bash
# exim.sh start DIRECTORY PORT ALIASES     (see lib.sh)
# exim.sh version
#
# Tuned: no DNS, ident or TLS, split spool, no message logs, no queueing after many messages of one
# connection, and deliver_drop_privilege, which alone made it three times faster. Exim syncs 5 times
# per message. With a fresh connection per message its QUIT costs 200 ms of waiting in TCP_CORK.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
R=$PEERS_ROOT/exim EXIM=$PEERS_ROOT/exim/usr/sbin/exim4

configure() { # configure DIRECTORY PORT ALIASES
    local W=$1 C=$1/etc
    mkdir -p "$C" "$W/spool" "$W/log"
    chmod 755 "$W" "$C"
    chown $EXIM_ID:$EXIM_ID "$W/spool" "$W/log"
    make_maildirs "$W/mail/$DOMAIN" $EXIM_ID:$EXIM_ID
    cat >"$C/exim.conf" <<EOF
primary_hostname = mx.$DOMAIN
spool_directory = $W/spool
exim_path = $EXIM
log_file_path = $W/log/%slog
exim_user = Debian-exim
exim_group = Debian-exim
trusted_users = root
never_users =
daemon_smtp_ports = $2
local_interfaces = 127.0.0.1
domainlist local_domains = $DOMAIN
host_lookup =
rfc1413_query_timeout = 0s
disable_ipv6 = true
tls_advertise_hosts =
qualify_domain = $DOMAIN
helo_try_verify_hosts =
dns_dnssec_ok = 0
smtp_accept_max = 3000
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
smtp_accept_queue = 0
smtp_accept_reserve = 0
smtp_connect_backlog = 4096
smtp_receive_timeout = 10m
recipients_max = 0
message_size_limit = 50M
split_spool_directory = yes
message_logs = no
deliver_drop_privilege = yes
keep_environment =
add_environment = PATH=/usr/bin:/bin
acl_smtp_rcpt = acl_rcpt
acl_smtp_data = acl_data
begin acl
acl_rcpt:
  accept domains = +local_domains
         verify = recipient
  deny
acl_data:
  accept
begin routers
local_user:
  driver = accept
  domains = +local_domains
  address_data = \${lookup{\$local_part}dbm{$C/users.db}{\$value}fail}
  transport = maildir
  cannot_route_message = Unknown user
begin transports
maildir:
  driver = appendfile
  maildir_format
  directory = $W/mail/$DOMAIN/\$address_data
  create_directory = false
  user = Debian-exim
  mode = 0600
  delivery_date_add
  envelope_to_add
  return_path_add
begin retry
*  *  F,2h,15s
begin rewrite
begin authenticators
EOF
    user_list "$3" | awk '{ print $1 ": " $2 }' >"$C/users"
    "$R/usr/sbin/exim_dbmbuild" -nowarn "$C/users" "$C/users.db" >/dev/null
    chmod 644 "$C"/*
    chown -R root:root "$C"
    private_etc "$W"
    # Deliveries re-exec the binary with -C; it keeps root only for files named in this list.
    mkdir -p "$W/etc-private/exim4"
    echo "$C/exim.conf" >"$W/etc-private/exim4/trusted_configs"
}

case ${1:-} in
start)
    configure "$2" "$3" "$4"
    ulimit -n "$(ulimit -Hn)"
    announce "$3"
    in_private_etc "$2" "$EXIM" -C "$2/etc/exim.conf" -bdf -q1m
    ;;
version) echo "Exim $(cut -d_ -f2 "$R/.exim4-daemon-heavy")" ;;
*) die "usage: $0 start DIRECTORY PORT ALIASES | version" ;;
esac
