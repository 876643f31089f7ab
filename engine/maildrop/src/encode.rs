//! Writing: what the table in the crate's documentation says.

use mail::{Body, Ret};

use crate::{
    CONTENT, CONTENT_BYTES_MAX, DELAY, EIGHT_BIT, END, ENVID, FAILURE, FULL_NAME, NEVER, NOTIFY,
    OPTIONS, RECIPIENT, REMOTE, RET_FULL, RET_HEADERS, SENDER, SMTPUTF8, SUCCESS, Submission,
    VERSION,
};

/// Appends the beginning of a file: everything before the content.
pub fn envelope(submission: &Submission, out: &mut Vec<u8>) {
    out.extend_from_slice(VERSION);
    record(SENDER, submission.sender.as_ref().map_or("", |it| it.as_str()).as_bytes(), out);
    if let Some(name) = &submission.full_name {
        record(FULL_NAME, name.as_bytes(), out);
    }
    let flag = |is: bool, bit: u8| if is { bit } else { 0 };
    let options = flag(submission.body != Body::SevenBit, EIGHT_BIT)
        | flag(submission.smtputf8, SMTPUTF8)
        | flag(submission.is_remote, REMOTE)
        | flag(submission.ret == Some(Ret::Full), RET_FULL)
        | flag(submission.ret == Some(Ret::Headers), RET_HEADERS);
    if options != 0 {
        record(OPTIONS, &[options], out);
    }
    if let Some(notify) = submission.notify {
        let wanted = flag(notify.never, NEVER)
            | flag(notify.success, SUCCESS)
            | flag(notify.failure, FAILURE)
            | flag(notify.delay, DELAY);
        record(NOTIFY, &[wanted], out);
    }
    if let Some(envid) = &submission.envid {
        record(ENVID, envid.as_bytes(), out);
    }
    for recipient in &submission.recipients {
        record(RECIPIENT, recipient.as_str().as_bytes(), out);
    }
}

/// Appends content.
pub fn content(bytes: &[u8], out: &mut Vec<u8>) {
    bytes.chunks(CONTENT_BYTES_MAX).for_each(|piece| record(CONTENT, piece, out));
}

/// Appends the end of a file with so much content.
pub fn end(content_bytes: u64, out: &mut Vec<u8>) {
    record(END, &content_bytes.to_le_bytes(), out);
}

fn record(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    // What is longer than a record may be is refused by who reads it.
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(payload);
}
