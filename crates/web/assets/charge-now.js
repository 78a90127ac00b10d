// Charge Now: a current for a time, before all schedules.
import { byId, command, setAttribute, setHidden, setText } from './dom.js';
import { clock as timeOfDay, span, wholeAmps } from './format.js';
import { text } from './text.js';

export class ChargeNow {
  #amps = byId('now-amps');
  #hours = byId('now-hours');
  #isTouched = false;

  constructor() {
    for (const input of [this.#amps, this.#hours]) {
      input.addEventListener('input', () => {
        this.#isTouched = true;
        this.#show();
      });
    }
    byId('now-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send('POST', { amps: this.#amps.valueAsNumber, hours: this.#hours.valueAsNumber });
    });
    byId('now-cancel').addEventListener('click', () => this.#send('DELETE'));
    this.#show();
  }

  async #send(method, body) {
    if (await command(text, byId('now-error'), method, 'charge-now', body)) this.#isTouched = false;
  }

  #show() {
    setText(byId('now-amps-out'), wholeAmps(this.#amps.valueAsNumber));
    setText(byId('now-hours-out'), span(this.#hours.valueAsNumber * 3600));
  }

  render(state, clock) {
    const site = state.site;
    setAttribute(this.#amps, 'min', Math.max(1, Math.ceil(site.min_amps_each)));
    setAttribute(this.#amps, 'max', Math.max(1, Math.floor(site.max_amps_all)));
    const active = state.charge_now;
    if (active && !this.#isTouched) this.#amps.value = active.amps;
    this.#show();
    setHidden(byId('now-cancel'), !active);
    setText(byId('now-start'), active ? text.update : text.start);
    setText(byId('now-state'), active
      ? text.chargeNowOn(wholeAmps(active.amps), timeOfDay(active.until, clock.now), span(active.until - clock.now))
      : text.chargeNowOff);
  }
}
