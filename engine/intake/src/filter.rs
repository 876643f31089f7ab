//! `smtpd_command_filter`: commands that an administrator has replaced before they are understood.

use mail::log::Event;
use wire::quoted;

use crate::service::Service;
use crate::session::Session;

/// The table did not answer. What it would have made of the command nobody knows, so the session ends.
pub(crate) struct Away;

impl Service {
    pub(crate) fn filters_commands(&self) -> bool {
        !self.settings.smtpd.smtpd_command_filter.is_empty()
    }
}

impl Session {
    /// What is to be understood in place of `command`, where that is something else (postfix
    /// `smtpd.c`, `smtpd_proto`).
    pub(crate) async fn filtered(&self, command: &[u8]) -> Result<Option<String>, Away> {
        // The key is text; what is none is the dialogue's to refuse.
        let Ok(key) = std::str::from_utf8(command) else { return Ok(None) };
        let key = key.trim_start_matches([' ', '\t']);
        let filter = &self.service.settings.smtpd.smtpd_command_filter;
        match filter.lookup(key).await.found() {
            Ok(None) => Ok(None),
            Ok(Some(value)) => {
                // One command stays one.
                let value = value.replace(['\r', '\n'], " ");
                let client = self.service.peer(self.dialogue.client());
                let (from, to) = (quoted(command), quoted(value.as_bytes()));
                let text = format!("{client}: replacing command \"{from}\" with \"{to}\"");
                (self.service.log)("smtpd", self.number.into(), Event::Info { text: &text });
                Ok(Some(value))
            }
            Err(trouble) => {
                self.log_warning(&trouble.to_string());
                Err(Away)
            }
        }
    }
}
