//! Ways out: which transport takes a recipient, and who delivers for it.
//!
//! The rewriter says where mail goes; here that is a place in the scheduler's list of transports. What has
//! no agent here is deferred, never bounced.

use std::borrow::Cow;
use std::collections::HashMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use config::master::Command;
use config::{Configuration, Snapshot};
use intake::Transports;
use mail::{Address, Outcome, Recipient};
use qmgr::{Feedback, Pending, Submit, Transport, TransportParameters};
use rewrite::{Purpose, Rewriter, Temporary, Unwatched};

/// The transport of what cannot be resolved now; every configuration has it, whatever its master.cf says.
const RETRY: &str = "retry";

/// Who delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    /// agentd, in mailboxes of virtual domains.
    Virtual,
    /// Nobody: the recipient fails.
    Error {
        /// The service defers instead.
        soft_bounce: bool,
    },
    /// Nobody: the recipient waits.
    Retry,
    /// Nobody: it counts as delivered.
    Discard,
    /// Nobody yet.
    Absent,
}

/// The transports of a shard. Places in the list are for good: jobs that are out name them.
#[derive(Default)]
pub(crate) struct Routes {
    agents: Vec<Agent>,
    places: HashMap<Box<str>, Transport>,
    parameters: Vec<TransportParameters>,
}

/// How a configuration resolves recipients.
pub(crate) struct Resolver {
    rewriter: Arc<Rewriter>,
    deferred: Box<[Box<str>]>,
    filter_next_hop: Box<str>,
    hostname: Box<str>,
}

/// A recipient's way, or the promise of it.
pub(crate) enum Way {
    /// Here it is.
    Known(Pending),
    /// A table has to be waited for.
    Later(Pin<Box<dyn Future<Output = Resolved<'static>>>>),
}

/// A transport by its name, what it delivers to, and whom.
pub(crate) struct Resolved<'a> {
    number: u32,
    recipient: Recipient,
    transport: Cow<'a, str>,
    next_hop: Option<Box<str>>,
    /// Why it waits, for the log.
    pub(crate) trouble: Option<Temporary>,
}

impl Resolved<'_> {
    /// For whoever comes back with it later.
    fn into_owned(self) -> Resolved<'static> {
        let Self { number, recipient, transport, next_hop, trouble } = self;
        let transport = Cow::Owned(transport.into_owned());
        Resolved { number, recipient, transport, next_hop, trouble }
    }
}

impl Routes {
    /// Takes over the services of a configuration. Those that it does not have any more keep their places,
    /// and deliver nothing.
    ///
    /// Limits are divided among the shards, see [`parameters`].
    pub(crate) fn follow(
        &mut self,
        all: &Configuration,
        shards: usize,
        warn: &mut dyn FnMut(String),
    ) {
        self.agents.fill(Agent::Absent);
        for one in all.services.iter().filter(|one| one.service.command.is_transport()) {
            let soft_bounce = one.snapshot.site.soft_bounce;
            let agent = match one.service.command {
                Command::Virtual => Agent::Virtual,
                Command::Error => Agent::Error { soft_bounce },
                Command::Retry => Agent::Retry,
                Command::Discard => Agent::Discard,
                _ => Agent::Absent,
            };
            let shards = shards.max(1);
            let mut parameters = parameters(&one.service.name, agent, &all.base, shards, warn);
            if agent == Agent::Virtual {
                let most = one.service.process_limit.or_default(0);
                parameters.jobs_max = most.map_or(0, |most| most.div_ceil(shards));
            }
            self.set(&one.service.name, agent, parameters);
        }
        let retry = self.place(RETRY, &all.base);
        self.agents[usize::from(retry.0)] = Agent::Retry;
    }

    /// For the scheduler.
    pub(crate) fn parameters(&self) -> &[TransportParameters] {
        &self.parameters
    }

    /// Who delivers for a transport.
    pub(crate) fn agent(&self, transport: Transport) -> Agent {
        self.agents.get(usize::from(transport.0)).copied().unwrap_or(Agent::Absent)
    }

    /// What a transport's agent is to know it by, where that is not the agent's own name.
    pub(crate) fn service(&self, transport: Transport) -> Option<Box<str>> {
        let name = &*self.parameters.get(usize::from(transport.0))?.name;
        (name != Command::Virtual.name()).then(|| name.into())
    }

    /// What comes of a job that needs nobody; `None` where somebody delivers.
    pub(crate) fn outcome(&self, submit: &Submit) -> Option<Outcome> {
        let (tag, text) = (submit.job.tag, submit.next_hop.as_deref().unwrap_or_default());
        match self.agent(submit.transport) {
            Agent::Virtual => None,
            Agent::Error { soft_bounce } => Some(agent::error(tag, text, soft_bounce)),
            Agent::Retry => Some(agent::retry(tag, text)),
            Agent::Discard => Some(agent::discard(tag, text)),
            // postfix `src/qmgr/qmgr_transport.c`
            Agent::Absent => Some(agent::retry(tag, "4.3.0 mail transport unavailable")),
        }
    }

    /// The way of a recipient.
    pub(crate) fn way(
        &self,
        resolver: &Rc<Resolver>,
        sender: Option<&Address>,
        (number, recipient): (u32, &Recipient),
        filter: Option<&str>,
    ) -> Way {
        if let Some(filter) = filter {
            return Way::Known(self.pending(resolver.filtered(number, recipient, filter)));
        }
        let now = resolver.resolve(sender, number, recipient);
        if let Poll::Ready(resolved) = pin!(now).poll(&mut Context::from_waker(Waker::noop()))
            && resolved.trouble.is_none()
        {
            return Way::Known(self.pending(resolved));
        }
        let (resolver, sender) = (Rc::clone(resolver), sender.cloned());
        let recipient = recipient.clone();
        Way::Later(Box::pin(async move {
            resolver.resolve(sender.as_ref(), number, &recipient).await.into_owned()
        }))
    }

    /// The place of a transport that was resolved. One that is nobody's is deferred.
    pub(crate) fn pending(&self, resolved: Resolved<'_>) -> Pending {
        let Resolved { number, recipient, transport, next_hop, .. } = resolved;
        match self.places.get(&*transport) {
            Some(&transport) => Pending { number, recipient, transport, next_hop },
            None => Pending {
                number,
                recipient,
                transport: self.places[RETRY],
                next_hop: Some("4.3.0 mail transport unavailable".into()),
            },
        }
    }

    fn place(&mut self, name: &str, base: &Snapshot) -> Transport {
        if let Some(&place) = self.places.get(name) {
            return place;
        }
        let parameters = parameters(name, Agent::Retry, base, 1, &mut |_| {});
        self.set(name, Agent::Retry, parameters)
    }

    fn set(&mut self, name: &str, agent: Agent, parameters: TransportParameters) -> Transport {
        if let Some(&place) = self.places.get(name) {
            self.agents[usize::from(place.0)] = agent;
            self.parameters[usize::from(place.0)] = parameters;
            return place;
        }
        let place = Transport(u16::try_from(self.agents.len()).unwrap_or(u16::MAX));
        self.agents.push(agent);
        self.parameters.push(parameters);
        self.places.insert(name.into(), place);
        place
    }
}

/// The `TRANSPORT_` parameters of a transport. `warn` hears of values that are not used.
///
/// A destination is a recipient, so that a slow mailbox does not hold up the others of its domain, unless main.cf
/// says how destinations are to be treated: then it is what Postfix has for one. What main.cf allows is divided among
/// the shards, none of which knows what another has under way; each may have one delivery at least, or what it has
/// would wait for ever.
fn parameters(
    name: &str,
    agent: Agent,
    settings: &Snapshot,
    shards: usize,
    warn: &mut dyn FnMut(String),
) -> TransportParameters {
    let mut parameters = match agent {
        Agent::Virtual => TransportParameters::mailboxes(name),
        _ => return TransportParameters::nobody(name),
    };
    let values = settings.settings();
    let mut number = |suffix: &str, default: u32| {
        values.of_service(name, suffix).unwrap_or_else(|why| {
            warn(why);
            default
        })
    };
    parameters.initial_concurrency = number("_initial_destination_concurrency", 5);
    parameters.concurrency_limit = number(CONCURRENCY_LIMIT, 20);
    let recipients = number(RECIPIENT_LIMIT, 50);
    let cohorts = number("_destination_concurrency_failed_cohort_limit", 1);
    parameters.failed_cohort_limit = f64::from(cohorts);
    let mut feedback = |suffix: &str| {
        let text: Box<str> = values.of_service(name, suffix).unwrap_or_default();
        text.parse().unwrap_or_else(|()| {
            // As Postfix does it (src/qmgr/qmgr_feedback.c).
            warn(format!("{name}{suffix}: ignoring malformed or unreasonable feedback: {text}"));
            Feedback::Constant(1.0)
        })
    };
    parameters.positive_feedback = feedback("_destination_concurrency_positive_feedback");
    parameters.negative_feedback = feedback("_destination_concurrency_negative_feedback");
    match values.of_service(name, RATE_DELAY) {
        Ok(delay) => parameters.rate_delay = delay,
        Err(why) => warn(why),
    }
    let said = |suffix| is_said(settings, name, suffix);
    let shards = u32::try_from(shards).unwrap_or(u32::MAX);
    if said(CONCURRENCY_LIMIT) {
        parameters.concurrency_limit = parameters.concurrency_limit.div_ceil(shards);
    }
    parameters.rate_delay = parameters.rate_delay.saturating_mul(shards);
    parameters.lane_per_recipient =
        recipients == 1 || ![CONCURRENCY_LIMIT, RECIPIENT_LIMIT, RATE_DELAY].into_iter().any(said);
    parameters
}

pub(crate) const CONCURRENCY_LIMIT: &str = "_destination_concurrency_limit";
pub(crate) const RECIPIENT_LIMIT: &str = "_destination_recipient_limit";
const RATE_DELAY: &str = "_destination_rate_delay";

/// Whether main.cf has this parameter for a transport, or for all.
pub(crate) fn is_said(settings: &Snapshot, transport: &str, suffix: &str) -> bool {
    [transport, "default"]
        .iter()
        .any(|name| settings.settings().defined(&format!("{name}{suffix}")).is_some())
}

/// Whether there is an agent of this kind.
pub(crate) fn delivers(command: &Command) -> bool {
    matches!(command, Command::Virtual | Command::Error | Command::Retry | Command::Discard)
}

/// The transports of a configuration that deliver, for whoever accepts mail for them.
pub(crate) fn delivering(all: &Configuration) -> Transports {
    let services = all.services.iter().filter(|one| delivers(&one.service.command));
    Transports::new(services.map(|one| one.service.name.clone()))
}

impl Resolver {
    /// As the queue manager of this configuration does it.
    pub(crate) fn new(rewriter: Arc<Rewriter>) -> Self {
        let settings = rewriter.settings();
        Self {
            deferred: settings.queue.defer_transports.to_vec().into(),
            filter_next_hop: settings.queue.default_filter_nexthop.clone(),
            hostname: settings.site.myhostname.clone(),
            rewriter,
        }
    }

    /// A filter takes everything, whoever it is for (postfix `src/qmgr/qmgr_message.c`).
    fn filtered<'a>(&self, number: u32, recipient: &Recipient, filter: &'a str) -> Resolved<'a> {
        let (transport, next_hop) = filter.split_once(':').unwrap_or((filter, ""));
        let domain = recipient.address.domain();
        let next_hop = [next_hop, &self.filter_next_hop, domain]
            .into_iter()
            .find(|it| !it.is_empty())
            .unwrap_or(&self.hostname);
        self.unless_deferred(Resolved {
            number,
            recipient: recipient.clone(),
            transport: transport.into(),
            next_hop: Some(next_hop.into()),
            trouble: None,
        })
    }

    async fn resolve<'a>(
        &'a self,
        sender: Option<&Address>,
        number: u32,
        recipient: &'a Recipient,
    ) -> Resolved<'a> {
        let address = &recipient.address;
        match self.rewriter.resolve(Purpose::Delivery, sender, address, &mut Unwatched).await {
            Ok(route) => {
                let recipient = match route.recipient {
                    Cow::Borrowed(_) => recipient.clone(),
                    Cow::Owned(address) => Recipient { address, ..recipient.clone() },
                };
                // Of a recipient in its own domain that is known without being said.
                let own = *route.nexthop == *recipient.address.domain();
                self.unless_deferred(Resolved {
                    number,
                    recipient,
                    transport: route.transport,
                    next_hop: (!own).then(|| route.nexthop.into()),
                    trouble: None,
                })
            }
            Err(why) => Resolved {
                number,
                recipient: recipient.clone(),
                transport: RETRY.into(),
                next_hop: Some(format!("{} {}", why.status(), why.reply()).into()),
                trouble: Some(why),
            },
        }
    }

    fn unless_deferred<'a>(&self, resolved: Resolved<'a>) -> Resolved<'a> {
        if !self.deferred.iter().any(|it| **it == *resolved.transport) {
            return resolved;
        }
        let next_hop = Some("4.3.2 deferred transport".into());
        Resolved { transport: RETRY.into(), next_hop, ..resolved }
    }
}

#[cfg(test)]
mod tests {
    use config::master::{self, Ports};
    use config::{Machine, Sources};
    use mail::{Content, Job, QueueId, Status, Time, Verdict};
    use table::{Memory, Tables};

    use super::*;

    const MASTER_CF: &str = "virtual unix - n n - - virtual\nsmtp unix - - n - - smtp\n\
                             error unix - - n - - error\ndiscard unix - - n - - discard\n";

    fn configuration(main_cf: &str, master_cf: &str) -> Configuration {
        let main_cf = format!(
            "myhostname = mx.example.com\nmydestination =\nvirtual_mailbox_domains = example.com\n\
             {main_cf}"
        );
        let sources = Sources::new().main_cf("main.cf", main_cf.as_bytes());
        let master = master::parse("master.cf", master_cf.as_bytes(), &Ports::default());
        let machine = Machine::named("mx.example.com");
        Configuration::build(&sources, &master, &machine, &Tables::new(&Memory::default()))
            .expect("the configuration of the test")
    }

    fn routes(all: &Configuration) -> Routes {
        let mut routes = Routes::default();
        routes.follow(all, 2, &mut |warning| panic!("{warning}"));
        routes
    }

    fn address(text: &str) -> Address {
        Address::parse(text.as_bytes()).unwrap()
    }

    /// Transport and next hop of a recipient, and what comes of it where nobody is asked.
    fn way(main_cf: &str, to: &str, filter: Option<&str>) -> (String, Option<Outcome>) {
        let all = configuration(main_cf, MASTER_CF);
        let routes = routes(&all);
        let rewriter = Arc::new(Rewriter::new(Arc::clone(&all.base)));
        let resolver = Rc::new(Resolver::new(rewriter));
        let recipient = Recipient::new(address(to));
        let Way::Known(pending) = routes.way(&resolver, None, (0, &recipient), filter) else {
            panic!("no table is waited for")
        };
        let name = &routes.parameters()[usize::from(pending.transport.0)].name;
        let text = format!("{name}:{}", pending.next_hop.as_deref().unwrap_or_default());
        let job = Job {
            tag: 7,
            service: None,
            id: QueueId::from_u64(1),
            sender: None,
            recipient: pending.recipient,
            number: 0,
            arrival: Time(0),
            content: Content::File { len: 0 },
            seen_before: false,
            has_delivered_to: false,
        };
        let submit = Submit { transport: pending.transport, next_hop: pending.next_hop, job };
        (text, routes.outcome(&submit))
    }

    fn text(outcome: Option<Outcome>) -> String {
        outcome.map_or_else(String::new, |it| format!("{:?} {} {}", it.verdict, it.status, it.text))
    }

    #[test]
    fn who_has_an_agent_is_delivered_and_who_has_none_waits() {
        let unavailable = "Deferred 4.3.0 mail transport unavailable";
        let tables = "transport_maps = inline:{ { no@example.com = error:5.1.6 moved } \
                      { gone@example.com = discard:x } { odd@example.com = nobody:here } }\n";
        for (main_cf, to, expected, outcome) in [
            ("", "u@example.com", "virtual:", ""),
            ("", "u@other.example", "smtp:", unavailable),
            (tables, "no@example.com", "error:5.1.6 moved", "Failed 5.1.6 moved"),
            (tables, "gone@example.com", "discard:x", "Delivered 2.0.0 x"),
            // No service of this name; retry is there although master.cf does not have it.
            (tables, "odd@example.com", "retry:4.3.0 mail transport unavailable", unavailable),
            (
                "defer_transports = smtp, virtual\n",
                "u@example.com",
                "retry:4.3.2 deferred transport",
                "Deferred 4.3.2 deferred transport",
            ),
        ] {
            let (way, decided) = way(main_cf, to, None);
            assert_eq!((way.as_str(), text(decided).as_str()), (expected, outcome), "{to}");
        }
    }

    #[test]
    fn a_filter_goes_before_everything_and_has_a_next_hop_in_any_case() {
        for (main_cf, filter, expected) in [
            ("", "smtp:[127.0.0.1]:10024", "smtp:[127.0.0.1]:10024"),
            ("", "discard:", "discard:example.com"),
            ("", "discard", "discard:example.com"),
            ("default_filter_nexthop = filter.example\n", "discard:", "discard:filter.example"),
        ] {
            assert_eq!(way(main_cf, "u@example.com", Some(filter)).0, expected, "{filter}");
        }
    }

    #[test]
    fn soft_bounce_of_the_service_makes_its_errors_temporary() {
        let all = configuration(
            "",
            "error unix - - n - - error -o soft_bounce=yes\nhard unix - - n - - error\n",
        );
        let routes = routes(&all);
        let agent = |name: &str| routes.agent(routes.places[name]);
        assert_eq!(agent("error"), Agent::Error { soft_bounce: true });
        assert_eq!(agent("hard"), Agent::Error { soft_bounce: false });
        let outcome = agent::error(1, "5.1.1 no", true);
        assert_eq!((outcome.verdict, outcome.status), (Verdict::Deferred, Status(4, 1, 1)));
    }

    #[test]
    fn a_transport_keeps_its_place_when_the_configuration_changes() {
        let mut routes = routes(&configuration("", MASTER_CF));
        let (before, smtp) = (routes.places["virtual"], routes.places["smtp"]);
        let limit = "virtual_destination_concurrency_limit = 3\n";
        let all =
            configuration(limit, "new unix - n n - - virtual\nvirtual unix - n n - - virtual\n");
        routes.follow(&all, 2, &mut |warning| panic!("{warning}"));
        assert_eq!(routes.places["virtual"], before);
        // By two shards.
        assert_eq!(routes.parameters()[usize::from(before.0)].concurrency_limit, 2);
        assert_eq!(routes.agent(smtp), Agent::Absent, "what is gone delivers nothing");
        assert_eq!(routes.service(before), None);
        assert_eq!(routes.service(routes.places["new"]).as_deref(), Some("new"));
    }

    #[test]
    fn the_process_limit_of_a_transport_is_shared_by_the_shards() {
        let all = configuration(
            "",
            "virtual unix - n n - - virtual\nfive unix - n n - 5 virtual\none unix - n n - 1 virtual\n\
             any unix - n n - 0 virtual\nerror unix - - n - 1 error\n",
        );
        let routes = routes(&all);
        let most = |name: &str| routes.parameters()[usize::from(routes.places[name].0)].jobs_max;
        let names = ["virtual", "five", "one", "any", "error"];
        // By two shards.
        assert_eq!(names.map(most), [0, 3, 1, 0, 0]);
    }

    #[test]
    fn a_destination_is_what_postfix_has_for_one_where_main_cf_speaks_of_destinations() {
        for (main_cf, of_recipient, limit, delay) in [
            ("", true, 20, 0),
            ("virtual_initial_destination_concurrency = 2\n", true, 20, 0),
            ("virtual_destination_concurrency_limit = 5\n", false, 3, 0),
            ("default_destination_concurrency_limit = 0\n", false, 0, 0),
            ("virtual_destination_rate_delay = 1s\n", false, 20, 2),
            ("virtual_destination_recipient_limit = 50\n", false, 20, 0),
            ("default_destination_recipient_limit = 1\n", true, 20, 0),
            (
                "virtual_destination_recipient_limit = 1\nvirtual_destination_concurrency_limit = 1\n",
                true,
                1,
                0,
            ),
            ("other_destination_concurrency_limit = 5\n", true, 20, 0),
        ] {
            let routes = routes(&configuration(main_cf, MASTER_CF));
            let found = &routes.parameters()[usize::from(routes.places["virtual"].0)];
            let delayed = found.rate_delay.as_secs();
            let found = (found.lane_per_recipient, found.concurrency_limit, delayed);
            assert_eq!(found, (of_recipient, limit, delay), "{main_cf}");
        }
    }

    #[test]
    fn feedback_that_makes_no_sense_is_said_and_not_used() {
        let main_cf = "virtual_destination_concurrency_positive_feedback = 7\n";
        let all = configuration(main_cf, MASTER_CF);
        let (mut routes, mut warnings) = (Routes::default(), Vec::new());
        routes.follow(&all, 2, &mut |warning| warnings.push(warning));
        assert_eq!(
            warnings,
            [
                "virtual_destination_concurrency_positive_feedback: ignoring malformed or unreasonable \
              feedback: 7"
            ]
        );
    }
}
