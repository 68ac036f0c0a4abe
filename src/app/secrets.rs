//! `muster secrets`: which master key sealed what, and a new one that seals it all.
//!
//! A new first line of `master.key` is the order to seal by it, and whoever opens a store seals anew what another line sealed:
//! a service at its start and whenever the file changed, this command where no service has the store to itself. So a rotation
//! is a new first line, and time; broken off anywhere, it goes on with the next start. The store says which key seals, so
//! that older files do not turn it back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::opened_secrets::{open_master_keys, open_secrets};
use super::store::{Unobserved, open, open_read_only};
use super::{AppError, master_key};
use crate::clock::{Clock, SystemClock};
use crate::config::{Settings, StoreEngine};
use crate::management::reseal::reseal;
use crate::management::sealing::SealedBy;
use crate::secret::master::header;
use crate::store::embedded::OpenError;
use crate::store::{SealedCounts, Store};

/// A service that has not begun by then does not know the new line.
const PATIENCE: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a master key that is here is to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It sealed, and the store takes nothing more of it.
    Former,
    /// It seals.
    Sealing,
    /// It seals nothing yet, for all that the store says.
    Waiting,
}

/// Which master key sealed how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKeyUse {
    pub id: String,
    pub standing: Standing,
    pub sealed: SealedCounts,
}

/// All master keys that are here, the one that seals first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretsReport {
    pub master_keys: Vec<MasterKeyUse>,
    /// By keys that are not here: nobody opens these.
    pub by_others: SealedCounts,
    /// The first line of the file.
    pub first_line: String,
    /// Ids of keys that seal or sealed, here or not: no new key may have one of them.
    pub used: Vec<String>,
}

impl SecretsReport {
    /// The first line seals or has sealed, and no value stays as it is until it is sealed by the key that seals.
    pub fn is_complete(&self) -> bool {
        let is_done = |key: &MasterKeyUse| match key.standing {
            Standing::Sealing => true,
            Standing::Former => key.sealed.lasting() == 0,
            Standing::Waiting => key.sealed.lasting() == 0 && key.id != self.first_line,
        };
        self.master_keys.iter().all(is_done) && self.by_others.lasting() == 0
    }
}

/// What was done about the master key itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationStep {
    /// A new one was made and seals from now on.
    Made,
    /// One that was made before, and is on all nodes, seals from now on.
    Promoted,
    /// The first one had not sealed everything yet.
    Resumed,
}

/// Counts by master key. Works beside a running service, as the doctor does (docs/decisions/0006).
///
/// # Errors
/// [`AppError`].
pub async fn show_secrets(settings: &Settings) -> Result<SecretsReport, AppError> {
    let store = open_read_only(settings).await?;
    let ids = master_key::load(settings)?.ids();
    let sealed_by = SealedBy::load(&*store).await?;
    let mut rest = store.count_sealed(&[]).await?;
    let mut master_keys = Vec::with_capacity(ids.len());
    for id in &ids {
        let sealed = store.count_sealed(&header(id)).await?;
        rest = rest.without(sealed);
        let standing = if sealed_by.sealing() == Some(id) {
            Standing::Sealing
        } else if sealed_by.is_former(id) {
            Standing::Former
        } else {
            Standing::Waiting
        };
        master_keys.push(MasterKeyUse { id: id.clone(), standing, sealed });
    }
    master_keys.sort_by_key(|key| key.standing != Standing::Sealing);
    let used = sealed_by.ids().to_vec();
    Ok(SecretsReport { master_keys, by_others: rest, first_line: ids[0].clone(), used })
}

/// Adds a new master key that opens and does not seal yet, for a store that several nodes share: they must have it before
/// the first of them seals by it. Answers its id; one that was added before is the one.
///
/// # Errors
/// [`AppError`].
pub async fn prepare_master_key(settings: &Settings) -> Result<String, AppError> {
    let used = show_secrets(settings).await?.used;
    // A file that lacks the key that seals is older than the others', and is not to be copied over them.
    drop(open_master_keys(&*open_read_only(settings).await?, settings).await?);
    Ok(master_key::append_new(settings, &used)?)
}

/// Puts a new master key first, unless the first one has still to seal what another did, and has everything sealed by it:
/// by the service that has the store, else here. Returns when that is done.
///
/// # Errors
/// [`AppError`]; begun anew, it goes on.
pub async fn rotate_master_key(settings: &Settings) -> Result<(RotationStep, SecretsReport), AppError> {
    let report = show_secrets(settings).await?;
    let step = if !report.is_complete() {
        RotationStep::Resumed
    } else if master_key::promote(settings, &report.used)? {
        RotationStep::Promoted
    } else if let StoreEngine::Postgres(_) = settings.store.engine {
        return Err(AppError::NotPrepared);
    } else if master_key::put_new_first(settings, &report.first_line, &report.used)? {
        RotationStep::Made
    } else {
        RotationStep::Resumed // another rotation was quicker, and this one waits for it
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    match open(settings, Arc::clone(&clock), Arc::new(Unobserved)).await {
        Ok(store) => {
            let resealed = reseal_here(&*store, settings, &*clock).await;
            store.close().await;
            resealed?;
            Ok((step, show_secrets(settings).await?))
        }
        Err(AppError::Open(OpenError::Locked { pid, .. })) => wait(settings, pid).await.map(|report| (step, report)),
        Err(error) => Err(error),
    }
}

async fn reseal_here(store: &dyn Store, settings: &Settings, clock: &dyn Clock) -> Result<(), AppError> {
    let secrets = open_secrets(store, settings).await?;
    let master_keys = open_master_keys(store, settings).await?;
    reseal(store, &master_keys, &secrets.audit_key, clock).await.map(drop).map_err(AppError::Reseal)
}

/// Until the service has sealed everything. It may take as long as it goes on.
async fn wait(settings: &Settings, pid: Option<u32>) -> Result<SecretsReport, AppError> {
    let (mut last, mut since) = (None, Instant::now());
    loop {
        let report = show_secrets(settings).await?;
        if report.is_complete() {
            return Ok(report);
        }
        if last.as_ref() != Some(&report) {
            (last, since) = (Some(report), Instant::now());
        } else if since.elapsed() > PATIENCE {
            return Err(AppError::NotResealed { pid });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
