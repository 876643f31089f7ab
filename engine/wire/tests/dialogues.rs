//! Sessions, written down. What each of them shows is the heading in its file.

mod transcript;

use expect_test::{ExpectFile, expect_file};
use transcript::{Delivery, replay};

fn check(file: ExpectFile) {
    let recorded = file.data();
    file.assert_eq(&replay(&recorded, Delivery::AtOnce));
}

#[test]
fn every_command_is_answered_as_postfix_answers_it() {
    check(expect_file!["dialogues/commands.txt"]);
}

#[test]
fn every_limit_ends_what_it_limits() {
    check(expect_file!["dialogues/limits.txt"]);
}

#[test]
fn every_malformed_input_gets_its_reply() {
    check(expect_file!["dialogues/malformed.txt"]);
}

#[test]
fn chunks_make_a_message_or_none() {
    check(expect_file!["dialogues/chunks.txt"]);
}

#[test]
fn refusals_are_said_and_logged() {
    check(expect_file!["dialogues/refusals.txt"]);
}

#[test]
fn no_smuggling_variant_makes_a_second_message_however_it_arrives() {
    let file = expect_file!["dialogues/smuggling.txt"];
    let recorded = file.data();
    let at_once = replay(&recorded, Delivery::AtOnce);
    file.assert_eq(&at_once);
    let byte_by_byte = replay(&recorded, Delivery::ByteByByte);
    assert_eq!(messages(&at_once), messages(&byte_by_byte));
    for session in at_once.split("\n# ") {
        let commits = session.matches("\n?: commit ").count();
        assert!(commits <= 1, "{session}");
    }
}

/// What was committed, session by session.
fn messages(transcript: &str) -> Vec<&str> {
    let is_stored = |line: &&str| ["# ", "?: commit", "| "].iter().any(|it| line.starts_with(it));
    transcript.lines().filter(is_stored).collect()
}
