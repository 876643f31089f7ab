//! What a message may look like, and what is added to it.

use table::MapList;

use crate::row::params;
use crate::syntax::Nonblank;
use crate::typed::origin::MailSources;
use crate::typed::{EndOfHeader, FromFormat, List, LogAddresses, ReceiveOverrides};

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
    /// Headers that are removed from mail.
    message_drop_headers: List = "bcc, content-length, resent-bcc, return-path";
    /// Keeps the address that was given in X-Original-To:.
    enable_original_recipient: bool = "yes";
    /// Recipients of a message that are remembered so that none gets it twice; 0 is all of them.
    duplicate_filter_limit: usize = "1000", 0..=100_000_000;
    /// Rules for headers of messages.
    header_checks: MapList = "";
    /// Rules for MIME headers of messages.
    mime_header_checks: MapList = "$header_checks";
    /// Rules for headers of messages within messages.
    nested_header_checks: MapList = "$header_checks";
    /// Rules for lines of text.
    body_checks: MapList = "";
    /// Bytes of the text of each part that body_checks get to see; 0 is all.
    body_checks_size_limit: u64 = "51200";
    /// Rules for headers that milters add.
    milter_header_checks: MapList = "" => unsupported "there are no milters yet";
    /// Multiparts within each other that are looked into.
    mime_nesting_limit: usize = "100", 1..=10_000;
    /// Bytes of a boundary between parts that are compared.
    mime_boundary_length_limit: usize = "2048", 1..=1_048_576;
    /// Treats everything behind the header of a message as text.
    disable_mime_input_processing: bool = "no";
    /// Sends 8bit mail as it is to hosts that do not announce 8BITMIME.
    disable_mime_output_conversion: bool = "no" => unsupported "no mail is sent to other hosts";
    /// Makes 8bit mail quoted-printable when it is received.
    force_mime_input_conversion: bool = "no";
    /// Refuses mail with 8bit data in headers.
    strict_7bit_headers: bool = "no";
    /// Turns on strict_7bit_headers and strict_8bitmime_body.
    strict_8bitmime: bool = "no";
    /// Refuses mail with 8bit text that is not announced.
    strict_8bitmime_body: bool = "no";
    /// Refuses mail with encodings that multipart and message types do not allow.
    strict_mime_encoding_domain: bool = "no";
    /// Takes a message for 8bit if a Content-Transfer-Encoding header says so.
    detect_8bit_encoding_header: bool = "yes";
    /// What is done about a message whose header ends without an empty line.
    non_empty_end_of_header_action: EndOfHeader = "fix_quietly";
    /// Characters that make a message refused, with C's escapes such as \0.
    message_reject_characters: Box<str> = "";
    /// Characters that are removed from messages, with C's escapes such as \0.
    message_strip_characters: Box<str> = "";
    /// How a From header is written that is added.
    header_from_format: FromFormat = "standard";
    /// The character set of full names that are encoded.
    full_name_encoding_charset: Nonblank = "utf-8";
    /// Replaces a stray CR or LF in content by a space.
    cleanup_replace_stray_cr_lf: bool = "yes" => accepted "they are always replaced: in what is sent on they could pass for line ends";
    /// Where all mail is sent first: transport:nexthop.
    content_filter: Box<str> = "";
    /// Parts of the work that are left out for mail that is received.
    receive_override_options: ReceiveOverrides = "";
    /// Where mail is from that needs SMTPUTF8 on its way where an address of its envelope, or a header, is not ASCII,
    /// even if nobody said so.
    smtputf8_autodetect_classes: MailSources = "sendmail, verify";
    /// How addresses are written to the log: external quotes them as headers do.
    info_log_address_format: LogAddresses = "external" => accepted "addresses are kept and logged in their external form";
    /// Attributes of one message in the queue.
    queue_file_attribute_count_limit: usize = "100", 1..=1_000_000 => accepted "an envelope has no attributes but its own";
    /// Bytes that must be free in the queue's file system; 0 is one and a half times
    /// message_size_limit.
    queue_minfree: u64 = "0" => accepted "the queue makes its room ahead, segment by segment, and refuses mail when it cannot";
}
