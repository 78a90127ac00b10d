// Numbers to text. Unknown is a dash, never zero.
import { text } from './text.js';

const number = (digits) => new Intl.NumberFormat('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
const whole = number(0);
const one = number(1);
const two = number(2);

const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);

export function watts(value) {
  if (!isNumber(value)) return text.none;
  if (Math.abs(value) < 999.5) return `${whole.format(Math.abs(value) < 0.5 ? 0 : value)} W`;
  return `${(Math.abs(value) < 9995 ? two : one).format(value / 1000)} kW`;
}

export function amps(value) {
  return isNumber(value) ? `${one.format(value)} A` : text.none;
}

// For rows of several, where the unit stands once.
export function bareAmps(value) {
  return isNumber(value) ? one.format(value) : text.none;
}

export function wholeAmps(value) {
  return isNumber(value) ? `${Number.isInteger(value) ? whole.format(value) : one.format(value)} A` : text.none;
}

export function energy(value) {
  if (!isNumber(value)) return text.none;
  return value < 999.5 ? `${whole.format(value)} Wh` : `${(value < 99950 ? two : whole).format(value / 1000)} kWh`;
}

export function percent(value) {
  return isNumber(value) ? `${whole.format(value)} %` : text.none;
}

// An age or a duration of so many seconds, in its largest fitting unit.
export function span(seconds) {
  if (!isNumber(seconds)) return text.none;
  const s = Math.max(0, Math.floor(seconds));
  if (s < 100) return `${s} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} days`;
}

// A time of day, with the day when it is not today's.
export function clock(seconds, nowSeconds) {
  if (!isNumber(seconds) || seconds <= 0) return text.none;
  const when = new Date(seconds * 1000);
  const isToday = when.toDateString() === new Date(nowSeconds * 1000).toDateString();
  const time = { hour: '2-digit', minute: '2-digit' };
  return isToday ? when.toLocaleTimeString([], time) : when.toLocaleString([], { weekday: 'short', day: 'numeric', month: 'short', ...time });
}

// A day.
export function day(seconds) {
  return isNumber(seconds) ? new Date(seconds * 1000).toLocaleDateString([], { day: 'numeric', month: 'short', year: 'numeric' }) : text.none;
}
