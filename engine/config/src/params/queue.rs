//! The queue and its scheduler.

use std::time::Duration;

use crate::row::{known, params};
use crate::syntax::Nonblank;

params! {
    /// The queue and its scheduler.
    Queue;

    /// The least time before a deferred message is tried again.
    minimal_backoff_time: Duration = "300s", 1..=31_536_000;
    /// The greatest time before a deferred message is tried again.
    maximal_backoff_time: Duration = "4000s", 1..=31_536_000;
    /// How often the deferred queue is looked through.
    queue_run_delay: Duration = "300s", 1..=31_536_000;
    /// How long a message is tried before it is given up.
    maximal_queue_lifetime: Duration = "5d", 0..=8_640_000;
    /// How long a bounce is tried before it is given up.
    bounce_queue_lifetime: Duration = "5d", 0..=8_640_000;
    /// When the sender is told that a message is still not delivered; 0 is never.
    delay_warning_time: Duration = "0h" => unsupported "senders are not told that a message is late";
    /// Messages in the active queue, over all shards.
    qmgr_message_active_limit: usize = "20000", 1..=10_000_000;
    /// Recipients in memory for the messages of the active queue, over all shards.
    qmgr_message_recipient_limit: usize = "20000", 1..=10_000_000;
    /// Deliveries to one destination at a time.
    default_destination_concurrency_limit: usize = "20", 0..=1_000_000;
    /// Deliveries at a time to a destination that has not yet shown what it can take.
    initial_destination_concurrency: usize = "5", 1..=1_000_000;
    /// Queue ids are long and never used again.
    enable_long_queue_ids: bool = "no" => accepted "queue ids are hexadecimal and never used again";
    /// Bytes of one segment of the queue's log.
    queue_segment_size: u64 = "67108864", 4_194_304..=4_294_967_296;
}

known! {
    /// The scheduler's defaults for all transports, as far as they do nothing.
    SCHEDULER;

    /// Recipients of one delivery.
    default_destination_recipient_limit: usize = "50"
        => accepted "deliveries are as large as a destination takes";
    /// How much a delivery that went well raises the concurrency of its destination.
    default_destination_concurrency_positive_feedback: Nonblank = "1"
        => accepted "concurrency rises by one with each cohort that went well";
    /// How much a delivery that failed lowers the concurrency of its destination.
    default_destination_concurrency_negative_feedback: Nonblank = "1"
        => accepted "concurrency rises by one with each cohort that went well";
    /// After how many failures, as many as deliveries are made at a time, a destination rests.
    default_destination_concurrency_failed_cohort_limit: usize = "1"
        => accepted "a destination rests after one";
    /// The pause between deliveries to one destination.
    default_destination_rate_delay: Duration = "0s"
        => unsupported "there is no pause between deliveries to one destination";
    /// The pause between any two deliveries by one transport.
    default_transport_rate_delay: Duration = "0s"
        => unsupported "there is no pause between deliveries by one transport";
    /// How long a program that delivers mail may run.
    command_time_limit: Duration = "1000s", 1..=2_147_483_647
        => unsupported "there are no programs to run yet";
    /// How many recipients a message may be ahead before another one goes first.
    default_minimum_delivery_slots: usize = "3"
        => accepted "the scheduler takes turns between messages in another way";
    /// How many deliveries make room for one of another message.
    default_delivery_slot_cost: usize = "5"
        => accepted "the scheduler takes turns between messages in another way";
    /// How many deliveries a message may go ahead before there is room for it.
    default_delivery_slot_loan: usize = "3"
        => accepted "the scheduler takes turns between messages in another way";
    /// How many percent of its room a message needs to go ahead.
    default_delivery_slot_discount: u8 = "50", 0..=100
        => accepted "the scheduler takes turns between messages in another way";
    /// Recipients in memory for one transport.
    default_recipient_limit: usize = "20000"
        => accepted "recipients in memory are bounded by qmgr_message_recipient_limit for all transports";
    /// Recipients in memory for messages that go ahead of others.
    default_extra_recipient_limit: usize = "1000"
        => accepted "recipients in memory are bounded by qmgr_message_recipient_limit for all transports";
    /// How many recipients of a message are read at once when some were delivered.
    default_recipient_refill_limit: usize = "100", 1..=1_000_000
        => accepted "recipients are read as deliveries need them";
    /// How long recipients may be fewer than that before more are read.
    default_recipient_refill_delay: Duration = "5s", 1..=2_147_483_647
        => accepted "recipients are read as deliveries need them";
}
