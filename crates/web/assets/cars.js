// The cars: asked for apart from the stream, since most of what is known of them changes slowly.
import { byId, command, el, keyed, setHidden } from './dom.js';
import { text } from './text.js';
import { Budget } from './budget.js';
import { CarCard } from './car-card.js';

const EVERY_MS = 10000;
const AT_LEAST_MS = 1500;

export class Cars {
  #cards = new Map();
  #guests = byId('guests');
  #budget = new Budget(() => this.refresh());
  #told = null;
  #toldMs = 0;
  #askedMs = -EVERY_MS;
  #isAsking = false;
  #seen = null;
  #evses = [];

  constructor() {
    this.#guests.append(...Object.entries({ ...text.permissions, inherit: text.guestsInherit }).map(([value, name]) => el('option', { value }, name)));
    this.#guests.addEventListener('change', async () => {
      const permission = this.#guests.value === 'inherit' ? null : this.#guests.value;
      await command(text, byId('guests-error'), 'PUT', 'cars/guests', { permission });
      this.refresh();
    });
  }

  // Asks again soon, because something was changed.
  refresh() {
    this.#askedMs = Math.min(this.#askedMs, performance.now() - EVERY_MS + AT_LEAST_MS);
  }

  // What the stream tells of charging points may mean news of cars.
  render(state) {
    const seen = JSON.stringify((state.evses ?? []).map(({ id, plug, activity, vin, car }) => [id, plug, activity, vin, car]));
    if (seen !== this.#seen) {
      this.#seen = seen;
      this.refresh();
    }
    if (!this.#isAsking && performance.now() - this.#askedMs >= EVERY_MS) this.#load();
    this.#evses = state.evses ?? [];
    this.#draw();
  }

  async #load() {
    this.#isAsking = true;
    this.#askedMs = performance.now();
    try {
      const answer = await fetch('/api/v2/cars');
      const told = answer.ok ? await answer.json() : null;
      const isBilled = told?.is_looked_after && told.cars.some((car) => car.is_billed);
      const spent = isBilled ? await fetch('/api/v2/cars/budget') : null;
      this.#budget.render(spent?.ok ? await spent.json() : null);
      this.#told = told;
      this.#toldMs = performance.now();
    } catch {
      // The banner of the stream says that the program cannot be reached; what is shown grows old visibly.
    } finally {
      this.#isAsking = false;
    }
    this.#draw();
  }

  #draw() {
    const cars = this.#told?.cars ?? [];
    setHidden(byId('cars'), !this.#told || (cars.length === 0 && !this.#told.is_looked_after));
    setHidden(byId('cars-none'), cars.length > 0);
    if (this.#told && document.activeElement !== this.#guests) this.#guests.value = this.#told.guests ?? 'inherit';
    const since = (performance.now() - this.#toldMs) / 1000;
    const make = (car) => {
      const card = new CarCard(car.id, () => this.refresh());
      this.#cards.set(car.id, card);
      return card.root;
    };
    for (const [car] of keyed(byId('car-list'), cars, (car) => car.id, make)) {
      this.#cards.get(car.id).render(car, since, this.#evses.find((evse) => evse.id === car.evse?.id));
    }
    for (const id of this.#cards.keys()) if (!cars.some((car) => car.id === id)) this.#cards.delete(id);
  }
}
