// What somebody should know: alerts, the rule in force, sources and the state of the connection.
import { byId, el, keyed, setAttribute, setHidden, setText } from './dom.js';
import { clock as timeOfDay, span, watts } from './format.js';
import { text } from './text.js';

export function alerts(state, clock) {
  const rows = state.alerts ?? [];
  const key = (alert) => `${alert.code}|${alert.evse ?? ''}`;
  const make = () => el('li', { class: 'alert' }, el('strong'), ' ', el('span'), ' ', el('span', { class: 'quiet' }));
  for (const [alert, item] of keyed(byId('alerts'), rows, key, make)) {
    setAttribute(item, 'class', `alert is-${['info', 'warning', 'alarm'].includes(alert.level) ? alert.level : 'info'}`);
    const [level, sentence, since] = item.children;
    setText(level, text.levels[alert.level] ?? alert.level);
    setText(sentence, alert.text);
    setText(since, text.since(timeOfDay(alert.since, clock.now)));
  }
}

export function policy(state, clock) {
  setText(byId('policy-name'), state.policy.name);
  setText(byId('policy-reason'), state.policy.reason);
  setText(byId('policy-since'), state.policy.since > 0 ? text.since(timeOfDay(state.policy.since, clock.now)) : '');
}

export function sources(state, clock) {
  const rows = state.sources ?? [];
  setHidden(byId('sources-none'), rows.length > 0);
  const make = () =>
    el('li', {}, el('span', { class: 'dot', 'aria-hidden': 'true' }), el('strong'), el('span', { class: 'reading' }), el('span', { class: 'quiet' }), el('p', { class: 'error' }));
  for (const [source, item] of keyed(byId('sources'), rows, (source) => source.name, make)) {
    const [, name, reading, age, error] = item.children;
    const freshness = source.freshness ? clock.freshness(source.freshness, source.taken_at) : 'missing';
    setAttribute(item, 'data-ok', source.ok ? 'yes' : 'no');
    setAttribute(item, 'data-freshness', freshness);
    setText(name, source.name);
    setText(reading, source.reading ? values(source.reading) : source.ok ? text.fine : text.failing);
    setText(age, typeof source.taken_at === 'number' ? text.ago(span(clock.now - source.taken_at)) : '');
    setText(error, source.error);
  }
}

function values(reading) {
  const parts = [
    [text.sun, reading.generation_w],
    [text.house, reading.consumption_w],
    [text.grid, reading.grid_w],
    [text.battery, reading.battery_w],
  ];
  return parts.filter(([, value]) => typeof value === 'number').map(([name, value]) => `${name} ${watts(value)}`).join(' · ');
}

// The age is outside the part that is read out, or a screen reader would count the seconds aloud.
export function link(stream) {
  const isLive = stream.isLive;
  const hasState = stream.state !== null;
  const isBehind = isLive && stream.now - stream.state.at > 30;
  document.body.dataset.link = isLive && !isBehind ? 'live' : hasState ? 'lost' : 'connecting';
  setText(byId('link-text'), isLive && !isBehind ? text.live : hasState ? text.lostLink : text.connecting);
  setHidden(byId('lost'), isLive && !isBehind || !hasState);
  setText(byId('lost-text'), hasState && (!isLive || isBehind) ? (isBehind ? text.behind : text.lost) : '');
  setText(byId('lost-age'), hasState ? text.lostAge(span(stream.now - stream.state.at)) : text.never);
}
