//! THE parameter table, by rooms.
//!
//! Names and defaults are those that Postfix documents (`src/global/mail_params.h`), except where
//! docs/postfix-differences.md says otherwise.

mod bounce;
mod clients;
mod content;
mod host;
mod local;
mod log;
mod mailbox;
mod maps;
mod milter;
mod obsolete;
mod postscreen;
mod processes;
mod queue;
mod refusals;
mod rewriting;
mod service;
mod site;
mod smtp;
mod smtp_sasl;
mod smtp_tls;
mod smtpd;
mod smtpd_restrictions;
mod smtpd_sasl;
mod smtpd_session;
mod smtpd_tls;
mod submission;
mod tls;
mod tlsproxy;
mod verify;

pub use content::Content;
pub use log::Log;
pub use mailbox::Mailbox;
pub use maps::Maps;
pub use queue::Queue;
pub use rewriting::{Classes, Rewriting, Routing};
pub use site::Site;
pub use smtpd::Smtpd;

use crate::row::Row;
use service::SERVICE;

/// Every row of the table, but for [`service_rows`].
pub fn rows() -> impl Iterator<Item = &'static Row> {
    FIELDS.iter().chain(KNOWN).copied().flatten()
}

/// The rows whose names stand after the name of a service in master.cf, as in
/// `relay_destination_concurrency_limit`.
pub fn service_rows() -> impl Iterator<Item = &'static Row> {
    SERVICE.iter()
}

/// The groups that a snapshot has fields for.
const FIELDS: &[&[Row]] = &[
    Site::ROWS,
    Smtpd::ROWS,
    Content::ROWS,
    Mailbox::ROWS,
    Maps::ROWS,
    Rewriting::ROWS,
    Classes::ROWS,
    Routing::ROWS,
    Queue::ROWS,
    Log::ROWS,
];

/// The groups whose rows have no fields.
const KNOWN: &[&[Row]] = &[
    smtp::CONNECTIONS,
    smtp::TIMES,
    smtp::DIALOGUE,
    smtp::OUTBOUND_CONTENT,
    smtp::SMTP_ALONE,
    smtp::LMTP_ALONE,
    smtp::AGENTS,
    smtp::LOOKUPS,
    smtp_tls::CLIENT_TLS,
    smtp_tls::CLIENT_CERTIFICATES,
    smtp_tls::CLIENT_TLS_NOTES,
    smtp_tls::SMTP_TLS_ALONE,
    smtp_sasl::CLIENT_SASL,
    smtp_sasl::CYRUS_CLIENT,
    tls::TLS,
    tls::RANDOMNESS,
    tls::TLSPROXY_CLIENT,
    host::HOST,
    host::INSTANCES,
    host::DEBUGGING,
    log::LOGGING,
    processes::PROCESSES,
    processes::SERVICES,
    processes::ANVIL,
    maps::TABLES,
    queue::SCHEDULER,
    queue::PROGRAMS,
    bounce::BOUNCE,
    bounce::VERP,
    bounce::FLUSH,
    local::LOCAL,
    local::DELIVERY_STATUS,
    submission::SUBMISSION,
    submission::QMQP,
    refusals::REFUSALS,
    verify::VERIFY,
    obsolete::OBSOLETE,
    smtpd_restrictions::SMTPD_RESTRICTIONS,
    smtpd_tls::SMTPD_TLS,
    smtpd_sasl::SMTPD_SASL,
    smtpd_session::SMTPD_SESSION,
    milter::MILTER,
    postscreen::POSTSCREEN,
    tlsproxy::TLSPROXY,
];
