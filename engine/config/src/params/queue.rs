//! The queue and its scheduler.

use std::time::Duration;

use crate::row::{INT_MAX, known, params};
use crate::syntax::Nonblank;
use crate::typed::List;

params! {
    /// The queue and its scheduler.
    Queue;

    /// The least time before a deferred message is tried again.
    minimal_backoff_time: Duration = "300s", 1..=31_536_000;
    /// The greatest time before a deferred message is tried again.
    maximal_backoff_time: Duration = "4000s", 1..=31_536_000;
    /// Transports whose mail is deferred and not tried until somebody asks for it.
    defer_transports: List = "";
    /// Where content_filter and FILTER send mail if they do not say so; the recipient's domain where it
    /// is empty.
    default_filter_nexthop: Box<str> = "";
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
    /// The queue and its scheduler, as far as they are not the reader's to change.
    SCHEDULER;

    /// Recipients of one delivery: each is a delivery of its own in any case, and with 1 a destination of its own.
    default_destination_recipient_limit: u32 = "50", 0..=INT_MAX;
    /// How much a delivery that went well raises the concurrency of its destination: a number, or one
    /// divided by concurrency or sqrt_concurrency.
    default_destination_concurrency_positive_feedback: Nonblank = "1";
    /// How much a delivery that failed lowers the concurrency of its destination.
    default_destination_concurrency_negative_feedback: Nonblank = "1";
    /// After how many failures, as many as deliveries are made at a time, a destination rests; 0 is
    /// never.
    default_destination_concurrency_failed_cohort_limit: u32 = "1", 0..=INT_MAX;
    /// Logs how the concurrency of destinations changes.
    destination_concurrency_feedback_debug: bool = "no"
        => accepted "the log has one level of detail";
    /// The pause between deliveries to one destination.
    default_destination_rate_delay: Duration = "0s";
    /// The pause between any two deliveries by one transport.
    default_transport_rate_delay: Duration = "0s"
        => unsupported "there is no pause between deliveries by one transport";
    /// The pause before a transport that does not work is tried again.
    transport_retry_time: Duration = "60s", 1..=INT_MAX
        => unsupported "a delivery agent that has ended is started again without this pause";
    /// How often the log says that a destination holds up the active queue; 0 is never.
    qmgr_clog_warn_time: Duration = "300s"
        => accepted "the queue's state says what it waits for at any time";
    /// How long the queue manager may be busy with one request.
    qmgr_daemon_timeout: Duration = "1000s", 1..=INT_MAX
        => accepted "the scheduler is no process";
    /// How long the queue manager waits for another process.
    qmgr_ipc_timeout: Duration = "60s", 1..=INT_MAX
        => accepted "the scheduler is no process";
    /// Recipients in memory for each message, even where that is more than
    /// qmgr_message_recipient_limit.
    qmgr_message_recipient_minimum: u32 = "10", 1..=INT_MAX
        => accepted "recipients are read as deliveries need them";
    /// Queue directories that are divided into more directories.
    hash_queue_names: List = "deferred, defer"
        => accepted "the queue is a log and an index, not a directory of files";
    /// How many steps they are divided in.
    hash_queue_depth: u32 = "1", 1..=INT_MAX
        => accepted "the queue is a log and an index, not a directory of files";
    /// How many recipients a message may be ahead before another one goes first.
    default_minimum_delivery_slots: u32 = "3", 0..=INT_MAX
        => accepted "the scheduler takes turns between messages in another way";
    /// How many deliveries make room for one of another message.
    default_delivery_slot_cost: u32 = "5", 0..=INT_MAX
        => accepted "the scheduler takes turns between messages in another way";
    /// How many deliveries a message may go ahead before there is room for it.
    default_delivery_slot_loan: u32 = "3", 0..=INT_MAX
        => accepted "the scheduler takes turns between messages in another way";
    /// How many percent of its room a message needs to go ahead.
    default_delivery_slot_discount: u8 = "50", 0..=100
        => accepted "the scheduler takes turns between messages in another way";
    /// Recipients in memory for one transport.
    default_recipient_limit: u32 = "20000", 0..=INT_MAX
        => accepted "recipients in memory are bounded by qmgr_message_recipient_limit for all transports";
    /// Recipients in memory for messages that go ahead of others.
    default_extra_recipient_limit: u32 = "1000", 0..=INT_MAX
        => accepted "recipients in memory are bounded by qmgr_message_recipient_limit for all transports";
    /// How many recipients of a message are read at once when some were delivered.
    default_recipient_refill_limit: u32 = "100", 1..=INT_MAX
        => accepted "recipients are read as deliveries need them";
    /// How long recipients may be fewer than that before more are read.
    default_recipient_refill_delay: Duration = "5s", 1..=INT_MAX
        => accepted "recipients are read as deliveries need them";
}

known! {
    /// Programs that mail is delivered to, and programs that speak for themselves: pipe and spawn.
    PROGRAMS;

    /// How long such a program may run.
    command_time_limit: Duration = "1000s", 1..=INT_MAX
        => unsupported "there are no programs to run yet";
}
