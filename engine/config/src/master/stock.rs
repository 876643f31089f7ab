//! The services of a host without a master.cf. Also what `ringpost init` writes.

pub(super) const NAME: &str = "built-in master.cf";

pub(super) const TEXT: &str = "\
# Which services there are. One entry each; a line that starts with a blank continues the one above it.
#
#   -o name=value         sets a parameter of main.cf for that service alone
#   -o { name = a b }     the same with blanks in it
#
# service  type  private unpriv  chroot  wakeup  maxproc command + options
#                (yes)   (yes)   (no)    (never) (100)
smtp       inet  n       -       n       -       -       smtpd
#smtp      inet  n       -       n       -       1       postscreen
#smtpd     pass  -       -       n       -       -       smtpd
#submission inet n       -       n       -       -       smtpd
#    -o syslog_name=postfix/submission
#    -o smtpd_tls_security_level=encrypt
#    -o smtpd_sasl_auth_enable=yes
#    -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
pickup     unix  n       -       n       60      1       pickup
cleanup    unix  n       -       n       -       0       cleanup
qmgr       unix  n       -       n       300     1       qmgr
tlsmgr     unix  -       -       n       1000?   1       tlsmgr
rewrite    unix  -       -       n       -       -       trivial-rewrite
bounce     unix  -       -       n       -       0       bounce
defer      unix  -       -       n       -       0       bounce
trace      unix  -       -       n       -       0       bounce
verify     unix  -       -       n       -       1       verify
flush      unix  n       -       n       1000?   0       flush
proxymap   unix  -       -       n       -       -       proxymap
proxywrite unix  -       -       n       -       1       proxymap
smtp       unix  -       -       n       -       -       smtp
relay      unix  -       -       n       -       -       smtp
    -o { syslog_name = ${multi_instance_name?{$multi_instance_name}:{postfix}}/$service_name }
showq      unix  n       -       n       -       -       showq
error      unix  -       -       n       -       -       error
retry      unix  -       -       n       -       -       error
discard    unix  -       -       n       -       -       discard
local      unix  -       n       n       -       -       local
virtual    unix  -       n       n       -       -       virtual
lmtp       unix  -       -       n       -       -       lmtp
anvil      unix  -       -       n       -       1       anvil
scache     unix  -       -       n       -       1       scache
postlog    unix-dgram n  -       n       -       1       postlogd
";
