//! The registry of links.

use crate::broker::Broker;
use crate::error::LinkError;
use crate::link::{Link, Owner, Status};
use crate::shared::Shared;
use crate::worker;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Hands out links: one for each broker, login, TLS setting and client id. Clones share their links. A link lives as long as
/// somebody holds it.
#[derive(Clone, Default)]
pub struct Hub {
    links: Arc<Mutex<Links>>,
}

#[derive(Default)]
struct Links {
    by_broker: HashMap<Broker, Weak<Owner>>,
    /// Also those whose thread is still saying good-bye.
    threads: Vec<Weak<Shared>>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hub({:?})", self.lock().by_broker.keys().collect::<Vec<_>>())
    }
}

impl Hub {
    /// Without links.
    pub fn new() -> Self {
        Self::default()
    }

    /// The link to a broker; made, and its thread started, if there is none.
    ///
    /// # Errors
    ///
    /// [`LinkError::BadBroker`] for an address or TLS files that can't be used. A broker that is away is no error.
    pub fn link(&self, broker: Broker) -> Result<Link, LinkError> {
        let mut links = self.lock();
        if let Some(owner) = links.by_broker.get(&broker).and_then(Weak::upgrade) {
            return Ok(Link { owner });
        }
        broker.check()?;
        let bad = |why: String| LinkError::BadBroker { broker: broker.to_string(), why };
        let tls = broker.tls.as_ref().map(|tls| tls.config()).transpose().map_err(bad)?;
        let client_id = worker::client_id(&broker.client_id).map_err(bad)?;
        let shared = Arc::new(Shared::new(broker.clone(), tls));
        worker::spawn(shared.clone(), client_id).map_err(|error| bad(format!("no thread: {error}")))?;
        links.threads.retain(|thread| thread.strong_count() > 0);
        links.threads.push(Arc::downgrade(&shared));
        let owner = Arc::new(Owner { shared });
        links.by_broker.retain(|_, owner| owner.strong_count() > 0);
        links.by_broker.insert(broker, Arc::downgrade(&owner));
        Ok(Link { owner })
    }

    /// How all links are doing.
    pub fn status(&self) -> Vec<Status> {
        let links = self.lock();
        let mut all: Vec<Status> =
            links.by_broker.values().filter_map(Weak::upgrade).map(|owner| Link { owner }.status()).collect();
        all.sort_by(|a, b| a.broker.cmp(&b.broker));
        all
    }

    /// Ends all links: sends what waits, closes in order, and waits for that, `timeout` at most. Whether all ended in time;
    /// those that did not are left to themselves (a broker that does not answer).
    pub fn close(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let threads: Vec<Arc<Shared>> = self.lock().threads.iter().filter_map(Weak::upgrade).collect();
        for shared in &threads {
            shared.stop();
        }
        threads
            .iter()
            .all(|shared| shared.wait(deadline.saturating_duration_since(Instant::now()), |state| state.finished))
    }

    fn lock(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
