//! The bus thread.

use std::sync::Arc;

use evse::EvseListener;

use crate::controller::Published;
use crate::mailbox::Mailbox;
use crate::{Gen2Settings, Monitor};

pub(crate) struct Runner {
    settings: Gen2Settings,
    listener: Arc<dyn EvseListener>,
    monitor: Option<Monitor>,
    mailbox: Arc<Mailbox>,
    published: Arc<Published>,
}

impl Runner {
    pub(crate) fn new(
        settings: Gen2Settings,
        listener: Arc<dyn EvseListener>,
        monitor: Option<Monitor>,
        mailbox: Arc<Mailbox>,
        published: Arc<Published>,
    ) -> Self {
        Runner { settings, listener, monitor, mailbox, published }
    }

    pub(crate) fn supervise(self) {
        let _ = (&self.settings, &self.listener, &self.monitor, &self.published);
        self.mailbox.end();
    }
}
