//! What keeps the source from working, told when it begins and when it is over.

use std::sync::{Arc, Mutex, PoisonError};

use vehicle::{Trouble, VehicleListener};

use crate::NAME;

/// Everything that can keep the source from working, gravest first: one is told at a time.
const CODES: [&str; 9] = [
    "sign_in",
    "configuration",
    "payment",
    "not_registered",
    "wrong_region",
    "scope",
    "store",
    "pair_key",
    "unreachable",
];

/// The troubles there are, and who is told.
pub(crate) struct Troubles {
    listener: Arc<dyn VehicleListener>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: Vec<Trouble>,
    told: Option<Trouble>,
}

impl Troubles {
    pub(crate) fn new(listener: Arc<dyn VehicleListener>) -> Self {
        Troubles { listener, open: Mutex::default() }
    }

    /// There is one.
    pub(crate) fn raise(&self, code: &'static str, text: impl Into<String>) {
        let trouble = Trouble { code, text: text.into(), needs_person: !matches!(code, "unreachable" | "store") };
        self.change(|all| {
            all.retain(|known| known.code != code);
            all.push(trouble);
        });
    }

    /// These are over.
    pub(crate) fn clear(&self, codes: &[&str]) {
        self.change(|all| all.retain(|known| !codes.contains(&known.code)));
    }

    /// The gravest.
    pub(crate) fn gravest(&self) -> Option<Trouble> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).told.clone()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Trouble>)) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut open.all);
        let rank = |trouble: &Trouble| CODES.iter().position(|code| *code == trouble.code);
        let gravest = open.all.iter().min_by_key(|trouble| rank(trouble).unwrap_or(CODES.len())).cloned();
        if gravest != open.told {
            open.told.clone_from(&gravest);
            self.listener.trouble(NAME, gravest);
        }
    }
}
