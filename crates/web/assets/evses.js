// A card for each charging point.
import { command, el, keyed, setAttribute, setHidden, setText } from './dom.js';
import { amps, bareAmps, energy, percent, span, watts, wholeAmps } from './format.js';
import { text } from './text.js';

const PHASES = ['l1', 'l2', 'l3'];
// The controller of cars that are charging points of their own, and when what it tells is old.
const CARS = 'TeslaCars';
const CAR_OLD_S = 900;

export class Evses {
  #parent;
  #none;
  #cards = new Map();

  constructor(parent, none) {
    this.#parent = parent;
    this.#none = none;
  }

  render(state, clock) {
    const evses = state.evses ?? [];
    setHidden(this.#none, evses.length > 0);
    const make = (evse) => {
      const card = new Card(evse.id);
      this.#cards.set(evse.id, card);
      return card.root;
    };
    for (const [evse] of keyed(this.#parent, evses, (evse) => evse.id, make)) {
      this.#cards.get(evse.id).render(evse, clock);
    }
  }
}

// Which word and colour sum up a charging point.
function stateOf(evse) {
  if (evse.link === 'lost') return 'lost';
  if (evse.activity === 'faulted') return 'faulted';
  if (evse.activity === 'charging') return 'charging';
  if (!evse.is_enabled) return 'off';
  if (evse.link === 'degraded') return 'degraded';
  if (evse.activity === 'idle') return evse.plug === 'plugged_in' ? 'idle_plugged' : 'idle';
  return evse.activity;
}

class Card {
  #id;
  #evse = null;
  #p = {};

  constructor(id) {
    this.#id = id;
    const p = this.#p;
    const titleId = `evse-${id.replace(/[^A-Za-z0-9_-]/g, '_')}`;
    p.name = el('h3', { id: titleId });
    p.badge = el('span', { class: 'badge' });
    p.sentence = el('p', { class: 'sentence', 'aria-live': 'polite' });
    p.power = el('span', { class: 'power' });
    p.offered = el('dd');
    p.drawn = el('dd');
    p.drawnBar = el('div', { class: 'bar-drawn' });
    p.offeredBar = el('div', { class: 'bar-offered' });
    p.bar = el('div', { class: 'bar', role: 'img' }, p.offeredBar, p.drawnBar);
    p.phases = el('dd', { class: 'phases' });
    p.session = el('dd');
    p.car = el('dd');
    p.seen = el('dd');
    p.rows = { seen: row(text.seenBy, p.seen), phases: row(text.phases, p.phases), session: row(text.session, p.session), car: row(text.car, p.car) };
    p.heard = el('span', { class: 'heard' });
    p.start = el('button', { type: 'button' }, text.startCar);
    p.stop = el('button', { type: 'button' }, text.stopCar);
    p.enabled = el('input', { type: 'checkbox', role: 'switch', id: `${titleId}-enabled` });
    p.lower = el('button', { type: 'button', class: 'step' }, '−');
    p.higher = el('button', { type: 'button', class: 'step' }, '+');
    p.priority = el('output');
    p.error = el('p', { class: 'error', role: 'alert' });
    this.root = el('article', { class: 'card evse', 'aria-labelledby': titleId },
      el('header', {}, p.name, p.badge),
      p.sentence,
      el('div', { class: 'draw' }, p.power, p.bar),
      el('dl', {}, row(text.drawn, p.drawn), row(text.offered, p.offered), p.rows.phases, p.rows.session, p.rows.car, p.rows.seen),
      el('div', { class: 'controls' },
        el('span', { class: 'buttons' }, p.start, p.stop, p.heard),
        el('label', { class: 'switch', for: `${titleId}-enabled` }, p.enabled, text.enabled),
        el('span', { class: 'stepper', role: 'group', 'aria-label': text.priority }, el('span', {}, text.priority), p.lower, p.priority, p.higher),
      ),
      p.error,
    );
    p.start.addEventListener('click', () => this.#send('POST', '/start'));
    p.stop.addEventListener('click', () => this.#send('POST', '/stop'));
    p.enabled.addEventListener('change', () => this.#send('PATCH', '', { is_enabled: p.enabled.checked }));
    p.lower.addEventListener('click', () => this.#rank(-1));
    p.higher.addEventListener('click', () => this.#rank(1));
  }

  #send(method, what, body) {
    return command(text, this.#p.error, method, `evses/${encodeURIComponent(this.#id)}${what}`, body).then((ok) => {
      // What the person sees is what holds, not what was wished for.
      if (!ok && this.#evse) this.#p.enabled.checked = this.#evse.is_enabled;
    });
  }

  #rank(step) {
    if (this.#evse) this.#send('PATCH', '', { priority: this.#evse.priority + step });
  }

  render(evse, clock) {
    const p = this.#p;
    const isNew = this.#evse?.is_enabled !== evse.is_enabled;
    this.#evse = evse;
    const state = stateOf(evse);
    // A car tells every few minutes at most; that is no reason to doubt it.
    const isCar = evse.controller === CARS;
    const told = evse.link === 'lost' ? 'stale' : isCar && clock.now - evse.heard_at > CAR_OLD_S ? 'ageing' : 'live';
    const freshness = clock.freshness(told, isCar ? null : evse.heard_at);
    setAttribute(this.root, 'data-state', state);
    setAttribute(this.root, 'data-freshness', freshness);
    setText(p.name, evse.name);
    setText(p.badge, text.states[state] ?? state);
    setText(p.sentence, evse.sentence);
    setText(p.power, evse.is_estimate ? text.approximately(watts(evse.power_w)) : watts(evse.power_w));
    setText(p.drawn, amps(evse.drawn_a));
    setText(p.offered, this.#offer(evse));
    this.#bar(evse);
    this.#phases(evse);
    setHidden(p.rows.session, !evse.session);
    if (evse.session) {
      const about = evse.session.is_estimate ? '≈ ' : '';
      setText(p.session, about + text.sessionFor(energy(evse.session.energy_wh), span(evse.session.charging_s)));
    }
    const car = [evse.vin, typeof evse.soc === 'number' ? percent(evse.soc) : null].filter(Boolean).join(' · ');
    setHidden(p.rows.car, car === '');
    setText(p.car, car);
    const views = evse.car?.views ?? [];
    setHidden(p.rows.seen, views.length < 2);
    setText(p.seen, views.map(seenBy).join(' · '));
    setText(p.heard, text.heard(span(clock.now - evse.heard_at)));
    setAttribute(p.start, 'aria-label', text.startPoint(evse.name));
    setAttribute(p.stop, 'aria-label', text.stopPoint(evse.name));
    for (const button of [p.start, p.stop]) button.disabled = evse.plug === 'unplugged';
    setHidden(p.start, !(evse.capabilities?.start || evse.capabilities?.on_request));
    setHidden(p.stop, !(evse.capabilities?.stop || evse.capabilities?.on_request));
    if (isNew) p.enabled.checked = evse.is_enabled;
    setText(p.priority, evse.priority);
    setAttribute(p.lower, 'aria-label', text.lower(evse.name));
    setAttribute(p.higher, 'aria-label', text.higher(evse.name));
  }

  #offer(evse) {
    const told = amps(evse.offered_a);
    const reason = evse.bound_by?.text;
    const isSaid = !reason || evse.sentence.toLowerCase().includes(reason.toLowerCase());
    return isSaid ? told : `${told} · ${reason}`;
  }

  #bar(evse) {
    const p = this.#p;
    const most = evse.max_a > 0 ? evse.max_a : 1;
    const part = (value) => `${Math.min(100, Math.max(0, ((value ?? 0) / most) * 100)).toFixed(1)}%`;
    p.drawnBar.style.width = part(evse.drawn_a);
    p.offeredBar.style.width = part(evse.offered_a);
    setAttribute(p.bar, 'aria-label', text.meter(amps(evse.drawn_a), amps(evse.offered_a), wholeAmps(evse.max_a)));
  }

  #phases(evse) {
    const per = evse.drawn_per_phase_a ?? {};
    const known = PHASES.filter((phase) => typeof per[phase] === 'number');
    setHidden(this.#p.rows.phases, known.length < 2);
    for (const [phase, item] of keyed(this.#p.phases, known, (phase) => phase, () => el('span'))) {
      setText(item, `${phase.toUpperCase()} ${bareAmps(per[phase])}`);
    }
  }
}

// One of the ways in which the car is seen.
function seenBy(view) {
  const who = view.is_local ? view.name : view.controller === CARS ? text.itself : view.controller;
  return view.by === 'possible' ? text.possibly(`${who} (${view.name})`) : who;
}

function row(name, value) {
  return el('div', {}, el('dt', {}, name), value);
}
