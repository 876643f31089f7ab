//! Names of old that configurations still have.

use crate::row::{INT_MAX, known};
use crate::syntax::NameList;

// The newer parameters have these as their defaults, so a value under the older name counts.
known! {
    /// What newer parameters took the place of.
    OBSOLETE;

    /// The older name of smtpd_authorized_verp_clients.
    authorized_verp_clients: NameList = ""
        => unsupported "return addresses are as they were given";
    /// How many percent of all deliveries one large message gets, in the older scheduler.
    qmgr_fudge_factor: u8 = "100", 1..=100
        => accepted "the scheduler takes turns between messages in another way";
    /// Sends mail by its sender; sender_dependent_relayhost_maps took its place.
    sender_based_routing: bool = "no"
        => unsupported "sender_dependent_relayhost_maps says where mail of a sender goes";
    /// How many recipients sendmail -t takes from headers; smtpd_recipient_limit and
    /// duplicate_filter_limit took its place.
    extract_recipient_limit: u32 = "10240", 0..=INT_MAX
        => accepted "Postfix has no such limit either";
    /// Reports errors to the address in Errors-To:, where there is one.
    enable_errors_to: bool = "no"
        => accepted "Postfix reports to the sender, too";
}
