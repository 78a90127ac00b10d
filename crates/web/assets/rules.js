// The schedule and what holds outside it. They are settings, not state: asked for when something may have changed them.
import { byId, command, el, setAttribute, setHidden, setText } from './dom.js';
import { text } from './text.js';

export class Rules {
  #outside = byId('outside-form');
  #schedule = byId('schedule-form');
  #days = new Map();
  #isTouched = { outside: false, schedule: false };
  #seen = null;

  constructor() {
    for (const [day, name] of Object.entries(text.days)) {
      const box = el('input', { type: 'checkbox', value: day });
      this.#days.set(day, box);
      byId('schedule-days').append(el('label', {}, box, el('span', {}, name)));
    }
    setAttribute(byId('schedule-days'), 'aria-label', text.daysLabel);
    for (const [name, form] of [['outside', this.#outside], ['schedule', this.#schedule]]) {
      form.addEventListener('input', () => {
        this.#isTouched[name] = true;
        setText(form.querySelector('.done'), '');
        this.#show();
      });
    }
    this.#outside.addEventListener('submit', (event) => this.#saveOutside(event));
    this.#schedule.addEventListener('submit', (event) => this.#saveSchedule(event));
    document.addEventListener('visibilitychange', () => document.hidden || this.#load());
  }

  // A new policy may mean new rules; the first state means that the program is there.
  render(state) {
    setAttribute(byId('outside-amps'), 'max', Math.floor(state.site.max_amps_all));
    setAttribute(byId('schedule-amps'), 'max', Math.floor(state.site.max_amps_all));
    const seen = `${state.started_at}|${state.policy.name}|${state.policy.since}`;
    if (seen === this.#seen) return;
    this.#seen = seen;
    this.#load();
  }

  async #load() {
    let rules;
    try {
      rules = await (await fetch('/api/v2/rules')).json();
    } catch {
      return;
    }
    if (!rules.schedule || !rules.outside_schedule) return;
    if (!this.#isTouched.outside) {
      for (const choice of this.#outside.elements.action) choice.checked = choice.value === rules.outside_schedule.action;
      byId('outside-amps').value = rules.outside_schedule.amps;
    }
    if (!this.#isTouched.schedule) {
      const { is_enabled: isEnabled, start, end, amps, days, is_per_day: isPerDay } = rules.schedule;
      byId('schedule-on').checked = isEnabled;
      byId('schedule-start').value = start ?? '22:00';
      byId('schedule-end').value = end ?? '06:00';
      byId('schedule-amps').value = amps > 0 ? amps : 16;
      for (const [day, box] of this.#days) box.checked = !isEnabled || days.includes(day);
      setHidden(byId('schedule-per-day'), !isPerDay);
    }
    this.#show();
  }

  #show() {
    setHidden(byId('outside-rate'), this.#outside.elements.action.value !== 'fixed');
    setHidden(byId('schedule-fields'), !byId('schedule-on').checked);
    // A hidden field must not keep the form from being sent.
    for (const id of ['schedule-start', 'schedule-end', 'schedule-amps']) byId(id).disabled = !byId('schedule-on').checked;
    byId('outside-amps').disabled = this.#outside.elements.action.value !== 'fixed';
  }

  #saveOutside(event) {
    const action = this.#outside.elements.action.value;
    const amps = byId('outside-amps').valueAsNumber;
    this.#save(event, 'outside', this.#outside, 'rules/outside-schedule', action === 'fixed' ? { action, amps: Number.isNaN(amps) ? 0 : amps } : { action });
  }

  #saveSchedule(event) {
    const days = [...this.#days].filter(([, box]) => box.checked).map(([day]) => day);
    const plan = { is_enabled: true, start: byId('schedule-start').value, end: byId('schedule-end').value, days, amps: byId('schedule-amps').valueAsNumber };
    this.#save(event, 'schedule', this.#schedule, 'rules/schedule', byId('schedule-on').checked ? plan : { is_enabled: false });
  }

  async #save(event, name, form, path, body) {
    event.preventDefault();
    setText(form.querySelector('.done'), '');
    if (!(await command(text, form.querySelector('.error'), 'PUT', path, body))) return;
    this.#isTouched[name] = false;
    setText(form.querySelector('.done'), text.saved);
    this.#load();
  }
}
