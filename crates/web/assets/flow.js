// The picture of the energy: sun, grid, battery and cars around the house.
import { el, keyed, setAttribute, setText, svg } from './dom.js';
import { amps, percent, span, watts } from './format.js';
import { text } from './text.js';

const RADIUS = 42;
// Where each stands, where the age of its number stands, and the way to the house.
const NODES = {
  sun: { x: 200, y: 50, age: [252, 54, 'start'], path: 'M200 92V138' },
  grid: { x: 52, y: 180, age: [52, 238, 'middle'], path: 'M94 180H158' },
  cars: { x: 348, y: 180, age: [348, 238, 'middle'], path: 'M242 180H306' },
  battery: { x: 200, y: 310, age: [252, 314, 'start'], path: 'M200 268V222' },
  house: { x: 200, y: 180, age: [238, 226, 'start'], path: null },
};
const ICONS = {
  sun: 'M0-5a5 5 0 1 0 .01 0zM0-11v3M0 8v3M-11 0h3M8 0h3M-7.8-7.8l2.1 2.1M5.7 5.7l2.1 2.1M7.8-7.8 5.7-5.7M-5.7 5.7l-2.1 2.1',
  grid: 'M-4 11 0-11 4 11M-3-3h6M-3.6 3h7.2M-9-5 0-9l9 4M-7 0l7-3 7 3',
  cars: 'M-11 6v-4l3-1 3-6h9l4 6 3 1v4zM-6 6a2.5 2.5 0 1 0 .01 0M6 6a2.5 2.5 0 1 0 .01 0',
  battery: 'M-10-5h18V5h-18zM8-2h3V2H8M-6-2v4M-2-2v4M2-2v4',
  house: 'M-11 0 0-10 11 0M-8-2v12H8V-2M-2.5 10V3h5v7',
};

export class Flow {
  #parts = {};
  #picture;
  #list;
  #facts;

  constructor(picture, list, facts) {
    this.#picture = picture;
    this.#list = list;
    this.#facts = facts;
    const root = svg('svg', { viewBox: '0 0 400 360', class: 'picture' });
    for (const [name, node] of Object.entries(NODES)) {
      const part = { group: svg('g', { class: `node node-${name}` }) };
      if (node.path) {
        part.wire = svg('path', { d: node.path, class: 'wire' });
        part.stream = svg('path', { d: node.path, class: `stream stream-${name}` });
        root.append(part.wire, part.stream);
      }
      part.value = svg('text', { x: node.x, y: node.y + 12, class: 'value' });
      part.label = svg('text', { x: node.x, y: node.y + 27, class: 'label' });
      part.age = svg('text', { x: node.age[0], y: node.age[1], class: 'age', 'text-anchor': node.age[2] });
      part.group.append(
        svg('circle', { cx: node.x, cy: node.y, r: RADIUS }),
        svg('path', { d: ICONS[name], class: 'icon', transform: `translate(${node.x} ${node.y - 18})` }),
        part.value,
        part.label,
        part.age,
      );
      root.append(part.group);
      this.#parts[name] = part;
    }
    picture.append(root);
  }

  render(state, clock) {
    const power = state.power;
    const cars = { w: power.cars_w, taken_at: state.at, freshness: 'live' };
    this.#node('sun', power.generation, text.sun, clock, 1);
    this.#node('house', power.house, text.house, clock, 0);
    this.#node('cars', cars, text.cars, clock, 1);
    const grid = power.grid?.w;
    const gridLabel = grid > 0 ? text.importing : grid < 0 ? text.exporting : text.grid;
    this.#node('grid', power.grid, gridLabel, clock, Math.sign(grid ?? 0));
    const battery = power.battery?.w;
    const doing = battery > 0 ? text.discharging : battery < 0 ? text.charging : text.battery;
    const hasSoc = typeof power.battery_soc === 'number';
    this.#node('battery', power.battery, hasSoc ? socLabel(battery, percent(power.battery_soc)) : doing, clock, Math.sign(battery ?? 0));
    setAttribute(this.#parts.battery.group, 'data-absent', power.battery === null || power.battery === undefined);
    setAttribute(this.#parts.battery.wire, 'data-absent', power.battery === null || power.battery === undefined);

    this.#sentences([
      [text.sun, power.generation, ''],
      [text.house, power.house, ''],
      [text.grid, power.grid, grid ? gridLabel : ''],
      [text.battery, power.battery, battery ? doing : ''],
      [text.cars, cars, ''],
    ], clock);
    this.#numbers([
      [text.surplus, typeof power.surplus_w === 'number' ? watts(power.surplus_w) : text.unknown],
      [text.granted, `${watts(power.granted_w)} · ${amps(power.granted_amps)}`],
      [text.limit, amps(power.limit_amps)],
    ], clock);
  }

  // `direction` 1: towards the house (for cars: away from it, as the path is drawn); -1: the other way; 0: no wire of its own.
  #node(name, measured, label, clock, direction) {
    const part = this.#parts[name];
    const freshness = clock.freshness(measured?.freshness, measured?.taken_at);
    setText(part.value, measured ? watts(name === 'grid' || name === 'battery' ? Math.abs(measured.w) : measured.w) : text.none);
    setText(part.label, label);
    setText(part.age, measured && name !== 'cars' ? `${measured.is_estimate ? `${text.estimate} · ` : ''}${text.ago(span(clock.now - measured.taken_at))}` : '');
    setAttribute(part.group, 'data-freshness', measured ? freshness : 'missing');
    if (!part.stream) return;
    const flows = measured && freshness !== 'stale' && Math.abs(measured.w) >= 15 && direction !== 0;
    setAttribute(part.stream, 'data-flows', flows ? (direction > 0 ? 'on' : 'back') : 'no');
    if (!flows) return;
    // Four steps of speed: a change of speed restarts the movement, so it must not follow every watt.
    const kilowatts = Math.abs(measured.w) / 1000;
    setAttribute(part.stream, 'data-speed', kilowatts < 0.5 ? 1 : kilowatts < 2 ? 2 : kilowatts < 6 ? 3 : 4);
  }

  #sentences(rows, clock) {
    for (const [[name, measured, note], item] of keyed(this.#list, rows, (row) => row[0], () => el('li'))) {
      const age = measured ? `, ${text.ago(span(clock.now - measured.taken_at))}` : '';
      setText(item, `${name}: ${measured ? `${watts(Math.abs(measured.w))} ${note}` : text.unknown}${age}`);
    }
  }

  #numbers(rows, clock) {
    const make = () => el('div', {}, el('dt'), el('dd'));
    for (const [[name, value], item] of keyed(this.#facts, rows, (row) => row[0], make)) {
      setText(item.firstChild, name);
      setText(item.lastChild, value);
      setAttribute(item, 'data-freshness', clock.freshness('live', clock.at));
    }
  }
}

// The state of charge, and by an arrow whether it rises or falls.
function socLabel(battery, soc) {
  return battery > 0 ? text.emptying(soc) : battery < 0 ? text.filling(soc) : soc;
}
