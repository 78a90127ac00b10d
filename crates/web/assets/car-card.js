// A card for one car. Its name comes from the car: it goes in as text only.
import { command, el, keyed, setAttribute, setHidden, setText } from './dom.js';
import { percent, span, watts, wholeAmps } from './format.js';
import { text } from './text.js';

// Older than this, the age of a number is said.
const OLD_S = 600;
let count = 0;

function badgeOf(car) {
  if (car.is_charging) return 'charging';
  if (car.not_permitted || car.terms?.permission === 'deny') return 'denied';
  if (car.place === 'away') return 'away';
  if (car.wakefulness === 'asleep') return 'asleep';
  if (car.is_plugged_in) return 'plugged';
  return car.place;
}

export class CarCard {
  #id;
  #car = null;
  #changed;
  #isLimitTouched = false;
  #p = {};

  constructor(id, changed) {
    this.#id = id;
    this.#changed = changed;
    const p = this.#p;
    count += 1;
    const titleId = `car-${count}`;
    p.name = el('h3', { id: titleId });
    p.badge = el('span', { class: 'badge' });
    p.soc = el('span', { class: 'power' });
    p.about = el('span', { class: 'quiet' });
    p.fill = el('div', { class: 'bar-charge' });
    p.limit = el('div', { class: 'mark mark-limit' });
    p.least = el('div', { class: 'mark mark-least' });
    p.bar = el('div', { class: 'bar battery', role: 'img' }, p.fill, p.least, p.limit);
    p.age = el('p', { class: 'quiet old' });
    p.charge = el('div', { class: 'draw' }, el('p', { class: 'charge' }, p.soc, p.about), p.bar, p.age);
    p.where = el('p', { class: 'where' });
    p.why = el('p', { class: 'sentence', 'aria-live': 'polite' });
    p.draws = el('dd');
    p.wanted = el('dd');
    p.asked = el('dd');
    p.starts = el('dd');
    p.vin = el('dd');
    p.rows = { draws: row(text.draws, p.draws), wanted: row(text.wants, p.wanted), asked: row(text.doing, p.asked), starts: row(text.starts, p.starts), vin: row(text.vin, p.vin) };
    this.#makePin();
    this.#makeControls(titleId);
    p.error = el('p', { class: 'error', role: 'alert' });
    this.root = el('article', { class: 'card evse car', 'aria-labelledby': titleId },
      el('header', {}, p.name, p.badge),
      p.charge,
      p.where, p.why, p.pin,
      el('dl', {}, p.rows.draws, p.rows.wanted, p.rows.asked, p.rows.starts, p.rows.vin),
      el('div', { class: 'controls' }, el('span', { class: 'buttons' }, p.start, p.stop, p.wake), p.limitForm, p.terms, p.noVin),
      p.error,
    );
  }

  #makePin() {
    const p = this.#p;
    p.question = el('p');
    p.answers = el('div', { class: 'buttons' });
    p.pin = el('div', { class: 'alert pin', role: 'group' }, p.question, p.answers);
    setHidden(p.pin, true);
  }

  #makeControls(titleId) {
    const p = this.#p;
    p.start = el('button', { type: 'button' }, text.startCar);
    p.stop = el('button', { type: 'button' }, text.stopCar);
    p.wake = el('button', { type: 'button' }, text.wake);
    p.permission = el('select', { id: `${titleId}-permission` },
      ...Object.entries(text.permissions).map(([value, name]) => el('option', { value }, name)));
    p.leastInput = el('input', { type: 'number', min: 0, max: 100, step: 5, inputmode: 'numeric', id: `${titleId}-least` });
    p.limitInput = el('input', { type: 'number', min: 50, max: 100, step: 1, required: true, inputmode: 'numeric', id: `${titleId}-limit` });
    p.limitSet = el('button', { type: 'submit', class: 'small' }, text.setLimit);
    p.limitForm = el('form', { class: 'inline' }, el('label', { class: 'inline' }, el('span', {}, text.chargeLimit), p.limitInput, '%'), p.limitSet);
    p.lower = el('button', { type: 'button', class: 'step' }, '−');
    p.higher = el('button', { type: 'button', class: 'step' }, '+');
    p.priority = el('output');
    p.terms = el('div', { class: 'terms' },
      el('label', { class: 'inline' }, el('span', {}, text.permission), p.permission),
      el('label', { class: 'inline' }, el('span', {}, text.least), p.leastInput, '%'),
      el('span', { class: 'stepper', role: 'group', 'aria-label': text.priority }, el('span', {}, text.priority), p.lower, p.priority, p.higher));
    p.noVin = el('p', { class: 'hint' }, text.noVin);
    p.start.addEventListener('click', () => this.#start());
    p.stop.addEventListener('click', () => this.#send('POST', '/stop'));
    p.wake.addEventListener('click', () => window.confirm(text.wakeSure(this.#car.name, this.#car.wake_usd)) && this.#send('POST', '/wake'));
    p.permission.addEventListener('change', () => this.#set({ permission: p.permission.value === 'inherit' ? null : p.permission.value }));
    p.leastInput.addEventListener('change', () => this.#set({ min_soc: Number.isNaN(p.leastInput.valueAsNumber) ? null : p.leastInput.valueAsNumber }));
    p.limitInput.addEventListener('input', () => { this.#isLimitTouched = true; });
    p.limitForm.addEventListener('submit', (event) => this.#limit(event));
    p.lower.addEventListener('click', () => this.#rank(-1));
    p.higher.addEventListener('click', () => this.#rank(1));
  }

  #start() {
    if (this.#mayWake(text.startSure)) this.#send('POST', '/start');
  }

  // Asks before a car is woken for money.
  #mayWake(question) {
    const { name, wakefulness, wake_usd: usd } = this.#car;
    return wakefulness !== 'asleep' || !(usd > 0) || window.confirm(question(name, usd));
  }

  // By a button, for each step of the field would be a call that may cost.
  #limit(event) {
    event.preventDefault();
    if (!this.#mayWake(text.limitSure)) return;
    this.#isLimitTouched = false;
    this.#send('POST', '/limit', { percent: this.#p.limitInput.valueAsNumber });
  }

  #rank(step) {
    const { terms, options } = this.#car;
    const priority = Math.max(-100, Math.min(100, (options?.priority ?? terms.priority) + step));
    // The next tap counts on from here, before the program has told.
    if (options) options.priority = priority;
    terms.priority = priority;
    setText(this.#p.priority, priority);
    this.#set({ priority });
  }

  #set(options) {
    return this.#send('PATCH', '', options);
  }

  async #send(method, what, body) {
    await this.#do(method, `cars/${encodeURIComponent(this.#id)}${what}`, body);
  }

  async #do(method, path, body) {
    await command(text, this.#p.error, method, path, body);
    this.#changed();
  }

  // `since`: seconds since the program told; `evse`: where it takes part, if the stream tells of that.
  render(car, since, evse) {
    const p = this.#p;
    this.#car = car;
    const badge = badgeOf(car);
    setAttribute(this.root, 'data-state', badge);
    setText(p.name, car.name);
    setText(p.badge, text.badges[badge] ?? badge);
    this.#battery(car, since);
    setText(p.where, this.#where(car));
    const isAllSaid = evse && ['as_wanted', 'nothing_wanted'].includes(car.why.code);
    setText(p.why, eachOnce([evse?.sentence, isAllSaid ? null : car.why.text, car.declines?.text]));
    this.#facts(car, since);
    this.#pin(car);
    this.#terms(car);
  }

  #battery(car, since) {
    const p = this.#p;
    const { soc, limit, to_limit: toLimit } = car.facts;
    const least = car.terms?.min_soc ?? null;
    const age = soc && typeof soc.age_s === 'number' ? soc.age_s + since : null;
    const isOld = soc && (age === null || age >= OLD_S);
    const about = soc && isOld && car.is_charging;
    const known = soc ? (about ? text.approximately(percent(soc.value)) : percent(soc.value)) : text.none;
    const parts = [limit && text.limitOf(percent(limit.value)), least !== null && text.leastOf(percent(least))].filter(Boolean);
    setText(p.soc, known);
    const time = car.is_charging && toLimit ? text.toLimit(span(toLimit.value)) : null;
    setText(p.about, soc ? [...parts, time].filter(Boolean).join(' · ') : text.socUnknown);
    setText(p.age, isOld ? text.told(age === null ? null : span(age), soc.source) : '');
    setAttribute(p.charge, 'data-freshness', isOld ? 'ageing' : 'live');
    const part = (value) => `${Math.min(100, Math.max(0, value)).toFixed(1)}%`;
    p.fill.style.width = part(soc?.value ?? 0);
    setHidden(p.limit, !limit);
    if (limit) p.limit.style.left = part(limit.value);
    setHidden(p.least, !(least > 0));
    if (least > 0) p.least.style.left = part(least);
    setAttribute(p.fill, 'data-low', Boolean(soc && least !== null && soc.value < least));
    setAttribute(p.bar, 'aria-label', text.batteryMeter([soc ? known : text.socUnknown, ...parts].join(', ')));
  }

  #where(car) {
    const at = car.evse;
    const plug = car.is_plugged_in === true
      ? (at ? (at.is_own_charger ? text.pluggedElsewhere : text.pluggedAt(at.name)) : text.plugged)
      : car.is_plugged_in === false ? text.unplugged : null;
    const sure = car.is_plugged_in && at?.matched_by === 'behaviour' ? text.bySure(percent(at.confidence * 100)) : null;
    const how = car.is_plugged_in && at?.matched_by === 'pin' ? text.byYou : sure;
    const asleep = car.wakefulness === 'asleep' ? text.asleep : null;
    return [text.places[car.place] ?? car.place, plug && how ? `${plug} (${how})` : plug, asleep].filter(Boolean).join(', ');
  }

  #facts(car, since) {
    const p = this.#p;
    const { amps, volts, phases, drawn_w: drawn } = car.facts;
    const power = amps && volts && phases ? amps.value * volts.value * phases.value : drawn?.value;
    const source = amps ?? drawn;
    const age = source && typeof source.age_s === 'number' ? source.age_s + since : null;
    const isOld = source && (age === null || age >= 120);
    setHidden(p.rows.draws, !car.is_charging || !source);
    if (source) {
      const shown = [typeof power === 'number' ? watts(power) : null, amps ? wholeAmps(amps.value) : null].filter(Boolean).join(' · ');
      setText(p.draws, isOld ? `${text.approximately(shown)} (${text.told(age === null ? null : span(age), source.source)})` : shown);
    }
    const { kind, amps: wanted } = car.wanted;
    setHidden(p.rows.wanted, kind === 'none');
    const word = text.wantedOf[kind];
    setText(p.wanted, typeof word === 'function' ? word(wanted > 0 ? wholeAmps(wanted) : null) : word ?? kind);
    setHidden(p.rows.asked, !car.asked);
    if (car.asked) setText(p.asked, text.askedWas(car.asked.text, span(car.asked.age_s + since), car.asked.outcome ?? text.asking));
    setHidden(p.rows.starts, !car.starts_last_hour);
    setText(p.starts, text.startsOf(car.starts_last_hour, car.tries_left));
    setHidden(p.rows.vin, !car.vin || car.vin === car.name);
    setText(p.vin, car.vin);
  }

  // Asks the person where the car is when it cannot be told, and lets them take back what they said.
  #pin(car) {
    const p = this.#p;
    const own = `tesla-${car.vin}`;
    const say = (id) => () => this.#do('POST', `evses/${encodeURIComponent(id)}/pin`, { vin: car.vin });
    const forget = () => this.#do('DELETE', `evses/${encodeURIComponent(car.pinned_to)}/pin`);
    const isOne = car.candidates.length === 1;
    let answers = [];
    if (car.pinned_to) {
      const name = car.evse?.id === car.pinned_to ? car.evse.name : car.pinned_to;
      setText(p.question, car.pinned_to === own ? text.pinnedElsewhere : text.pinned(name));
      answers = [{ key: 'forget', name: text.forget, run: forget }];
    } else if (car.candidates.length > 0) {
      setText(p.question, isOne ? text.pinOne(car.candidates[0].name) : text.pinSeveral);
      answers = car.candidates.map(({ id, name }) => ({ key: id, name: isOne ? text.yes : name, run: say(id) }));
      answers.push({ key: own, name: isOne ? text.no : text.nowhere, run: say(own) });
    }
    setHidden(p.pin, answers.length === 0);
    setAttribute(p.pin, 'class', car.pinned_to ? 'pin quiet' : 'alert pin');
    setAttribute(p.pin, 'aria-label', answers.length ? p.question.textContent : null);
    const make = () => el('button', { type: 'button', class: 'small' });
    for (const [answer, button] of keyed(p.answers, answers, (answer) => answer.key, make)) {
      setText(button, answer.name);
      button.onclick = answer.run;
    }
  }

  #terms(car) {
    const p = this.#p;
    const { name, terms, options } = car;
    for (const [button, label, isThere] of [[p.start, text.startOne, car.can_command], [p.stop, text.stopOne, car.can_command], [p.wake, text.wakeOne, car.can_wake && car.wakefulness === 'asleep']]) {
      setAttribute(button, 'aria-label', label(name));
      setHidden(button, !isThere);
    }
    p.start.disabled = car.is_plugged_in === false || car.is_charging === true;
    p.stop.disabled = car.is_plugged_in === false || car.is_charging === false;
    setHidden(p.limitForm, !car.can_command);
    setAttribute(p.limitInput, 'aria-label', text.chargeLimitOne(name));
    setAttribute(p.limitSet, 'aria-label', text.setLimitOne(name));
    // What a person is changing is left alone.
    if (!this.#isLimitTouched) p.limitInput.value = car.facts.limit?.value ?? '';
    setHidden(p.terms, !terms);
    setHidden(p.noVin, Boolean(terms));
    if (!terms) return;
    setAttribute(p.permission, 'aria-label', text.permissionOf(name));
    setAttribute(p.permission, 'title', terms.permission_text);
    setAttribute(p.leastInput, 'aria-label', text.leastOne(name));
    setAttribute(p.lower, 'aria-label', text.lowerCar(name));
    setAttribute(p.higher, 'aria-label', text.higherCar(name));
    if (document.activeElement !== p.permission) p.permission.value = options?.permission ?? 'inherit';
    if (document.activeElement !== p.leastInput) p.leastInput.value = options?.min_soc ?? '';
    setAttribute(p.leastInput, 'placeholder', terms.min_soc ?? '–');
    setText(p.priority, terms.priority);
  }
}

// What the charging point says may hold what the car says.
function eachOnce(sentences) {
  return sentences.filter(Boolean).reduce((said, next) => (said.includes(next) ? said : `${said} ${next}`.trim()), '');
}

function row(name, value) {
  return el('div', {}, el('dt', {}, name), value);
}
