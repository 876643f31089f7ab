//! The queue and its scheduler.

use std::time::Duration;

use crate::row::params;

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
    delay_warning_time: Duration = "0h" => "notices to senders come with bounces";
    /// Messages in the active queue, over all shards.
    qmgr_message_active_limit: usize = "20000", 1..=10_000_000;
    /// Recipients in memory for the messages of the active queue, over all shards.
    qmgr_message_recipient_limit: usize = "20000", 1..=10_000_000;
    /// Deliveries to one destination at a time.
    default_destination_concurrency_limit: usize = "20", 0..=1_000_000;
    /// Deliveries at a time to a destination that has not yet shown what it can take.
    initial_destination_concurrency: usize = "5", 1..=1_000_000;
    /// Queue ids are long and never used again.
    enable_long_queue_ids: bool = "no" => "queue ids are hexadecimal and never used again";
    /// Bytes of one segment of the queue's log.
    queue_segment_size: u64 = "67108864", 4_194_304..=4_294_967_296;
}
