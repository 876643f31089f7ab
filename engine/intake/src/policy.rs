//! The dialogue's and cleanup's view of the configuration.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use config::Snapshot;
use table::{MatchList, Matched, Parents, Trouble};
use wire::{BareNewline, EhloKeywords, Policy, Verbs};

use crate::addresses::Rewriters;
use crate::session::CLIENT_NAME;

/// What a session follows: with or without stress, for a client that may end its lines as it likes or
/// not.
///
/// `stress` is Postfix's word for a server that has hardly a session left to give: some parameters have
/// stricter defaults then (postfix `STRESS_README`).
pub(crate) struct Policies {
    normal: [Arc<Policy>; 2],
    bare_newline: [Arc<Policy>; 2],
}

impl Policies {
    pub(crate) fn new(settings: &Snapshot) -> Self {
        let both = |forbid: BareNewline| {
            [false, true].map(|stress| {
                let forbid_bare_newline = forbid;
                Arc::new(Policy { forbid_bare_newline, ..policy(settings, stress) })
            })
        };
        let forbid = match settings.smtpd.smtpd_forbid_bare_newline {
            config::BareNewline::Normalize => BareNewline::Normalize,
            config::BareNewline::Reject => BareNewline::Reject,
            config::BareNewline::Note => BareNewline::Note,
            config::BareNewline::No => BareNewline::No,
        };
        Self { normal: both(forbid), bare_newline: both(BareNewline::No) }
    }

    /// For this client, now, or what to tell it instead.
    ///
    /// An exclusion that cannot be looked up is none: strict is safe. Which keywords a client must not be
    /// offered nobody can guess (postfix `smtpd.c`, `ehlo_cmd`): it comes back.
    pub(crate) async fn of(
        &self,
        client: IpAddr,
        stress: bool,
        settings: &Snapshot,
        warn: impl Fn(&Trouble),
    ) -> Result<Arc<Policy>, String> {
        let exclusions = &settings.smtpd.smtpd_forbid_bare_newline_exclusions;
        let excluded = match exclusions.is_empty() {
            true => false,
            false => match exclusions.has_client(CLIENT_NAME, client, Parents::Dotted).await {
                Matched::Yes => true,
                Matched::No => false,
                Matched::Unavailable(trouble) => {
                    warn(&trouble);
                    false
                }
            },
        };
        let policies = if excluded { &self.bare_newline } else { &self.normal };
        let policy = &policies[usize::from(stress)];
        let maps = &settings.smtpd.smtpd_discard_ehlo_keyword_address_maps;
        if maps.is_empty() {
            return Ok(Arc::clone(policy));
        }
        match maps.lookup(&client.to_canonical().to_string()).await.found() {
            Ok(None) => Ok(Arc::clone(policy)),
            Ok(Some(words)) => {
                let has =
                    |keyword: &str| cf::items(&words).any(|it| it.eq_ignore_ascii_case(keyword));
                let discard_ehlo_keywords = keywords(has);
                Ok(Arc::new(Policy { discard_ehlo_keywords, ..(**policy).clone() }))
            }
            Err(trouble) => {
                warn(&trouble);
                Err(format!("421 4.3.0 {} Server local data error\r\n", policy.hostname))
            }
        }
    }
}

/// The verbs of a list. A table that cannot tell at once has none: Postfix, too, takes a failed lookup for
/// nothing here (`src/smtpd/smtpd.c`).
fn verbs(list: &MatchList) -> Verbs {
    if list.is_empty() {
        return Verbs::default();
    }
    let list = list.clone();
    Verbs::that(move |verb| {
        let asked = pin!(list.has(verb)).poll(&mut Context::from_waker(Waker::noop()));
        matches!(asked, Poll::Ready(Matched::Yes))
    })
}

fn policy(settings: &Snapshot, stress: bool) -> Policy {
    let (smtpd, content) = (&settings.smtpd, &settings.content);
    let count = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
    Policy {
        hostname: settings.site.myhostname.clone(),
        banner: smtpd.smtpd_banner.clone(),
        message_size_limit_bytes: content.message_size_limit,
        line_length_limit_bytes: content.line_length_limit,
        recipient_limit: count(smtpd.smtpd_recipient_limit),
        recipient_overshoot_limit: count(smtpd.smtpd_recipient_overshoot_limit),
        soft_error_limit: smtpd.smtpd_soft_error_limit.under(stress),
        hard_error_limit: smtpd.smtpd_hard_error_limit.under(stress),
        junk_command_limit: smtpd.smtpd_junk_command_limit.under(stress),
        error_sleep_time: smtpd.smtpd_error_sleep_time,
        helo_required: smtpd.smtpd_helo_required,
        disable_vrfy_command: smtpd.disable_vrfy_command,
        forbid_bare_newline_reject_code: smtpd.smtpd_forbid_bare_newline_reject_code.0,
        forbid_unauth_pipelining: smtpd.smtpd_forbid_unauth_pipelining,
        discard_ehlo_keywords: keywords(|word| smtpd.smtpd_discard_ehlo_keywords.has(word)),
        smtputf8_enable: smtpd.smtputf8_enable,
        strict_smtputf8: smtpd.strict_smtputf8,
        strict_rfc821_envelopes: smtpd.strict_rfc821_envelopes,
        noop_commands: verbs(&smtpd.smtpd_noop_commands),
        forbidden_commands: verbs(&smtpd.smtpd_forbidden_commands),
        soft_bounce: settings.site.soft_bounce,
        ..Policy::new(&settings.site.myhostname)
    }
}

/// The keywords of a list; names that nobody knows are those of other releases.
fn keywords(has: impl Fn(&str) -> bool) -> EhloKeywords {
    EhloKeywords {
        pipelining: has("pipelining"),
        size: has("size"),
        vrfy: has("vrfy"),
        enhancedstatuscodes: has("enhancedstatuscodes"),
        eightbitmime: has("8bitmime"),
        dsn: has("dsn"),
        smtputf8: has("smtputf8"),
        chunking: has("chunking"),
    }
}

/// Cleanup's share.
pub(crate) fn rules(settings: &Snapshot, rewriters: &Rewriters) -> cleanup::Rules {
    let content = &settings.content;
    cleanup::Rules {
        mail_name: settings.site.mail_name.clone(),
        header_size_limit_bytes: content.header_size_limit,
        line_length_limit_bytes: content.line_length_limit,
        hopcount_limit: u32::try_from(content.hopcount_limit).unwrap_or(u32::MAX),
        always_add_missing_headers: content.always_add_missing_headers,
        undisclosed_recipients_header: content.undisclosed_recipients_header.clone(),
        message_drop_headers: content.message_drop_headers.to_vec().into(),
        header_checks: content.header_checks.clone(),
        mime_header_checks: content.mime_header_checks.clone(),
        nested_header_checks: content.nested_header_checks.clone(),
        body_checks: content.body_checks.clone(),
        body_checks_size_limit_bytes: content.body_checks_size_limit,
        mime_limits: cleanup::MimeLimits {
            nesting_max: content.mime_nesting_limit,
            boundary_bytes_max: content.mime_boundary_length_limit,
        },
        disable_mime_input_processing: content.disable_mime_input_processing,
        strict: cleanup::Strict {
            seven_bit_headers: content.strict_7bit_headers || content.strict_8bitmime,
            eight_bit_body: content.strict_8bitmime_body || content.strict_8bitmime,
            encoding_domain: content.strict_mime_encoding_domain,
        },
        non_empty_end_of_head: match content.non_empty_end_of_header_action {
            config::EndOfHeader::FixQuietly => cleanup::NonEmptyEndOfHead::FixQuietly,
            config::EndOfHeader::AddHeader => cleanup::NonEmptyEndOfHead::AddHeader,
            config::EndOfHeader::Reject => cleanup::NonEmptyEndOfHead::Reject,
        },
        detect_8bit_encoding_header: content.detect_8bit_encoding_header,
        force_mime_input_conversion: content.force_mime_input_conversion,
        reject_characters: cleanup::Characters::parse(&content.message_reject_characters),
        strip_characters: cleanup::Characters::parse(&content.message_strip_characters),
        header_from_format: match content.header_from_format {
            config::FromFormat::Standard => cleanup::FromFormat::Standard,
            config::FromFormat::Obsolete => cleanup::FromFormat::Obsolete,
        },
        header_rewriter: Some(Arc::new(rewriters.clone())),
        rewrites_remote_headers: !settings.rewriting.remote_header_rewrite_domain.is_empty(),
        full_name_encoding_charset: (*content.full_name_encoding_charset).into(),
        ..cleanup::Rules::new(&settings.site.myhostname)
    }
}

/// Cleanup's share for envelopes.
pub(crate) fn envelope_rules(settings: &Snapshot) -> cleanup::EnvelopeRules {
    cleanup::EnvelopeRules {
        duplicate_filter_limit: settings.content.duplicate_filter_limit,
        enable_original_recipient: settings.content.enable_original_recipient,
    }
}

/// `receive_override_options`
pub(crate) fn receive(settings: &Snapshot) -> cleanup::Receive {
    let left_out = &settings.content.receive_override_options;
    cleanup::Receive {
        no_unknown_recipient_checks: left_out.no_unknown_recipient_checks,
        no_address_mappings: left_out.no_address_mappings,
        no_header_body_checks: left_out.no_header_body_checks,
        no_milters: left_out.no_milters,
    }
}
