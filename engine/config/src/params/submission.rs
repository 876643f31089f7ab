//! Mail and questions from commands of this machine: sendmail, mailq, postqueue.

use std::time::Duration;

use crate::row::{INT_MAX, known};
use crate::syntax::{NameList, Nonblank, TableList, Word};

known! {
    /// Who may use commands, and what becomes of what they submit.
    SUBMISSION;

    /// Users who may submit mail by commands.
    authorized_submit_users: NameList = "static:anyone";
    /// Users who may have deferred mail tried at once.
    authorized_flush_users: NameList = "static:anyone"
        => unsupported "who may open the queue's socket may";
    /// Users who may list the queue.
    authorized_mailq_users: NameList = "static:anyone"
        => unsupported "who may open the queue's socket may";
    /// Tables: a login name to the senders that its owner's mail may have. @domain is any in that domain, * any.
    local_login_sender_maps: TableList = "static:*";
    /// What stands for the null sender in local_login_sender_maps.
    empty_address_local_login_sender_maps_lookup_key: Nonblank = "<>";
    /// Whether CR LF at the end of a submitted line is one end of line.
    sendmail_fix_line_endings: Word = "always" in ["always", "strict", "never"];
    /// International names of domains are made ASCII by the older rules.
    enable_idna2003_compatibility: bool = "no"
        => unsupported "the rules are those of UTS 46";
    /// What filters mail that comes from commands, bounces included.
    non_smtpd_milters: Box<str> = ""
        => unsupported "milters are not asked";
}

known! {
    /// Mail from qmail's hosts: QMQP.
    QMQP;

    /// Clients that may submit mail by QMQP.
    qmqpd_authorized_clients: NameList = ""
        => unsupported "there is no QMQP server";
    /// The client's port is in the log.
    qmqpd_client_port_logging: bool = "no"
        => unsupported "there is no QMQP server";
    /// The pause before a client is told of its mistake.
    qmqpd_error_delay: Duration = "1s"
        => unsupported "there is no QMQP server";
    /// How long the server waits for the client.
    qmqpd_timeout: Duration = "300s", 1..=INT_MAX
        => unsupported "there is no QMQP server";
}
