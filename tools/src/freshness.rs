//! The way for a listing to be up to date: `public/showq` in the queue directory.
//!
//! Listings read the index, which follows the log by up to a second where there is much to do. Whoever is
//! about to list connects here first; when the connection ends, all that was answered with a 250 before it
//! is in the index. Nothing is said in either direction. Without a daemon nobody listens, and the index
//! is what its last flush made it.

use std::io::{self, Read};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use queue::{RingDisk, Slice};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::public;

const SOCKET: &str = "showq";
/// How long the shards may take. One that is stuck on its disk must not keep the listing from what is known.
const WAIT: Duration = Duration::from_secs(1);
/// How long a listing waits for all that; others may be served before it.
const WAIT_FOR_DAEMON: Duration = Duration::from_secs(3);

/// Dropped once the index is up to date.
pub(crate) type Asked = Sender<()>;

/// Listens in `queue` on a thread of its own, for as long as the process lives. The queue must be locked.
pub(crate) fn listen(queue: &Path, shards: Vec<UnboundedSender<Asked>>) -> io::Result<()> {
    let listener = public::listen(queue, SOCKET)?;
    thread::Builder::new().name("showq".into()).spawn(move || serve(&listener, &shards))?;
    Ok(())
}

fn serve(listener: &UnixListener, shards: &[UnboundedSender<Asked>]) {
    for connection in listener.incoming() {
        let (asked, done) = channel();
        for shard in shards {
            // One that has ended has nothing more to say.
            let _ = shard.send(asked.clone());
        }
        drop(asked);
        // The end of all senders is the answer.
        let _ = done.recv_timeout(WAIT);
        drop(connection);
    }
}

/// Brings the index of a shard's slices up to date whenever it is asked.
pub(crate) async fn answer(slices: Vec<Slice<RingDisk>>, mut questions: UnboundedReceiver<Asked>) {
    while let Some(asked) = questions.recv().await {
        for slice in &slices {
            // A slice that has failed says so elsewhere.
            let _ = slice.freshen().await;
        }
        drop(asked);
    }
}

/// Has a running daemon bring the index of this queue up to date. False: there is one, and it did not
/// answer.
pub(crate) fn refresh(queue: &Path) -> bool {
    // Nobody listens, or not to this user.
    let Ok(mut connection) = public::connect(queue, SOCKET) else { return true };
    let timed = connection.set_read_timeout(Some(WAIT_FOR_DAEMON));
    timed.and_then(|()| connection.read(&mut [0])).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_waits_for_all_shards_however_deep_the_queue_lies() {
        let root = tempfile::tempdir().unwrap();
        let queue = root.path().join("q".repeat(200));
        let (one, mut first) = tokio::sync::mpsc::unbounded_channel();
        let (two, mut second) = tokio::sync::mpsc::unbounded_channel();
        listen(&queue, vec![one, two]).unwrap();
        let shard = thread::spawn(move || {
            drop(first.blocking_recv().unwrap());
            let last = second.blocking_recv().unwrap();
            let answered = std::time::Instant::now();
            drop(last);
            answered
        });
        assert!(refresh(&queue));
        let returned = std::time::Instant::now();
        assert!(shard.join().unwrap() <= returned, "the answer came before the last shard's");
    }

    #[test]
    fn without_a_daemon_there_is_nothing_to_wait_for() {
        let queue = tempfile::tempdir().unwrap();
        assert!(refresh(queue.path()));
        listen(queue.path(), Vec::new()).unwrap();
        // A second start takes over the socket of the first.
        listen(queue.path(), Vec::new()).unwrap();
        assert!(refresh(queue.path()));
    }
}
