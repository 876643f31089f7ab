//! The pickup service in the engine: the thread that looks through the maildrop, and the socket that wakes it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use config::master::Command;
use config::{Configuration, ServiceConfig};
use intake::{Bell, Collector, Parcel};
use mail::log::Event;
use tokio::sync::mpsc::UnboundedSender;

use crate::public;

/// The parameter with the name of the service, which is that of its socket.
const NAME: &str = "pickup_service_name";
/// How long the socket rests when it cannot accept: descriptors or memory are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The service that takes what sendmail leaves; `None` where master.cf has none.
pub(crate) fn service(all: &Configuration) -> Option<&ServiceConfig> {
    let name = all.base.settings().text(NAME).ok()?;
    all.find(&name).filter(|one| one.service.command == Command::Pickup)
}

/// The thread.
pub(crate) struct Picking {
    bell: Bell,
    every_secs: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Picking {
    /// Starts it, for a queue that is locked.
    pub(crate) fn start(
        queue: &Path,
        all: &Configuration,
        shards: Vec<UnboundedSender<Parcel>>,
        say: impl Fn(Event<'_>) + Send + 'static,
    ) -> io::Result<Self> {
        let every_secs = Arc::new(AtomicU64::new(every_secs(all)));
        let (collector, bell) =
            Collector::new(queue, shards, Arc::clone(&every_secs), Box::new(say))?;
        let name = all.base.settings().text(NAME).map_err(io::Error::other)?;
        let listener = public::listen(queue, &name)?;
        let rung = bell.clone();
        thread::Builder::new().name("pickup-bell".into()).spawn(move || {
            for connection in listener.incoming() {
                match connection {
                    // What is said does not matter: Postfix's commands send a letter.
                    Ok(_) => rung.ring(),
                    Err(_) => thread::sleep(ACCEPT_PAUSE),
                }
            }
        })?;
        let thread = thread::Builder::new().name("pickup".into()).spawn(move || collector.run())?;
        Ok(Self { bell, every_secs, thread })
    }

    /// What follows another configuration.
    pub(crate) fn follower(&self) -> impl Fn(&Configuration) + Send + 'static {
        let (bell, secs) = (self.bell.clone(), Arc::clone(&self.every_secs));
        move |all| {
            secs.store(every_secs(all), Ordering::Relaxed);
            bell.renewed();
        }
    }

    /// Nothing more is taken out of the maildrop.
    pub(crate) fn stop(&self) {
        self.bell.stop();
    }

    /// Waits until what was under way is removed; the shards must have ended.
    pub(crate) fn ended(self) {
        // One that has panicked has nothing more to say.
        let _ = self.thread.join();
    }
}

/// The wakeup column of its line.
fn every_secs(all: &Configuration) -> u64 {
    let every = service(all).and_then(|one| one.service.wakeup.every);
    every.map_or(0, |every| every.as_secs())
}
