//! Between the controllers and the site: every car once, whoever sees it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use units::{Amps, Phases};

use self::scene::{Scene, doubt_event, doubt_text, view_of};
pub use self::view::{AtConnector, MatchedBy, MergeNews, MergeSettings, REFUSES, TOLD_PHASES, View};
use crate::matching::{Odds, SLACK, Said, Trail};
use crate::merged::{MergeTable, Merged};
use crate::{Detail, EvseId, EvseInstance, EvseStatus, Plug, Vin};

mod scene;
mod view;

/// From this confidence on a car counts as being at a connector.
const SURE: f64 = 0.8;
/// Once it counts, it does so until its confidence falls below this.
const DOUBTFUL: f64 = 0.5;
/// Below this it counts as being somewhere else.
const UNLIKELY: f64 = 0.1;
/// So much likelier than any other pairing, as odds, must it be.
const MARGIN: f64 = 1.0;
/// A doubt is told to people when it lasts longer.
const PATIENCE: Duration = Duration::from_secs(600);
/// A car that had a share of its own keeps it beside a connector that was plugged in just now: the connector may tell its VIN
/// yet, and the car that it was plugged in all the time.
const GRACE: Duration = Duration::from_secs(300);
/// A car whose charging point was forgotten while it was there, as when its bus begins anew, waits so long for it to be found
/// again before it counts as being somewhere else.
const FOUND_AGAIN: Duration = Duration::from_secs(90);
/// Reports that wait for what the connectors saw after them.
const MOST_WAITING: usize = 16;

/// A car's own view, and what it said.
#[derive(Default)]
struct Car {
    heard: Option<Instant>,
    /// Since when it has said all the time that it is plugged in.
    plugged_since: Option<Instant>,
    before: Option<Said>,
    waiting: VecDeque<Said>,
}

/// A car that may be at a connector.
struct Doubt {
    since: Instant,
    connectors: Vec<EvseId>,
    is_told: bool,
}

/// One EVSE as the site is to see it.
struct Whole {
    instance: Arc<dyn EvseInstance>,
    views: Vec<View>,
    parts: Vec<EvseId>,
}

/// Takes the instances of all controllers and gives those that the site should see: every car once.
///
/// | family | methods |
/// |---|---|
/// | feed | [`Merger::handle_changed`], [`Merger::handle_gone`], [`Merger::handle_settings`] |
/// | time | [`Merger::next_timeout`], [`Merger::handle_timeout`] |
/// | drain | [`Merger::poll_news`] until `None`, after every feed |
/// | look | [`Merger::instance`], [`Merger::instances`] |
///
/// A charging point keeps its id whatever becomes of the views of its car. Two charging points are never made one, and what
/// is committed to a charging point is counted whatever a car says.
#[derive(Default)]
pub struct Merger {
    settings: MergeSettings,
    raw: BTreeMap<EvseId, Arc<dyn EvseInstance>>,
    trails: BTreeMap<EvseId, Trail>,
    cars: BTreeMap<EvseId, Car>,
    /// By car, then charging point.
    odds: BTreeMap<(EvseId, EvseId), Odds>,
    /// Car to charging point, as learnt.
    learnt: BTreeMap<EvseId, EvseId>,
    /// Car to charging point, however known, as of the last time.
    joined: BTreeMap<EvseId, EvseId>,
    /// Who had no car the last time.
    empty: BTreeSet<EvseId>,
    /// Before this not all charging points have been found.
    finding_until: Option<Instant>,
    /// Cars whose charging point was forgotten while they were there, and when that was noticed.
    orphans: BTreeMap<EvseId, Option<Instant>>,
    doubts: BTreeMap<EvseId, Doubt>,
    wholes: BTreeMap<EvseId, Whole>,
    at: BTreeMap<Vin, AtConnector>,
    /// What changed since the last time; all of it when the settings did.
    dirty: BTreeSet<EvseId>,
    is_dirty: bool,
    news: VecDeque<MergeNews>,
}

impl Merger {
    /// Without any instances.
    #[must_use]
    pub fn new(settings: MergeSettings) -> Self {
        Merger { settings, ..Merger::default() }
    }

    /// The same, while charging points are still looked for: until then a car that none of them is known to have is not
    /// shown, since it may be at one that is not found yet. Told to stop because it has no share of its own, or counted
    /// beside its connector, it would be the worse for a restart.
    #[must_use]
    pub fn finding_until(self, until: Option<Instant>) -> Self {
        Merger { finding_until: until, ..self }
    }

    /// The settings, as they are now.
    pub fn handle_settings(&mut self, settings: MergeSettings) {
        if self.settings != settings {
            self.settings = settings;
            self.is_dirty = true;
            self.dirty.extend(self.raw.keys().cloned());
        }
    }

    /// An instance appeared or changed.
    pub fn handle_changed(&mut self, now: Instant, instance: Arc<dyn EvseInstance>) {
        let id = instance.id().clone();
        self.raw.insert(id.clone(), instance);
        self.observe(now, &id);
        self.dirty.insert(id);
        self.is_dirty = true;
    }

    /// An instance was forgotten by its controller.
    pub fn handle_gone(&mut self, id: &EvseId) {
        let was_local = self.raw.remove(id).is_some_and(|instance| instance.is_local());
        if was_local {
            let here = self.joined.iter().filter(|(_, at)| *at == id);
            self.orphans.extend(here.map(|(car, _)| (car.clone(), None)));
        }
        self.trails.remove(id);
        if self.cars.remove(id).is_some() {
            self.orphans.remove(id);
            // It drove away; what was learnt of it stays as a habit.
            self.odds.iter_mut().filter(|((car, _), _)| car == id).for_each(|(_, odds)| odds.rest());
        }
        self.is_dirty = true;
    }

    /// Looks at all instances anew; call when [`Merger::next_timeout`] says so, or to pass on what changed in silence.
    pub fn handle_timeout(&mut self, now: Instant) {
        let ids: Vec<EvseId> = self.raw.keys().cloned().collect();
        for id in ids {
            self.observe(now, &id);
            self.dirty.insert(id);
        }
        self.is_dirty = true;
    }

    /// When time alone may bring news.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let reports = self.cars.values().filter_map(|car| car.waiting.front()).map(|said| said.at + SLACK);
        let doubts = self.doubts.values().filter(|doubt| !doubt.is_told).map(|doubt| doubt.since + PATIENCE);
        let orphans = self.orphans.values().flatten().map(|since| *since + FOUND_AGAIN);
        reports.chain(doubts).chain(orphans).chain(self.finding_until).min()
    }

    /// The next news.
    pub fn poll_news(&mut self, now: Instant) -> Option<MergeNews> {
        if std::mem::take(&mut self.is_dirty) {
            self.settle(now);
        }
        self.news.pop_front()
    }

    /// One EVSE as the site sees it.
    #[must_use]
    pub fn instance(&self, id: &EvseId) -> Option<&Arc<dyn EvseInstance>> {
        self.wholes.get(id).map(|whole| &whole.instance)
    }

    /// All EVSEs as the site sees them, with their views.
    pub fn instances(&self) -> impl Iterator<Item = (&Arc<dyn EvseInstance>, &[View])> {
        self.wholes.values().map(|whole| (&whole.instance, whole.views.as_slice()))
    }

    fn observe(&mut self, now: Instant, id: &EvseId) {
        let Some(instance) = self.raw.get(id) else { return };
        let status = instance.status();
        if instance.is_local() {
            self.trails.entry(id.clone()).or_default().note(now, &status);
            return;
        }
        let car = self.cars.entry(id.clone()).or_default();
        if car.heard.is_some_and(|heard| status.heard_at <= heard) || status.is_estimate {
            return;
        }
        car.heard = Some(status.heard_at);
        car.plugged_since = (status.plug == Plug::PluggedIn).then(|| car.plugged_since.unwrap_or(status.heard_at));
        car.waiting.push_back(Said::of(&status));
        if car.waiting.len() > MOST_WAITING {
            car.waiting.pop_front();
        }
    }

    /// Holds the reports of cars against what the connectors saw, as soon as they saw what came after.
    fn judge(&mut self, now: Instant) {
        for (id, car) in &mut self.cars {
            while let Some(said) = car.waiting.front().copied().filter(|said| said.at + SLACK <= now) {
                car.waiting.pop_front();
                for (connector, trail) in &self.trails {
                    let odds = self.odds.entry((id.clone(), connector.clone())).or_default();
                    odds.judge(car.before, said, trail);
                }
                if said.plug == Plug::Unplugged && car.before.is_some_and(|before| before.plug == Plug::PluggedIn) {
                    self.odds.iter_mut().filter(|((of, _), _)| of == id).for_each(|(_, odds)| odds.rest());
                }
                car.before = Some(said);
            }
        }
        for (connector, trail) in &self.trails {
            if trail.empty_since().is_none() {
                self.empty.remove(connector);
            } else if self.empty.insert(connector.clone()) {
                self.odds.iter_mut().filter(|((_, at), _)| at == connector).for_each(|(_, odds)| odds.rest());
            }
        }
    }

    fn settle(&mut self, now: Instant) {
        self.judge(now);
        let instances: Vec<Arc<dyn EvseInstance>> = self.raw.values().cloned().collect();
        let statuses: Vec<Arc<EvseStatus>> = instances.iter().map(|instance| instance.status()).collect();
        let mut scene =
            Scene { instances: &instances, statuses: &statuses, by: BTreeMap::new(), suspended: BTreeSet::new() };
        self.pin(&mut scene);
        self.keep(&mut scene);
        self.guess(now, &mut scene);
        let table = MergeTable {
            routing: self.settings.routing,
            pins: scene.by.iter().map(|(car, (at, ..))| vec![at.clone(), car.clone()]).collect(),
        };
        let groups = table.groups(&instances, &statuses);
        self.wait_for_connectors(now);
        self.assemble(&scene, &groups);
        self.doubt(now, &scene);
        self.tell_cars(&scene);
        self.dirty.clear();
    }

    /// Ends waits that are over.
    fn wait_for_connectors(&mut self, now: Instant) {
        if self.finding_until.is_some_and(|until| until <= now) {
            self.finding_until = None;
        }
        self.orphans.retain(|_, since| *since.get_or_insert(now) + FOUND_AGAIN > now);
    }

    /// Whether a car may be at a charging point that is not known, or not known any more.
    fn may_be_found_elsewhere(&self, status: &EvseStatus) -> bool {
        let is_pinned_to_itself = status.vin.is_some() && self.settings.pins.get(&status.id) == status.vin.as_ref();
        (self.finding_until.is_some() || self.orphans.contains_key(&status.id))
            && !is_pinned_to_itself
            && !status.is_on_circuit
    }

    /// What people pinned.
    fn pin(&self, scene: &mut Scene<'_>) {
        let statuses = scene.statuses;
        for (index, status) in statuses.iter().enumerate() {
            if scene.is_local(index) {
                continue;
            }
            let pinned = |at: &usize| {
                status.vin.is_some()
                    && scene.is_local(*at)
                    && self.settings.pins.get(&scene.statuses[*at].id) == status.vin.as_ref()
            };
            // One car cannot be at two of them: the likelier counts.
            let at = (0..scene.statuses.len()).filter(pinned).max_by_key(|at| {
                let status = &scene.statuses[*at];
                (status.is_charging(), status.plug == Plug::PluggedIn, status.heard_at)
            });
            let Some(at) = at else { continue };
            let connector = scene.statuses[at].id.clone();
            if self.is_elsewhere(status, &scene.statuses[at]) {
                scene.suspended.insert(connector);
            } else {
                scene.by.insert(status.id.clone(), (connector, MatchedBy::Pin, 1.0));
            }
        }
    }

    /// Whether a car is surely not at the connector that it is pinned to: a pin says which car it is when one is there, not
    /// that it never goes anywhere else.
    fn is_elsewhere(&self, car: &EvseStatus, connector: &EvseStatus) -> bool {
        let trail = self.trails.get(&connector.id);
        match (connector.plug, car.plug) {
            (Plug::PluggedIn, _) if connector.vin.is_some() && connector.vin != car.vin => true,
            (Plug::Unplugged, Plug::PluggedIn) => {
                trail.and_then(Trail::empty_since).is_some_and(|left| car.heard_at > left + SLACK)
            }
            // Somebody else's car, when ours says afterwards that it is not plugged in.
            (Plug::PluggedIn, Plug::Unplugged) => {
                trail.and_then(Trail::plugged_since).is_some_and(|came| car.heard_at > came + SLACK)
            }
            _ => false,
        }
    }

    /// A connector that is empty now was left a moment ago; what a car said before that is old.
    fn keep(&self, scene: &mut Scene<'_>) {
        let statuses = scene.statuses;
        for (index, status) in statuses.iter().enumerate() {
            if scene.is_local(index) || status.is_on_circuit {
                continue;
            }
            let id = &status.id;
            let Some(at) = self.joined.get(id).filter(|at| self.raw.contains_key(*at) && !scene.is_taken(at)) else {
                continue;
            };
            let left = self.trails.get(at).and_then(Trail::empty_since);
            if left.is_some_and(|left| status.heard_at < left + SLACK) && !scene.by.contains_key(id) {
                scene.by.insert(id.clone(), (at.clone(), MatchedBy::Behaviour, SURE));
            }
        }
    }

    /// Pairs cars and connectors that tell no VIN, the likeliest first.
    fn guess(&mut self, now: Instant, scene: &mut Scene<'_>) {
        let cars: Vec<EvseId> = scene.unclear_cars(&self.settings);
        let connectors: Vec<EvseId> = scene.blind_connectors(&self.settings);
        let mut pairs: Vec<(f64, EvseId, EvseId)> = Vec::new();
        for car in &cars {
            for at in &connectors {
                let odds = self.odds.get(&(car.clone(), at.clone())).copied().unwrap_or_default();
                let plugged = self.trails.get(at).and_then(Trail::plugged_since);
                let before = self.cars.get(car).and_then(|car| car.plugged_since);
                let is_new = plugged.is_some_and(|since| {
                    let was_elsewhere = before.is_some_and(|before| before + SLACK < since);
                    was_elsewhere && now.saturating_duration_since(since) < GRACE
                });
                if is_new && self.wholes.contains_key(car) && odds.confidence() < DOUBTFUL {
                    continue;
                }
                pairs.push((odds.value, car.clone(), at.clone()));
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut learnt, mut taken) = (BTreeMap::new(), BTreeSet::new());
        for (odds, car, at) in &pairs {
            if learnt.contains_key(car) || taken.contains(at) {
                continue;
            }
            let was = self.learnt.get(car) == Some(at);
            let is_rival = |(other, rival, place): &(f64, EvseId, EvseId)| {
                (rival == car) != (place == at)
                    && !learnt.contains_key(rival)
                    && !taken.contains(place)
                    && *other > odds - MARGIN
            };
            let confidence = crate::matching::confidence(*odds);
            if confidence >= if was { DOUBTFUL } else { SURE } && (was || !pairs.iter().any(is_rival)) {
                learnt.insert(car.clone(), at.clone());
                taken.insert(at.clone());
                scene.by.insert(car.clone(), (at.clone(), MatchedBy::Behaviour, confidence));
            }
        }
        for (odds, car, at) in pairs.iter().cloned() {
            let confidence = crate::matching::confidence(odds);
            if !learnt.contains_key(&car) && !taken.contains(&at) && confidence > UNLIKELY {
                let doubt = self.doubts.entry(car).or_insert_with(|| Doubt {
                    since: now,
                    connectors: Vec::new(),
                    is_told: false,
                });
                if !doubt.connectors.contains(&at) {
                    doubt.connectors.push(at);
                }
            }
        }
        let is_open = |car: &EvseId, at: &EvseId| {
            pairs.iter().any(|(_, other, place)| other == car && place == at)
                && !learnt.contains_key(car)
                && !taken.contains(at)
        };
        let odds = &self.odds;
        for (car, doubt) in &mut self.doubts {
            doubt.connectors.retain(|at| {
                let odds = odds.get(&(car.clone(), at.clone())).copied().unwrap_or_default();
                is_open(car, at) && odds.confidence() > UNLIKELY
            });
        }
        self.learnt = learnt;
    }

    /// Makes the wholes of the groups and tells what is different.
    fn assemble(&mut self, scene: &Scene<'_>, groups: &[usize]) {
        let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, group) in groups.iter().enumerate() {
            parts.entry(*group).or_default().push(index);
        }
        self.joined.clear();
        let mut wholes = BTreeMap::new();
        for members in parts.into_values() {
            let is_hidden = |index: &usize| {
                let status = &scene.statuses[*index];
                !scene.is_local(*index)
                    && (self.doubts.get(&status.id).is_some_and(|doubt| !doubt.connectors.is_empty())
                        || self.may_be_found_elsewhere(status))
            };
            if members.iter().all(is_hidden) {
                continue;
            }
            if let Some(whole) = self.whole(scene, members) {
                wholes.insert(whole.instance.id().clone(), whole);
            }
        }
        for (car, doubt) in &self.doubts {
            for at in &doubt.connectors {
                let odds = self.odds.get(&(car.clone(), at.clone())).copied().unwrap_or_default();
                let (Some(view), Some(whole)) = (scene.status(car), wholes.get_mut(at)) else { continue };
                whole.views.push(view_of(view, false, MatchedBy::Possible, odds.confidence()));
            }
        }
        for id in self.wholes.keys().filter(|id| !wholes.contains_key(*id)) {
            self.news.push_back(MergeNews::Gone(id.clone()));
        }
        for (id, whole) in &wholes {
            let is_same = self.wholes.get(id).is_some_and(|old| old.views == whole.views)
                && !whole.parts.iter().any(|part| self.dirty.contains(part));
            if !is_same {
                let (instance, views) = (Arc::clone(&whole.instance), whole.views.clone());
                self.news.push_back(MergeNews::Changed { instance, views });
            }
        }
        self.wholes = wholes;
    }

    fn whole(&mut self, scene: &Scene<'_>, mut members: Vec<usize>) -> Option<Whole> {
        members.sort_by_key(|index| !scene.is_local(*index));
        let lead = scene.statuses.get(*members.first()?)?;
        let has_point = scene.is_local(*members.first()?);
        let mut views = Vec::new();
        let mut is_guess = false;
        for index in &members {
            let status = &scene.statuses[*index];
            let (by, confidence) = match scene.by.get(&status.id) {
                Some((_, by, confidence)) => (*by, *confidence),
                None if status.id == lead.id => (MatchedBy::Itself, 1.0),
                None => (MatchedBy::Vin, 1.0),
            };
            is_guess |= by == MatchedBy::Behaviour;
            if has_point && !scene.is_local(*index) {
                self.joined.insert(status.id.clone(), lead.id.clone());
            }
            views.push(view_of(status, scene.is_local(*index), by, confidence));
        }
        let parts: Vec<EvseId> = members.iter().map(|index| scene.statuses[*index].id.clone()).collect();
        let pinned = self.settings.pins.get(&lead.id).filter(|_| has_point && !scene.suspended.contains(&lead.id));
        let vin = members.iter().find_map(|index| scene.statuses[*index].vin.as_ref()).or(pinned);
        let phases = self.phases(scene, &members, vin);
        let instance = if members.len() == 1 && phases.is_none() {
            Arc::clone(&scene.instances[*members.first()?])
        } else {
            let routing = vin
                .and_then(|vin| self.settings.routing_of_car.get(vin))
                .or_else(|| self.settings.routing_of_point.get(&lead.id))
                .copied()
                .unwrap_or(self.settings.routing);
            let all = members.iter().map(|index| Arc::clone(&scene.instances[*index])).collect();
            Arc::new(Merged::new(all, routing)?.on_phases(phases).as_guess(is_guess)) as Arc<dyn EvseInstance>
        };
        Some(Whole { instance, views, parts })
    }

    /// Phases that its car uses, where that is known better than the first part knows it: set by a person, or told by the
    /// car while its connector does not measure each phase.
    fn phases(&self, scene: &Scene<'_>, members: &[usize], vin: Option<&Vin>) -> Option<Phases> {
        let lead = &scene.statuses[*members.first()?];
        if let Some(set) = vin.and_then(|vin| self.settings.phases.get(vin)) {
            return Some(*set).filter(|set| *set != lead.limits.phases);
        }
        let measures = |amps: &Amps| *amps >= Amps::from_whole(1);
        if lead.drawn_per_phase.into_array().iter().flatten().any(measures) {
            return None;
        }
        let told = members.iter().skip(1).find_map(|index| {
            let status = &scene.statuses[*index];
            let is_told = matches!(status.details.get(TOLD_PHASES), Some(Detail::Number(_)));
            is_told.then_some(status.limits.phases)
        });
        told.filter(|told| *told != lead.limits.phases)
    }

    /// Tells what could not be decided for long, and when it is.
    fn doubt(&mut self, now: Instant, scene: &Scene<'_>) {
        let mut events = Vec::new();
        self.doubts.retain(|car, doubt| {
            let status = scene.status(car);
            if doubt.connectors.is_empty() || status.is_none() {
                if doubt.is_told {
                    events.push(doubt_event(car, status, "It is clear now which car is where.".to_owned(), true));
                }
                return false;
            }
            if !doubt.is_told && now.saturating_duration_since(doubt.since) >= PATIENCE {
                doubt.is_told = true;
                events.push(doubt_event(car, status, doubt_text(car, scene, &doubt.connectors), false));
            }
            true
        });
        self.news.extend(events.into_iter().map(MergeNews::Event));
    }

    /// Tells which car is at which charging point, where that changed.
    fn tell_cars(&mut self, scene: &Scene<'_>) {
        let mut at = BTreeMap::new();
        for whole in self.wholes.values().filter(|whole| whole.instance.is_local()) {
            let status = whole.instance.status();
            let pinned = self.settings.pins.get(&status.id).filter(|_| !scene.suspended.contains(&status.id));
            let Some(vin) = status.vin.clone().or_else(|| pinned.cloned()) else { continue };
            let is_guess = whole.views.iter().any(|view| view.by == MatchedBy::Behaviour);
            if is_guess || status.plug == Plug::Unplugged {
                continue;
            }
            let (plug, drawn, offered) = (status.plug, status.drawn, status.offered);
            at.insert(vin, AtConnector { connector: status.id.clone(), plug, drawn, offered });
        }
        for vin in self.at.keys().filter(|vin| !at.contains_key(*vin)) {
            self.news.push_back(MergeNews::AtConnector { vin: vin.clone(), at: None });
        }
        for (vin, here) in &at {
            if self.at.get(vin) != Some(here) {
                self.news.push_back(MergeNews::AtConnector { vin: vin.clone(), at: Some(here.clone()) });
            }
        }
        self.at = at;
    }
}

#[cfg(test)]
mod tests;
