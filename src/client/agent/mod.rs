//! The daemon of a device: gets a certificate when there is none, renews it in time, and goes on through whatever
//! happens to the network, the clock, the disk and the server.
//!
//! [`schedule`] decides when; here it is done, and told. The state directory is the only memory: an agent that is killed
//! at any point and started again goes on where it was.

mod on_change;
pub mod schedule;
#[cfg(test)]
mod tests;
mod uptime;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

pub use self::on_change::{CommandError, OnChange};
use self::schedule::{Life, Moment, Next, Pause, ServerClock, Setback, Task, next};
use super::endpoint::{self, EndpointError, random_fraction};
use super::enroll::{self, enroll};
use super::fingerprint::{self, NoIdentity};
use super::http::{ExchangeError, HostPort};
use super::renew::{self, SUPERSEDED, renew};
use super::state::{Current, Record, StateDir, StateError};
use super::tls::Trust;
use crate::clock::{Clock, Timestamp};
use crate::domain::key_string::{Inspection, inspect};
use crate::domain::{Cloud, Fingerprint, KeySecret};
use crate::protocol::enroll::EnrollResponse;
use crate::protocol::renew::CERTIFICATE_REFUSED;

/// Longest sleep: a timer stands still while the machine sleeps, and nobody says when its clock is set.
const NAP_MAX: Duration = Duration::from_secs(60);
/// What an attempt may take, connections to all of the host's addresses included.
const ATTEMPT_MAX: Duration = Duration::from_secs(30);

/// What an agent goes by.
pub struct Settings {
    /// Where to connect instead; the server's certificate must still name the cloud.
    pub connect: Option<HostPort>,
    /// Whom to trust instead of what the key, and later the state directory, says.
    pub trust: Option<Trust>,
    /// Else that of the enrollment before, else the machine's.
    pub fingerprint: Option<Fingerprint>,
    /// For people only; at most 253 bytes.
    pub hostname: Option<String>,
    /// Renew with a new key pair each time.
    pub rekey: bool,
    pub on_change: Option<OnChange>,
    /// Looks for the provisioning key, each time that one is needed. Blocking. The error is for people.
    pub find_key: Box<dyn Fn() -> Result<KeySecret, String> + Send + Sync>,
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Identity(#[from] NoIdentity),
    /// There is no provisioning key, or it cannot be read.
    #[error("{0}")]
    Key(String),
    /// The server gave a certificate that is to be renewed already.
    #[error("the server gave the same certificate again")]
    NoProgress,
}

impl From<StateError> for AgentError {
    fn from(error: StateError) -> Self {
        Self::Endpoint(error.into())
    }
}

impl AgentError {
    fn setback(&self) -> Setback {
        match self {
            Self::Endpoint(error) if error.may_pass() => Setback::Passing { retry_after: error.retry_after() },
            Self::Endpoint(EndpointError::Answer(_) | EndpointError::Refused(_)) | Self::NoProgress => Setback::Refused,
            Self::Endpoint(_) | Self::Identity(_) | Self::Key(_) => Setback::Standing,
        }
    }
}

/// What is worth telling while it runs.
pub enum Event<'a> {
    /// The certificate that is there is renewed from then on.
    Holding {
        current: &'a Current,
        renewal: Timestamp,
    },
    /// An attempt begins.
    Enrolling {
        key: &'a KeySecret,
        fingerprint: &'a Fingerprint,
    },
    Connecting {
        task: Task,
        host: &'a str,
        address: SocketAddr,
    },
    /// The certificate is in its place.
    Changed {
        task: Task,
        record: &'a Record,
    },
    /// The server does not renew this certificate; an enrollment follows at once.
    NotRenewed {
        error: &'a AgentError,
    },
    /// The next attempt is after the pause.
    Failed {
        task: Task,
        error: &'a AgentError,
        pause: Duration,
    },
    /// The server's clock minus this machine's, in seconds; 0: it is right again.
    ClockDiffers {
        seconds: i64,
    },
    /// It is run again after the pause.
    CommandFailed {
        error: &'a CommandError,
        pause: Duration,
    },
}

/// Who hears of events.
pub type Observer<'o> = dyn FnMut(Event<'_>) + Send + 'o;

pub struct Agent {
    state: StateDir,
    settings: Settings,
    clock: Arc<dyn Clock>,
    server_clock: ServerClock,
    /// As it is in the directory, also if it has ended.
    current: Option<Current>,
    life: Option<Life>,
    pause: Pause,
    is_asked: bool,
    /// Of the command.
    command_pause: Pause,
    /// Serial number of the certificate that the command was run for, should the directory not take it down.
    command_done: Option<String>,
}

impl Agent {
    /// # Errors
    /// When the state directory cannot be read.
    pub fn new(state: StateDir, settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, StateError> {
        let mut agent = Self {
            state,
            settings,
            clock,
            server_clock: ServerClock::new(0),
            current: None,
            life: None,
            pause: Pause::default(),
            is_asked: false,
            command_pause: Pause::default(),
            command_done: None,
        };
        agent.load()?;
        agent.server_clock = ServerClock::new(agent.record().map_or(0, |record| record.clock_difference));
        Ok(agent)
    }

    /// Works until the sender of `wakes` is dropped; an attempt that is under way is cut off then, which is safe. What comes
    /// through `wakes` ends a pause and renews at once.
    pub async fn run(mut self, mut wakes: mpsc::Receiver<()>, observe: &mut Observer<'_>) {
        if let (Some(current), Some(life)) = (&self.current, &self.life) {
            observe(Event::Holding { current, renewal: life.renewal() });
        }
        loop {
            let mut is_asked = false;
            let nap = {
                let mut step = Box::pin(self.step(observe));
                loop {
                    tokio::select! {
                        biased;
                        woken = wakes.recv() => match woken {
                            Some(()) => is_asked = true,
                            None => return,
                        },
                        nap = &mut step => break nap,
                    }
                }
            };
            if !is_asked {
                tokio::select! {
                    woken = wakes.recv() => match woken {
                        Some(()) => is_asked = true,
                        None => return,
                    },
                    () = sleep(nap.min(NAP_MAX)) => {}
                }
            }
            if is_asked {
                self.ask_now();
            }
        }
    }

    fn ask_now(&mut self) {
        self.is_asked = true;
        self.pause.end();
        self.command_pause.end();
    }

    /// Does what is due, and says how long nothing is.
    async fn step(&mut self, observe: &mut Observer<'_>) -> Duration {
        let moment = self.moment();
        let nap = match next(self.life.as_ref(), self.is_asked, &self.pause, self.server_clock.now(moment), moment) {
            Next::Wait(nap) => nap,
            Next::Do(task) => {
                self.is_asked = false;
                self.attempt(task, observe).await;
                Duration::ZERO
            }
        };
        match self.hand_over(observe).await {
            Some(pause) => nap.min(pause),
            None => nap,
        }
    }

    async fn attempt(&mut self, task: Task, observe: &mut Observer<'_>) {
        let before = self.current.as_ref().map(|current| current.serial_number.clone());
        let mut last = task;
        let mut result = match task {
            Task::Enroll => self.enroll(observe).await,
            Task::Renew => self.renew(observe).await,
        };
        self.hear(&result, observe);
        if let Err(error) = &result
            && task == Task::Renew
            && only_enrollment_helps(error)
        {
            observe(Event::NotRenewed { error });
            last = Task::Enroll;
            result = self.enroll(observe).await;
            self.hear(&result, observe);
        }
        let result = result.and_then(|(_, record)| {
            self.load()?;
            let after = self.current.as_ref().map(|current| current.serial_number.clone());
            if before.is_some() && before == after { Err(AgentError::NoProgress) } else { Ok(record) }
        });
        match result {
            Ok(record) => {
                self.pause.end();
                self.command_pause.end();
                observe(Event::Changed { task: last, record: &record });
            }
            Err(error) => {
                // A step of it may have succeeded. If the directory cannot be read, what was known stands.
                let _ = self.load();
                let moment = self.moment();
                let now = self.server_clock.now(moment);
                let setback = if last == task { error.setback() } else { after_refusal(error.setback()) };
                let pause = self.pause.begin(setback, self.life.as_ref(), now, moment, random_fraction());
                observe(Event::Failed { task: last, error: &error, pause });
            }
        }
    }

    async fn renew(&self, observe: &mut Observer<'_>) -> Result<(EnrollResponse, Record), AgentError> {
        let order = renew::Order {
            connect: self.settings.connect.clone(),
            trust: self.settings.trust.clone(),
            fingerprint: self.settings.fingerprint.as_ref(),
            rekey: self.settings.rekey,
            timeout: Duration::ZERO,
            clock: &*self.clock,
        };
        let mut connecting = forward(Task::Renew, observe);
        let cloud = self.record().and_then(|record| record.cloud.parse().ok());
        in_time(cloud.as_ref(), Box::pin(renew(&self.state, &order, &mut connecting))).await
    }

    async fn enroll(&self, observe: &mut Observer<'_>) -> Result<(EnrollResponse, Record), AgentError> {
        let key = (self.settings.find_key)().map_err(AgentError::Key)?;
        let fingerprint = self.fingerprint()?;
        observe(Event::Enrolling { key: &key, fingerprint: &fingerprint });
        let order = enroll::Order {
            key: &key,
            fingerprint: &fingerprint,
            connect: self.settings.connect.clone(),
            trust: self.settings.trust.clone(),
            hostname: self.settings.hostname.as_deref(),
            timeout: Duration::ZERO,
            clock: &*self.clock,
        };
        let mut connecting = forward(Task::Enroll, observe);
        let cloud = match inspect(key.expose()) {
            Inspection::Usable { cloud, .. } => Some(cloud),
            _ => None,
        };
        in_time(cloud.as_ref(), Box::pin(enroll(&self.state, &order, &mut connecting))).await
    }

    /// A component enrolls again as what it was, also where the machine's ids can be read no more.
    fn fingerprint(&self) -> Result<Fingerprint, NoIdentity> {
        if let Some(given) = &self.settings.fingerprint {
            return Ok(given.clone());
        }
        match self.record().and_then(|record| Fingerprint::new(&record.fingerprint).ok()) {
            Some(enrolled) => Ok(enrolled),
            None => fingerprint::of_machine(),
        }
    }

    /// Runs the command if it has not been run for this certificate, and says how long it pauses.
    async fn hand_over(&mut self, observe: &mut Observer<'_>) -> Option<Duration> {
        let (on_change, current) = (self.settings.on_change.as_ref()?, self.current.as_ref()?);
        // What cannot be read counts as not done: to run twice is better than not at all.
        if self.command_done.as_ref() == Some(&current.serial_number)
            || self.state.is_on_change_done(&current.serial_number).unwrap_or(false)
        {
            return None;
        }
        let left = self.command_pause.left(self.moment());
        if !left.is_zero() {
            return Some(left);
        }
        let Err(error) = on_change.run(&self.state, current).await else {
            // If this cannot be written, the command is run once more at the next start.
            let _ = self.state.set_on_change_done(&current.serial_number);
            self.command_done = Some(current.serial_number.clone());
            return None;
        };
        let moment = self.moment();
        let now = self.server_clock.now(moment);
        let pause = self.command_pause.begin(Setback::Standing, None, now, moment, random_fraction());
        observe(Event::CommandFailed { error: &error, pause });
        Some(pause)
    }

    /// Looks at the server's clock.
    fn hear(&mut self, result: &Result<(EnrollResponse, Record), AgentError>, observe: &mut Observer<'_>) {
        let server_time = match result {
            Ok((answer, _)) => Timestamp::from_rfc3339(&answer.server_time).ok(),
            Err(AgentError::Endpoint(EndpointError::Refused(refused))) => refused.server_time,
            Err(_) => None,
        };
        if let Some(server_time) = server_time
            && let Some(seconds) = self.server_clock.hear(server_time, self.moment())
        {
            observe(Event::ClockDiffers { seconds });
        }
    }

    fn record(&self) -> Option<&Record> {
        self.current.as_ref()?.record.as_ref()
    }

    fn load(&mut self) -> Result<(), StateError> {
        self.current = self.state.certificate()?;
        let life = |current: &Current| Life::of(&current.serial_number, current.renew_after, current.not_after);
        self.life = self.current.as_ref().map(life);
        Ok(())
    }

    fn moment(&self) -> Moment {
        Moment { wall: self.clock.now(), uptime: uptime::now() }
    }
}

/// The certificate counts no more, or nothing says where to renew it.
fn only_enrollment_helps(error: &AgentError) -> bool {
    match error {
        AgentError::Endpoint(error) => {
            error.is_refusal(CERTIFICATE_REFUSED)
                || error.is_refusal(SUPERSEDED)
                || matches!(error, EndpointError::State(StateError::NoCertificate { .. } | StateError::NoRecord { .. }))
        }
        AgentError::Identity(_) | AgentError::Key(_) | AgentError::NoProgress => false,
    }
}

/// A certificate was refused and there is no key: that is no reason to ask more often.
fn after_refusal(setback: Setback) -> Setback {
    match setback {
        Setback::Passing { .. } => setback,
        Setback::Refused | Setback::Standing => Setback::Refused,
    }
}

fn forward<'f>(task: Task, observe: &'f mut Observer<'_>) -> impl FnMut(endpoint::Event<'_>) + Send + 'f {
    move |event| match event {
        endpoint::Event::Connecting { host, address } => observe(Event::Connecting { task, host, address }),
        endpoint::Event::Retrying { .. } => {} // the agent makes one attempt at a time
    }
}

/// `cloud`: who is called; `None` if nobody is.
async fn in_time<T>(
    cloud: Option<&Cloud>,
    attempt: impl Future<Output = Result<T, EndpointError>>,
) -> Result<T, AgentError> {
    let cut_off = |_| {
        let host = cloud.map_or_else(String::new, |cloud| cloud.host().to_owned());
        EndpointError::Unreachable { host, reason: ExchangeError::CutOff }
    };
    Ok(timeout(ATTEMPT_MAX, attempt).await.map_err(cut_off)??)
}
