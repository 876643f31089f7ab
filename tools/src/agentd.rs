//! agentd: writes mailboxes with their owners' rights, and talks to nobody but the engine.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use agent::{Answer, Attempt, Contents, Deliver};
use arc_swap::ArcSwap;
use config::Configuration;
use mail::{Outcome, Status};
use mailbox::InUse;
use remote::Remote;
use virtual_agent::{Rights, VirtualAgent};

use crate::background;
use crate::control::Channel;
use crate::limits;
use crate::privilege;
use crate::settings::Settings;
use crate::start::{Order, Report};
use crate::swap::{Loader, Reloaded};

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
                let current = Arc::new(ArcSwap::from_pointee(all));
                let take = {
                    let current = Arc::clone(&current);
                    move |new: Reloaded| current.store(new.all)
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
            Order::ReopenLog { stderr } => {
                if let (true, Some(log)) = (stderr, fds.first()) {
                    background::follow_log(log);
                }
            }
            Order::Listen(_) => {}
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
type Current = Arc<ArcSwap<Configuration>>;

/// The agents of one thread, one for each service that has jobs. They are made anew when the configuration
/// is another one.
struct Following {
    current: Current,
    all: Arc<Configuration>,
    agents: HashMap<Box<str>, VirtualAgent>,
    rights: Rights,
    in_use: InUse,
}

impl Following {
    fn new(current: Current, rights: Rights, in_use: InUse) -> io::Result<Self> {
        let all = current.load_full();
        let mut following = Self { current, all, agents: HashMap::new(), rights, in_use };
        // What cannot be made is found out before the first job.
        following.agent(VIRTUAL)?;
        Ok(following)
    }

    /// The agent of a service, with the settings that are the service's.
    fn agent(&mut self, service: &str) -> io::Result<&mut VirtualAgent> {
        if !self.agents.contains_key(service) {
            let snapshot = Arc::clone(self.all.snapshot_of(service));
            let agent = VirtualAgent::new(snapshot, self.rights, self.in_use.clone())?;
            self.agents.insert(service.into(), agent);
        }
        Ok(self.agents.get_mut(service).expect("it was there or has just been put there"))
    }

    fn deliver_for(
        &mut self,
        service: &str,
        batch: &[Attempt],
        contents: &mut Contents,
    ) -> Vec<Answer> {
        match self.agent(service) {
            Ok(agent) => agent.deliver(batch, contents),
            Err(error) => {
                let text = format!("cannot act as service {service}: {error}");
                let later = |it: &Attempt| Outcome::new(it.job.tag, Status(4, 3, 0), text.clone());
                batch.iter().map(|it| Answer::Done(later(it))).collect()
            }
        }
    }
}

/// The service of a job that names none.
const VIRTUAL: &str = "virtual";

fn service_of(attempt: &Attempt) -> &str {
    attempt.job.service.as_deref().unwrap_or(VIRTUAL)
}

impl Deliver for Following {
    fn deliver(&mut self, batch: &[Attempt], contents: &mut Contents) -> Vec<Answer> {
        if !Arc::ptr_eq(&self.all, &self.current.load()) {
            self.all = self.current.load_full();
            self.agents.clear();
        }
        let Some(first) = batch.first().map(service_of) else { return Vec::new() };
        if batch.iter().all(|attempt| service_of(attempt) == first) {
            return self.deliver_for(first, batch, contents);
        }
        // Each service's jobs are a batch of their own; the answers are in the order of all jobs.
        let mut answers: Vec<Option<Answer>> = batch.iter().map(|_| None).collect();
        let mut services: Vec<&str> = batch.iter().map(service_of).collect();
        services.sort_unstable();
        services.dedup();
        for service in services {
            let of_service = |it: &(usize, &Attempt)| service_of(it.1) == service;
            let (places, part): (Vec<usize>, Vec<Attempt>) = batch
                .iter()
                .enumerate()
                .filter(of_service)
                .map(|(at, attempt)| (at, attempt.clone()))
                .unzip();
            for (at, answer) in places.into_iter().zip(self.deliver_for(service, &part, contents)) {
                answers[at] = Some(answer);
            }
        }
        answers.into_iter().map(|answer| answer.expect("each job is of one service")).collect()
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
