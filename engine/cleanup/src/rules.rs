//! What cleanup is told: by the configuration, and about one message.

use std::sync::Arc;

use mail::{Envelope, QueueId, Time};
use table::{MapList, Nature, Table};

use crate::characters::Characters;
use crate::date::Zone;
use crate::from::FromFormat;
use crate::mime::MimeLimits;
use crate::rewriting::HeaderRewriter;

/// The parameters, with Postfix's names and defaults.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `myhostname`
    pub hostname: Box<str>,
    /// `mail_name`
    pub mail_name: Box<str>,
    /// `header_size_limit`: what is longer is cut.
    pub header_size_limit_bytes: usize,
    /// `line_length_limit`: body checks see longer lines in pieces.
    pub line_length_limit_bytes: usize,
    /// `hopcount_limit`: so many `Received:` headers, ours among them, are a loop.
    pub hopcount_limit: u32,
    /// `always_add_missing_headers`: to everybody's mail, not only to that of our own clients.
    pub always_add_missing_headers: bool,
    /// `undisclosed_recipients_header`: added where no recipient is named. Empty: none.
    pub undisclosed_recipients_header: Box<str>,
    /// `message_drop_headers`: names of headers that are removed.
    pub message_drop_headers: Box<[Box<str>]>,
    /// `header_checks`
    pub header_checks: MapList,
    /// `mime_header_checks`
    pub mime_header_checks: MapList,
    /// `nested_header_checks`
    pub nested_header_checks: MapList,
    /// `body_checks`
    pub body_checks: MapList,
    /// `body_checks_size_limit`: how much of each body is looked at; 0 is all.
    pub body_checks_size_limit_bytes: u64,
    /// `mime_nesting_limit` and `mime_boundary_length_limit`
    pub mime_limits: MimeLimits,
    /// `disable_mime_input_processing`: everything behind the head is body.
    pub disable_mime_input_processing: bool,
    /// Rules about MIME that are kept: who breaks them is refused.
    pub strict: Strict,
    /// `non_empty_end_of_header_action`
    pub non_empty_end_of_head: NonEmptyEndOfHead,
    /// `detect_8bit_encoding_header`
    pub detect_8bit_encoding_header: bool,
    /// `force_mime_input_conversion`: what is 8bit becomes quoted-printable at once.
    pub force_mime_input_conversion: bool,
    /// `message_reject_characters`
    pub reject_characters: Characters,
    /// `message_strip_characters`
    pub strip_characters: Characters,
    /// `header_from_format` of a From: that is added.
    pub header_from_format: FromFormat,
    /// `full_name_encoding_charset`
    pub full_name_encoding_charset: Box<str>,
    /// What maps the addresses in headers, where something does.
    pub header_rewriter: Option<Arc<dyn HeaderRewriter>>,
    /// `remote_header_rewrite_domain` is set: headers of strangers' mail are rewritten, too, and what is
    /// missing is added.
    pub rewrites_remote_headers: bool,
    /// Headers are looked through for what is not ASCII, see [`crate::Summary::has_utf8_header`].
    pub detects_utf8_headers: bool,
}

/// Rules about MIME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strict {
    /// `strict_7bit_headers`, or `strict_8bitmime`
    pub seven_bit_headers: bool,
    /// `strict_8bitmime_body`, or `strict_8bitmime`
    pub eight_bit_body: bool,
    /// `strict_mime_encoding_domain`
    pub encoding_domain: bool,
}

/// What is done where a line that is no header ends the message's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NonEmptyEndOfHead {
    /// The empty line is added.
    #[default]
    FixQuietly,
    /// And a header that says so.
    AddHeader,
    /// It is refused.
    Reject,
}

impl Rules {
    /// The defaults for a host of this name.
    pub fn new(hostname: &str) -> Self {
        Self {
            hostname: hostname.into(),
            mail_name: "ringpost".into(),
            header_size_limit_bytes: 102_400,
            line_length_limit_bytes: 2048,
            hopcount_limit: 50,
            always_add_missing_headers: false,
            undisclosed_recipients_header: Box::default(),
            message_drop_headers: ["bcc", "content-length", "resent-bcc", "return-path"]
                .map(Into::into)
                .into(),
            header_checks: MapList::default(),
            mime_header_checks: MapList::default(),
            nested_header_checks: MapList::default(),
            body_checks: MapList::default(),
            body_checks_size_limit_bytes: 51_200,
            mime_limits: MimeLimits::default(),
            disable_mime_input_processing: false,
            strict: Strict::default(),
            non_empty_end_of_head: NonEmptyEndOfHead::default(),
            detect_8bit_encoding_header: true,
            force_mime_input_conversion: false,
            reject_characters: Characters::default(),
            strip_characters: Characters::default(),
            header_from_format: FromFormat::default(),
            full_name_encoding_charset: "utf-8".into(),
            header_rewriter: None,
            rewrites_remote_headers: false,
            detects_utf8_headers: false,
        }
    }

    /// True where no table has to be waited for, so that the synchronous pass is enough. A table made of
    /// others may hold a remote one, so it counts as one that has.
    pub fn is_immediate(&self) -> bool {
        let rewriter = self.header_rewriter.as_ref();
        let lists = [
            &self.header_checks,
            &self.mime_header_checks,
            &self.nested_header_checks,
            &self.body_checks,
        ];
        rewriter.is_none_or(|it| it.is_immediate())
            && lists.into_iter().flat_map(MapList::tables).all(is_immediate)
    }

    /// Whether lines of bodies and heads of parts are looked at.
    pub(crate) fn look_into_body(&self) -> bool {
        !self.body_checks.is_empty()
            || !self.mime_header_checks.is_empty()
            || !self.nested_header_checks.is_empty()
            || self.strict != Strict::default()
            || self.non_empty_end_of_head != NonEmptyEndOfHead::FixQuietly
    }

    pub(crate) fn have_header_checks(&self) -> bool {
        !self.header_checks.is_empty()
            || !self.mime_header_checks.is_empty()
            || !self.nested_header_checks.is_empty()
    }

    pub(crate) fn have_checks(&self) -> bool {
        !self.header_checks.is_empty() || self.look_into_body()
    }

    pub(crate) fn have_characters(&self) -> bool {
        !self.reject_characters.is_empty() || !self.strip_characters.is_empty()
    }
}

/// Whether a table answers at once. One that cannot be opened does.
pub fn is_immediate(table: &Table) -> bool {
    !matches!(table.nature(), Some(Nature::Remote | Nature::Combined))
}

/// The message whose content is to come.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its id, for `Received:` and a missing `Message-Id:`.
    pub id: QueueId,
    /// Who sends it to whom.
    pub envelope: &'a Envelope,
    /// For `Received:` and a missing `Date:`. The envelope's own time may not be known yet.
    pub arrival: Time,
    /// The host's time zone at that moment.
    pub zone: Zone<'a>,
    /// From `sendmail` or a client in `local_header_rewrite_clients`: missing headers are added, and
    /// addresses in headers completed.
    pub from_own_client: bool,
    /// Who called `sendmail`, where somebody did.
    pub user_id: Option<u32>,
    /// The sender's name, for a missing `From:`.
    pub full_name: Option<&'a str>,
    /// Headers that access tables put before ours, without line ending.
    pub prepended: &'a [Box<str>],
    /// What `receive_override_options` leaves of the work.
    pub receive: Receive,
    /// A message that is returned to its sender where it is not accepted (one from `sendmail`): a refusal
    /// does not end the pass, so that there is something to return.
    pub is_returned: bool,
}

impl<'a> Message<'a> {
    /// A message that came over the network, and for which everything is done.
    pub fn new(id: QueueId, envelope: &'a Envelope, arrival: Time, zone: Zone<'a>) -> Self {
        Self {
            id,
            envelope,
            arrival,
            zone,
            from_own_client: false,
            user_id: None,
            full_name: None,
            prepended: &[],
            receive: Receive::default(),
            is_returned: false,
        }
    }
}

/// `receive_override_options`: what is not done for a message, for instance when it comes back from a
/// content filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receive {
    /// `no_unknown_recipient_checks`: whoever listens does not ask whether a recipient exists.
    pub no_unknown_recipient_checks: bool,
    /// `no_address_mappings`: no canonical, virtual alias, masquerading, automatic bcc.
    pub no_address_mappings: bool,
    /// `no_header_body_checks`: no checks, and no rules about characters and MIME.
    pub no_header_body_checks: bool,
    /// `no_milters`
    pub no_milters: bool,
}
