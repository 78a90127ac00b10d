// What calls to cars cost: spent, on what, and what is left.
import { byId, command, el, keyed, setAttribute, setHidden, setText } from './dom.js';
import { percent } from './format.js';
import { text } from './text.js';

const KINDS = ['data', 'commands', 'wakes'];

export class Budget {
  #periods = new Map();

  constructor(changed) {
    for (const [key, name] of [['day', text.today], ['month', text.month]]) {
      const p = { spent: el('p', { class: 'headline' }), fill: el('div', { class: 'bar-drawn' }), left: el('p', { class: 'quiet' }), kinds: el('p', { class: 'quiet' }) };
      p.bar = el('div', { class: 'bar', role: 'img' }, p.fill);
      byId('budget-periods').append(el('div', { class: 'period' }, el('h3', {}, name), p.spent, p.bar, p.left, p.kinds));
      this.#periods.set(key, p);
    }
    byId('budget-resume').addEventListener('click', async () => {
      await command(text, byId('budget-error'), 'POST', 'cars/budget/resume');
      changed();
    });
  }

  render(budget) {
    setHidden(byId('budget'), !budget);
    if (!budget) return;
    setHidden(byId('budget-stopped'), !budget.is_stopped);
    setText(byId('budget-stopped-text'), budget.stopped_text);
    for (const [key, p] of this.#periods) {
      const { used, allowance, left, used_percent: part } = budget[key];
      setText(p.spent, text.spentOf(used.usd, allowance.usd));
      setHidden(p.bar, typeof part !== 'number');
      p.fill.style.width = `${Math.min(100, part ?? 0).toFixed(1)}%`;
      setAttribute(p.bar, 'aria-label', text.spentMeter(percent(part)));
      setAttribute(p.bar, 'data-full', (part ?? 0) >= 80);
      setText(p.left, left.usd === null ? '' : text.left(left.usd));
      setText(p.kinds, KINDS.map((kind) => `${text.kinds[kind]} ${text.kindOf(used[kind], allowance[kind])}`).join(' · '));
    }
    const { by_purpose: purposes, by_car: cars } = budget.month;
    list(byId('budget-purposes'), purposes, (row) => row.purpose, (row) => text.purposes[row.purpose] ?? row.purpose);
    list(byId('budget-cars'), cars, (row) => row.car ?? '', (row) => row.name ?? text.allCars);
    setHidden(byId('budget-details'), purposes.length === 0);
    for (const id of ['budget-per-car', 'budget-cars']) setHidden(byId(id), cars.length < 2);
  }
}

function list(place, rows, key, name) {
  const make = () => el('li', {}, el('strong'), el('span', { class: 'quiet reading' }), el('span'));
  for (const [row, item] of keyed(place, rows, key, make)) {
    const [who, kinds, cost] = item.children;
    setText(who, name(row));
    setText(kinds, KINDS.filter((kind) => row[kind] > 0).map((kind) => `${text.kinds[kind]} ${row[kind]}`).join(' · '));
    setText(cost, text.money(row.usd));
  }
}
