//! What a message may look like, and what is added to it.

use crate::row::params;

params! {
    /// What a message may look like, and what is added to it.
    Content;

    /// Bytes of one message, envelope included; 0 is no limit.
    message_size_limit: u64 = "10240000";
    /// Bytes of a command or of a piece of content that is handled at once.
    line_length_limit: usize = "2048", 512..=1_048_576;
    /// Bytes of one header field that rules get to see; what is beyond is left out.
    header_size_limit: usize = "102400", 1..=16_777_216;
    /// Received: headers after which a message is taken to loop.
    hopcount_limit: usize = "50", 1..=1_000_000;
    /// Adds From, Date and Message-ID where they are missing, whoever the client is.
    always_add_missing_headers: bool = "no";
    /// The header for messages that name no recipient; nothing is added where it is empty.
    undisclosed_recipients_header: Box<str> = "";
    /// Keeps the address that was given in X-Original-To:.
    enable_original_recipient: bool = "yes";
    /// Bytes that must be free in the queue's file system; 0 is one and a half times
    /// message_size_limit.
    queue_minfree: u64 = "0" => accepted "the queue makes its room ahead, segment by segment, and refuses mail when it cannot";
}
