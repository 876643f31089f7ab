//! agentd: writes mailboxes with their owners' rights, and talks to nobody but the engine.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use agent::{Answer, Attempt, Contents, Deliver};
use arc_swap::ArcSwap;
use config::{Configuration, Snapshot};
use mailbox::InUse;
use remote::Remote;
use virtual_agent::{Rights, VirtualAgent};

use crate::control::Channel;
use crate::limits;
use crate::privilege;
use crate::settings::Settings;
use crate::start::{Order, Report};
use crate::swap::Loader;

/// agentd's whole life. `channel` is the way to master.
pub(crate) fn run(channel: Channel) {
    let channel = Arc::new(channel);
    if let Err(why) = serve(&channel) {
        // If master is gone there is nobody to tell.
        let _ = channel.send(&Report::Refused(why), &[]);
    }
}

fn serve(channel: &Arc<Channel>) -> Result<(), String> {
    limits::raise_open_files();
    limits::survive_file_size_limit().map_err(|error| format!("SIGXFSZ: {error}"))?;
    let mut agents: Option<Agents> = None;
    let mut loader: Option<Loader> = None;
    let mut waiting = Vec::new();
    let mut begun = false;
    loop {
        let (order, fds) = match channel.recv::<Order>() {
            Ok(Some(received)) => received,
            // Master is gone. What is being delivered ends with the process; the queue has it still.
            Ok(None) => std::process::exit(1),
            Err(error) => return Err(format!("control connection: {error}")),
        };
        match order {
            Order::Start(start) => {
                let file = fds.into_iter().next().ok_or("the settings are missing")?;
                let settings = Settings::from_file(file.into())
                    .map_err(|error| format!("the settings cannot be read: {error}"))?;
                let remote = Remote::new();
                let (all, catalog) = settings.open(&remote).map_err(|problems| {
                    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
                })?;
                let rights = if let Some(user) = start.become_user {
                    privilege::keep_delivery_rights()
                        .map_err(|error| format!("give up rights: {error}"))?;
                    // Started here, and not by a thread that acts for a recipient.
                    remote
                        .start()
                        .and_then(|()| remote.on_thread(move || privilege::thread_becomes(user)))
                        .map_err(|error| format!("lookup thread: {error}"))?;
                    Rights::Recipients
                } else {
                    Rights::Own
                };
                // Behind the rights given up, which are a thread's own. The engine has the log, and is
                // given whatever agentd is given.
                let current = Arc::new(ArcSwap::new(all.base));
                let take = {
                    let current = Arc::clone(&current);
                    move |all: Arc<Configuration>, _| current.store(Arc::clone(&all.base))
                };
                loader = Some(
                    Loader::start(catalog, Arc::clone(channel), |_, _| {}, take)
                        .map_err(|error| format!("start loader of tables: {error}"))?,
                );
                agents =
                    Some(Agents { current, rights, in_use: InUse::default(), threads: Vec::new() });
            }
            Order::Links => waiting = fds,
            Order::Begin => {
                let agents = agents.as_mut().ok_or("master did not say how to start")?;
                agents.begin(std::mem::take(&mut waiting))?;
                begun = true;
                // If it cannot hear this, its end is the next thing that is read.
                let _ = channel.send(&Report::Ready, &[]);
            }
            Order::Stop => {
                // The engine has ended before this was said, and its links with it.
                if let Some(agents) = &mut agents {
                    agents.begin(Vec::new())?;
                }
                return Ok(());
            }
            Order::TableFile(path, state) => {
                if let Some(loader) = &loader {
                    loader.file(path, state, fds);
                }
            }
            Order::Tables(path, purpose) => {
                if let Some(loader) = &loader {
                    loader.change(path, purpose);
                }
            }
            Order::Files(files) => {
                if let Some(loader) = &loader {
                    loader.files(files, fds);
                }
            }
            Order::Reload(endpoints) => {
                let file = fds.into_iter().next().ok_or("the settings are missing")?;
                let settings = Settings::from_file(file.into())
                    .map_err(|error| format!("the settings cannot be read: {error}"))?;
                if let Some(loader) = &loader {
                    loader.reload(settings, endpoints);
                }
            }
            Order::Listen(_) | Order::ReopenLog => {}
        }
        // After the beginning, links come for a new engine.
        if let (Some(agents), true, false) = (&mut agents, begun, waiting.is_empty()) {
            agents.begin(std::mem::take(&mut waiting))?;
        }
    }
}

/// What all agents have in common.
struct Agents {
    current: Current,
    rights: Rights,
    in_use: InUse,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Agents {
    /// Starts one agent for each shard of an engine.
    ///
    /// Those of the engine before end with it, and must have ended: two agents with the same job could
    /// both find that nobody has delivered it yet.
    fn begin(&mut self, links: Vec<OwnedFd>) -> Result<(), String> {
        for thread in self.threads.drain(..) {
            // One that panicked has ended the process.
            let _ = thread.join();
        }
        for (shard, link) in links.into_iter().enumerate() {
            let (current, rights) = (Arc::clone(&self.current), self.rights);
            let in_use = self.in_use.clone();
            let thread = thread::Builder::new()
                .name(format!("virtual-{shard}"))
                .spawn(move || deliver(link, current, rights, in_use))
                .map_err(|error| format!("start agent: {error}"))?;
            self.threads.push(thread);
        }
        Ok(())
    }
}

/// Serves one shard of an engine until it closes the link. An agent that cannot go on takes the process
/// with it: master starts another, and the engine gives it what this one had.
fn deliver(link: OwnedFd, current: Current, rights: Rights, in_use: InUse) {
    let _vital = Vital;
    // Made here because credentials belong to a thread.
    let result = Following::new(current, rights, in_use)
        .map_err(|error| error.to_string())
        .and_then(|mut agent| agent::serve(link, &mut agent).map_err(|error| error.to_string()));
    if let Err(why) = result {
        eprintln!("ringpost: fatal: virtual agent: {why}");
        std::process::exit(1);
    }
}

/// The configuration in use. A new one counts from the next batch on.
type Current = Arc<ArcSwap<Snapshot>>;

/// An agent that is made anew when the configuration is another one.
struct Following {
    current: Current,
    snapshot: Arc<Snapshot>,
    agent: VirtualAgent,
    rights: Rights,
    in_use: InUse,
}

impl Following {
    fn new(current: Current, rights: Rights, in_use: InUse) -> io::Result<Self> {
        let snapshot = current.load_full();
        let agent = VirtualAgent::new(Arc::clone(&snapshot), rights, in_use.clone())?;
        Ok(Self { current, snapshot, agent, rights, in_use })
    }
}

impl Deliver for Following {
    fn deliver(&mut self, batch: &[Attempt], contents: &mut Contents) -> Vec<Answer> {
        if !Arc::ptr_eq(&self.snapshot, &self.current.load()) {
            let (current, in_use) = (Arc::clone(&self.current), self.in_use.clone());
            match Self::new(current, self.rights, in_use) {
                Ok(renewed) => *self = renewed,
                // The one there is delivers as well, and the next batch comes by here again.
                Err(error) => eprintln!("ringpost: warning: virtual agent: {error}"),
            }
        }
        self.agent.deliver(batch, contents)
    }
}

struct Vital;

impl Drop for Vital {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}
