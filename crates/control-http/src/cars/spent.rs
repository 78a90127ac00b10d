//! What calls cost, as JSON. Money is in dollars, as the maker bills it.

use std::collections::BTreeMap;

use garage::{BudgetView, CarView, Entry, MicroDollars, PeriodView, Prices, Purpose};
use serde_json::{Value, json};
use vehicle::Spent;

/// The budget.
pub(crate) fn budget(view: &BudgetView, prices: Prices, cars: &[CarView]) -> Value {
    let text = view.is_payment_due.then(|| garage::Why::PaymentDue.to_string());
    json!({
        "is_stopped": view.is_payment_due,
        "stopped_text": text,
        "prices": {
            "command_usd": dollars(prices.command),
            "data_usd": dollars(prices.data),
            "wake_usd": dollars(prices.wake),
        },
        "day": period(&view.day, prices, cars),
        "month": period(&view.month, prices, cars),
    })
}

/// Millionths of a dollar as dollars.
pub(super) fn dollars(micro: MicroDollars) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact up to nine billion dollars")]
    let micro = micro as f64;
    micro / 1_000_000.0
}

fn period(view: &PeriodView, prices: Prices, cars: &[CarView]) -> Value {
    let caps = &view.caps;
    let money = caps.money.map(|money| money.saturating_sub(view.cost));
    let left = |cap: Option<u32>, used: u32| cap.map(|cap| cap.saturating_sub(used));
    let by_purpose = sums(&view.entries, |entry| word(entry.purpose).to_owned());
    let by_car = sums(&view.entries, |entry| entry.car.clone());
    json!({
        "used": used(view.used, prices),
        "used_percent": view.used_percent,
        "allowance": {
            "usd": caps.money.map(dollars), "commands": caps.commands, "data": caps.data, "wakes": caps.wakes,
        },
        "left": {
            "usd": money.map(dollars),
            "commands": left(caps.commands, view.used.commands),
            "data": left(caps.data, view.used.data),
            "wakes": left(caps.wakes, view.used.wakes),
        },
        "by_purpose": rows(&by_purpose, prices, |purpose, row| row["purpose"] = purpose.into()),
        "by_car": rows(&by_car, prices, |car, row| {
            let name = cars.iter().find(|known| known.key.as_str() == car).map(CarView::name);
            row["car"] = (!car.is_empty()).then_some(car).into();
            row["name"] = name.or_else(|| (!car.is_empty()).then_some(car)).into();
        }),
    })
}

fn sums(entries: &[Entry], key: impl Fn(&Entry) -> String) -> BTreeMap<String, Spent> {
    let mut sums: BTreeMap<String, Spent> = BTreeMap::new();
    for entry in entries {
        let spent = Spent { commands: entry.commands, data: entry.data, wakes: entry.wakes };
        *sums.entry(key(entry)).or_insert(Spent::NOTHING) += spent;
    }
    sums
}

/// The dearest first.
fn rows(sums: &BTreeMap<String, Spent>, prices: Prices, name: impl Fn(&str, &mut Value)) -> Vec<Value> {
    let mut sums: Vec<(&String, Spent)> = sums.iter().map(|(key, spent)| (key, *spent)).collect();
    sums.sort_by_key(|(_, spent)| std::cmp::Reverse(prices.cost(*spent)));
    let row = |(key, spent): (&String, Spent)| {
        let mut row = used(spent, prices);
        name(key, &mut row);
        row
    };
    sums.into_iter().map(row).collect()
}

fn used(spent: Spent, prices: Prices) -> Value {
    json!({
        "commands": spent.commands,
        "data": spent.data,
        "wakes": spent.wakes,
        "usd": dollars(prices.cost(spent)),
    })
}

/// The word of the ledger on disk.
fn word(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Polling => "polling",
        Purpose::Looking => "looking",
        Purpose::Start => "start",
        Purpose::Stop => "stop",
        Purpose::Reduce => "reduce",
        Purpose::Rate => "rate",
        Purpose::Limit => "limit",
        Purpose::Wake => "wake",
        Purpose::Person => "person",
    }
}
