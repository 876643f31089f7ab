//! When is a file that has changed finished?
//!
//! Nobody says so. A program that writes another file and renames it has finished; an editor, `cp` or a
//! shell's `>` empties the file first and fills it in its own time, and what is read meanwhile looks like a
//! table that lacks most of its users. Taken for one, it would turn their mail away for good. So a text
//! counts when it has been left alone for a moment, and an empty one, which is most often the beginning
//! of something, only after a long one. Files of programs that write them whole are verified by what reads
//! them, and wait only for the dust to settle.
//!
//! Time is an argument: this waits for nothing.

use std::time::{Duration, Instant};

use table::Manner;

use super::stamp::{Seen, Stamp};

/// How long a text must have been left alone. With the poll in front of it and the loading behind, it
/// makes less than a second.
pub(crate) const TEXT_QUIET: Duration = Duration::from_millis(250);
/// How long a file must have been in its place that came there finished.
pub(crate) const WHOLE_QUIET: Duration = Duration::from_millis(40);
/// How long a file must be away, or unreadable, before that is news: editors move it out of the way first.
pub(crate) const MISSING_QUIET: Duration = Duration::from_millis(600);
/// How long a text must have been empty before that is meant.
pub(crate) const EMPTY_QUIET: Duration = Duration::from_secs(10);
/// How long somebody may have a file open for writing without writing.
pub(crate) const WRITER_QUIET: Duration = Duration::from_secs(60);
/// How long a text may take to be emptied. Some file systems give an empty file blocks for other reasons.
pub(crate) const EMPTYING_QUIET: Duration = Duration::from_secs(15 * 60);
/// A text that is appended to all the time, and closed each time, is taken this long after the first.
pub(crate) const RESTLESS: Duration = Duration::from_secs(3);

/// What the kernel has told about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// It was made in its place. Somebody has it open, unless it is another name of a file.
    Created,
    /// Somebody wrote to it.
    Written,
    /// Somebody who could write to it has closed it.
    Closed,
    /// It was renamed into its place.
    Moved,
    /// Something got lost: nothing is known.
    Lost,
}

/// What to do about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is nothing new.
    Rest,
    /// Something is; look again then, if nothing happens before.
    Wait(Instant),
    /// Take it as it is, or take notice that it cannot be read.
    Take,
}

/// One file, and what is known about those who write it.
#[derive(Debug)]
pub(crate) struct Settling {
    manner: Manner,
    taken: Seen,
    changing: Option<Changing>,
    writer: Writer,
    /// When what was taken is to be taken once more.
    again: Option<Instant>,
}

#[derive(Debug)]
struct Changing {
    seen: Seen,
    began: Instant,
    /// When it became what it is.
    since: Instant,
    /// When somebody who wrote to it closed it for the first time.
    closed: Option<Instant>,
}

/// Who has the file open, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Unknown,
    Created,
    Open,
    Closed,
    /// It was finished elsewhere.
    Moved,
}

impl Settling {
    /// A file that is used as it is now.
    pub(crate) fn new(manner: Manner, seen: Seen) -> Self {
        Self { manner, taken: seen, changing: None, writer: Writer::Unknown, again: None }
    }

    /// It is used in a way that asks for more care as well.
    pub(crate) fn also(&mut self, manner: Manner) {
        self.manner = self.manner.max(manner);
    }

    /// Whether this is what was taken last.
    pub(crate) fn is_taken(&self, seen: &Seen) -> bool {
        self.taken == *seen
    }

    /// Takes it again at that time, if it has not changed before.
    pub(crate) fn again(&mut self, at: Instant) {
        self.again = Some(at);
    }

    /// The kernel has told something.
    pub(crate) fn hint(&mut self, hint: Hint, now: Instant) {
        self.writer = match hint {
            Hint::Created => Writer::Created,
            Hint::Written => Writer::Open,
            // Nobody wrote: a program that opens files for writing and thinks better of it.
            Hint::Closed if self.writer == Writer::Moved => Writer::Moved,
            Hint::Closed => Writer::Closed,
            Hint::Moved => Writer::Moved,
            Hint::Lost => Writer::Unknown,
        };
        if let Some(changing) = &mut self.changing {
            match hint {
                Hint::Written => changing.since = now,
                Hint::Closed => changing.closed = changing.closed.or(Some(now)),
                Hint::Created | Hint::Moved | Hint::Lost => {}
            }
        }
    }

    /// The file was looked at.
    pub(crate) fn look(&mut self, seen: Seen, now: Instant) -> Verdict {
        if seen == self.taken {
            self.changing = None;
            return match self.again {
                Some(at) if at <= now => self.take(seen),
                Some(at) => Verdict::Wait(at),
                None => Verdict::Rest,
            };
        }
        let changing = match &mut self.changing {
            Some(changing) => {
                if changing.seen != seen {
                    changing.seen = seen.clone();
                    changing.since = now;
                }
                changing
            }
            None => {
                let seen = seen.clone();
                self.changing.insert(Changing { seen, began: now, since: now, closed: None })
            }
        };
        let due = due(changing, self.writer, self.manner, &self.taken);
        if due <= now { self.take(seen) } else { Verdict::Wait(due) }
    }

    fn take(&mut self, seen: Seen) -> Verdict {
        self.taken = seen;
        self.changing = None;
        self.again = None;
        // What has ended says nothing about the next change, which the kernel may not tell about.
        if matches!(self.writer, Writer::Closed | Writer::Moved) {
            self.writer = Writer::Unknown;
        }
        Verdict::Take
    }
}

fn due(changing: &Changing, writer: Writer, manner: Manner, taken: &Seen) -> Instant {
    let Changing { seen, began, since, closed } = changing;
    let Ok(stamp) = seen else { return *since + MISSING_QUIET };
    let empty = manner == Manner::Text && stamp.bytes == 0;
    let in_hand = match writer {
        Writer::Open => true,
        Writer::Created => stamp.bytes == 0,
        // The kernel tells of a file that was emptied once that is done. On a busy disk it can be
        // seen empty long before, and whoever empties it has it open.
        Writer::Unknown => empty,
        Writer::Closed | Writer::Moved => false,
    };
    if empty && stamp.emptying {
        return *since + EMPTYING_QUIET;
    }
    if in_hand {
        return *since + WRITER_QUIET;
    }
    if empty {
        return *since + EMPTY_QUIET;
    }
    if writer == Writer::Moved || (manner == Manner::Whole && !is_written_in_place(stamp, taken)) {
        return *began + WHOLE_QUIET;
    }
    let due = *since + TEXT_QUIET;
    // Only where it is known that nobody is in the middle of it.
    let restless = closed.unwrap_or(*began) + RESTLESS;
    if writer == Writer::Closed { due.min(restless) } else { due }
}

fn is_written_in_place(stamp: &Stamp, taken: &Seen) -> bool {
    taken.as_ref().is_ok_and(|taken| taken.is_same_file(stamp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swap::stamp::Missing;

    /// A file, and the milliseconds at which things happen to it.
    struct Story {
        began: Instant,
        file: Settling,
    }

    const OLD: Stamp = Stamp::test(1, 1000, 0);

    impl Story {
        fn of(manner: Manner) -> Self {
            Self { began: Instant::now(), file: Settling::new(manner, Ok(OLD)) }
        }

        fn hint(&mut self, ms: u64, hint: Hint) {
            self.file.hint(hint, self.began + Duration::from_millis(ms));
        }

        /// Looks, and answers with the millisecond to look again at, 0 for now, or `None`.
        fn look(&mut self, ms: u64, seen: Seen) -> Option<u64> {
            match self.file.look(seen, self.began + Duration::from_millis(ms)) {
                Verdict::Rest => None,
                Verdict::Take => Some(0),
                Verdict::Wait(until) => Some((until - self.began).as_millis() as u64),
            }
        }
    }

    fn file(inode: u64, bytes: u64, modified: i64) -> Seen {
        Ok(Stamp::test(inode, bytes, modified))
    }

    fn away() -> Seen {
        Err(Missing::Os(2))
    }

    #[test]
    fn what_has_not_changed_is_left_alone() {
        let mut story = Story::of(Manner::Text);
        assert_eq!(story.look(0, Ok(OLD)), None);
        assert_eq!(story.look(100, file(1, 2000, 1)), Some(350));
        // It went back before anybody used it.
        assert_eq!(story.look(200, Ok(OLD)), None);
        assert_eq!(story.look(9000, Ok(OLD)), None);
    }

    #[test]
    fn a_file_that_is_renamed_into_its_place_is_taken_almost_at_once() {
        for manner in [Manner::Text, Manner::Whole] {
            let mut story = Story::of(manner);
            story.hint(0, Hint::Moved);
            assert_eq!(story.look(0, file(2, 10, 1)), Some(40));
            // Others follow it; that is no reason to wait for ever.
            story.hint(30, Hint::Moved);
            assert_eq!(story.look(30, file(3, 10, 1)), Some(40));
            assert_eq!(story.look(41, file(4, 10, 1)), Some(0));
            assert_eq!(story.look(99, file(4, 10, 1)), None);
        }
        // Where the kernel tells nothing: a compiled table is known by its inode, a text is not.
        let (mut whole, mut text) = (Story::of(Manner::Whole), Story::of(Manner::Text));
        assert_eq!(whole.look(0, file(2, 10, 1)), Some(40));
        assert_eq!(text.look(0, file(2, 10, 1)), Some(250));
    }

    #[test]
    fn a_text_that_is_written_in_place_is_taken_when_it_was_left_alone() {
        let mut story = Story::of(Manner::Text);
        assert_eq!(story.look(0, file(1, 10, 1)), Some(250));
        assert_eq!(story.look(200, file(1, 20, 2)), Some(450));
        assert_eq!(story.look(400, file(1, 30, 3)), Some(650));
        assert_eq!(story.look(650, file(1, 30, 3)), Some(0));
    }

    #[test]
    fn a_text_that_somebody_still_writes_is_not_taken() {
        let mut story = Story::of(Manner::Text);
        story.hint(0, Hint::Written);
        assert_eq!(story.look(0, file(1, 0, 1)), Some(60_000));
        // A query of half a minute, then its result.
        story.hint(30_000, Hint::Written);
        assert_eq!(story.look(30_000, file(1, 500, 30)), Some(90_000));
        story.hint(30_010, Hint::Written);
        story.hint(30_020, Hint::Closed);
        assert_eq!(story.look(30_020, file(1, 900, 30)), Some(30_270));
        assert_eq!(story.look(30_270, file(1, 900, 30)), Some(0));
    }

    #[test]
    fn a_text_that_is_emptied_counts_as_empty_only_when_it_stays_so() {
        let mut story = Story::of(Manner::Text);
        story.hint(0, Hint::Written);
        story.hint(0, Hint::Closed);
        assert_eq!(story.look(0, file(1, 0, 1)), Some(10_000));
        assert_eq!(story.look(9_000, file(1, 0, 1)), Some(10_000));
        story.hint(9_500, Hint::Written);
        assert_eq!(story.look(9_500, file(1, 80, 9)), Some(69_500));
        story.hint(9_510, Hint::Closed);
        assert_eq!(story.look(9_510, file(1, 80, 9)), Some(9_750));
        assert_eq!(story.look(9_750, file(1, 80, 9)), Some(0));

        story.hint(20_000, Hint::Closed);
        assert_eq!(story.look(20_000, file(1, 0, 20)), Some(30_000));
        assert_eq!(story.look(30_000, file(1, 0, 20)), Some(0));
        // Renamed there, it may be the work of a script that had no disk left.
        let mut story = Story::of(Manner::Text);
        story.hint(0, Hint::Moved);
        assert_eq!(story.look(0, file(2, 0, 1)), Some(10_000));
    }

    #[test]
    fn a_text_that_the_disk_takes_long_to_empty_is_not_taken() {
        let mut story = Story::of(Manner::Text);
        let emptying = || Ok(Stamp::test(1, 0, 1).while_emptied());
        assert_eq!(story.look(0, emptying()), Some(900_000));
        assert_eq!(story.look(30_000, emptying()), Some(900_000));
        assert_eq!(story.look(30_990, file(1, 0, 1)), Some(90_990));
        story.hint(31_000, Hint::Written);
        assert_eq!(story.look(31_000, file(1, 0, 1)), Some(91_000));
        story.hint(31_010, Hint::Written);
        story.hint(31_010, Hint::Closed);
        assert_eq!(story.look(31_010, file(1, 80, 31)), Some(31_260));
        // Where nobody ever tells, it counts in the end.
        let mut story = Story::of(Manner::Text);
        assert_eq!(story.look(0, file(1, 0, 1)), Some(60_000));
        assert_eq!(story.look(60_000, file(1, 0, 1)), Some(0));
    }

    #[test]
    fn a_new_file_that_is_still_empty_waits_for_whoever_made_it() {
        let mut story = Story::of(Manner::Text);
        story.hint(0, Hint::Created);
        assert_eq!(story.look(0, file(2, 0, 1)), Some(60_000));
        // A second name of a finished file is made the same way, and nobody will close it.
        let mut story = Story::of(Manner::Text);
        story.hint(0, Hint::Created);
        assert_eq!(story.look(0, file(2, 80, 1)), Some(250));
    }

    #[test]
    fn a_text_that_is_appended_to_all_the_time_is_taken_between_two_writers() {
        let mut story = Story::of(Manner::Text);
        for ms in (0..3000).step_by(100) {
            story.hint(ms, Hint::Written);
            assert_eq!(story.look(ms, file(1, 2000 + ms, 1)), Some(ms + 60_000));
            story.hint(ms + 1, Hint::Closed);
            let due = story.look(ms + 1, file(1, 2000 + ms, 1));
            assert_eq!(due, Some((ms + 250).min(3001)));
        }
        assert_eq!(story.look(3001, file(1, 5000, 1)), Some(0));
    }

    #[test]
    fn a_file_that_is_away_is_news_only_after_a_moment() {
        let mut story = Story::of(Manner::Text);
        assert_eq!(story.look(0, away()), Some(600));
        // Back before that: as editors do it.
        assert_eq!(story.look(100, file(2, 10, 1)), Some(350));
        assert_eq!(story.look(350, file(2, 10, 1)), Some(0));

        assert_eq!(story.look(1000, away()), Some(1600));
        assert_eq!(story.look(1600, away()), Some(0));
        assert_eq!(story.look(9000, away()), None);
        // The very same file is news, too, when it is back.
        assert_eq!(story.look(9100, file(2, 10, 1)), Some(9350));
    }

    #[test]
    fn what_could_not_be_loaded_is_tried_again_later() {
        let mut story = Story::of(Manner::Whole);
        story.file.again(story.began + Duration::from_secs(30));
        assert_eq!(story.look(10, Ok(OLD)), Some(30_000));
        assert_eq!(story.look(30_000, Ok(OLD)), Some(0));
        assert_eq!(story.look(60_000, Ok(OLD)), None);
    }

    #[test]
    fn where_events_were_lost_only_the_looks_count() {
        let mut story = Story::of(Manner::Text);
        story.hint(0, Hint::Written);
        story.hint(1, Hint::Lost);
        assert_eq!(story.look(1, file(1, 50, 1)), Some(251));
    }
}
