//! What was billed, in the classes of the vendor's price list of 2025.

use std::collections::BTreeMap;

use crate::exchange::Class;

/// Requests that were billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Commands, plain and signed, and handshakes.
    pub commands: u64,
    /// Questions.
    pub data: u64,
    /// Requests to wake.
    pub wakes: u64,
}

impl Spent {
    /// All of them.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.commands + self.data + self.wakes
    }

    /// What they cost, millionths of a US dollar.
    #[must_use]
    pub fn micro_dollars(&self) -> u64 {
        self.commands * 1_000 + self.data * 2_000 + self.wakes * 20_000
    }

    fn add(&mut self, class: Class) {
        match class {
            Class::Command => self.commands += 1,
            Class::Data => self.data += 1,
            Class::Wake => self.wakes += 1,
        }
    }
}

/// What was billed, in all and by car.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Billing {
    /// In all.
    pub total: Spent,
    /// By VIN; what concerns no single car is only in the total.
    pub by_car: BTreeMap<String, Spent>,
    /// Requests that would have cost but got a status of 500 or more.
    pub unbilled: u64,
}

impl Billing {
    /// What one car cost.
    #[must_use]
    pub fn of(&self, vin: &str) -> Spent {
        self.by_car.get(vin).copied().unwrap_or_default()
    }

    /// Bills a request; tells what it was billed as.
    pub(crate) fn take(&mut self, class: Option<Class>, vin: Option<&str>, status: u16) -> Option<Class> {
        let class = class?;
        if status >= 500 {
            self.unbilled += 1;
            return None;
        }
        self.total.add(class);
        if let Some(vin) = vin {
            self.by_car.entry(vin.to_owned()).or_default().add(class);
        }
        Some(class)
    }
}
