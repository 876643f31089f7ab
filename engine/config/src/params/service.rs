//! Parameters of one service in master.cf: the name of the service, then one of these.

use std::time::Duration;

use crate::row::known;
use crate::syntax::Nonblank;

// The defaults are the parameters for all services (postfix src/postconf/postconf_service.c).
known! {
    /// What a delivery agent may do, and the programs of pipe and spawn.
    SERVICE;

    /// Deliveries to one destination at a time by this transport; 1 and a recipient limit of 1 mean
    /// one recipient at a time.
    _destination_concurrency_limit: usize = "$default_destination_concurrency_limit";
    /// Recipients of one delivery by this transport: each is a delivery of its own in any case, and with 1 a
    /// destination of its own.
    _destination_recipient_limit: usize = "$default_destination_recipient_limit";
    /// Deliveries at a time by this transport to a destination that has not yet shown what it can
    /// take.
    _initial_destination_concurrency: usize = "$initial_destination_concurrency", 1..=1_000_000;
    /// How much a delivery that went well raises the concurrency of its destination.
    _destination_concurrency_positive_feedback: Nonblank = "$default_destination_concurrency_positive_feedback";
    /// How much a delivery that failed lowers the concurrency of its destination.
    _destination_concurrency_negative_feedback: Nonblank = "$default_destination_concurrency_negative_feedback";
    /// After how many failures, as many as deliveries are made at a time, a destination rests.
    _destination_concurrency_failed_cohort_limit: usize = "$default_destination_concurrency_failed_cohort_limit";
    /// The pause between deliveries to one destination by this transport.
    _destination_rate_delay: Duration = "$default_destination_rate_delay";
    /// The pause between any two deliveries by this transport.
    _transport_rate_delay: Duration = "$default_transport_rate_delay"
        => unsupported "there is no pause between deliveries by one transport";
    /// How long a program of pipe or spawn may run.
    _time_limit: Duration = "$command_time_limit", 1..=2_147_483_647
        => unsupported "there are no programs to run yet";
    /// How many recipients a message of this transport may be ahead before another one goes first.
    _minimum_delivery_slots: usize = "$default_minimum_delivery_slots"
        => accepted "the scheduler takes turns between messages in another way";
    /// How many deliveries make room for one of another message.
    _delivery_slot_cost: usize = "$default_delivery_slot_cost"
        => accepted "the scheduler takes turns between messages in another way";
    /// How many deliveries a message may go ahead before there is room for it.
    _delivery_slot_loan: usize = "$default_delivery_slot_loan"
        => accepted "the scheduler takes turns between messages in another way";
    /// How many percent of its room a message needs to go ahead.
    _delivery_slot_discount: u8 = "$default_delivery_slot_discount", 0..=100
        => accepted "the scheduler takes turns between messages in another way";
    /// Recipients in memory for this transport.
    _recipient_limit: usize = "$default_recipient_limit"
        => accepted "recipients in memory are bounded by qmgr_message_recipient_limit for all transports";
    /// Recipients in memory for messages that go ahead of others.
    _extra_recipient_limit: usize = "$default_extra_recipient_limit"
        => accepted "recipients in memory are bounded by qmgr_message_recipient_limit for all transports";
    /// How many recipients of a message are read at once when some were delivered.
    _recipient_refill_limit: usize = "$default_recipient_refill_limit", 1..=1_000_000
        => accepted "recipients are read as deliveries need them";
    /// How long recipients may be fewer than that before more are read.
    _recipient_refill_delay: Duration = "$default_recipient_refill_delay", 1..=2_147_483_647
        => accepted "recipients are read as deliveries need them";
}
