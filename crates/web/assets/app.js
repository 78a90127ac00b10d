// Joins the stream to the views. The page is drawn from the state alone.
import { Access } from './access.js';
import { Cars } from './cars.js';
import { ChargeNow } from './charge-now.js';
import { byId, setHidden, setText } from './dom.js';
import { Evses } from './evses.js';
import { Flow } from './flow.js';
import { alerts, link, policy, sources } from './notices.js';
import { Rules } from './rules.js';
import { Stream } from './stream.js';
import { Tesla } from './tesla.js';
import { text } from './text.js';

// From these ages on, a number that nobody renews is shown as ageing and as stale.
const AGEING_S = 15;
const STALE_S = 60;

for (const element of document.querySelectorAll('[data-text]')) setText(element, text[element.dataset.text]);

const flow = new Flow(byId('flow-picture'), byId('flow-list'), byId('flow-facts'));
const evses = new Evses(byId('evses'), byId('points-none'));
const cars = new Cars();
const chargeNow = new ChargeNow();
const rules = new Rules();

// What the views know of time: now by the program's clock, and how far a number can be trusted for its age.
function clockOf(stream) {
  const now = stream.now;
  const unheard = now - stream.state.at;
  return {
    now,
    at: stream.state.at,
    freshness(told, takenAt) {
      const age = Math.max(unheard, told === 'live' && takenAt ? now - takenAt : 0);
      if (told === 'stale' || unheard > STALE_S) return 'stale';
      return told === 'ageing' || age > AGEING_S ? 'ageing' : 'live';
    },
  };
}

let isDue = false;
function draw() {
  isDue = false;
  link(stream);
  const state = stream.state;
  if (!state) return;
  const clock = clockOf(stream);
  setHidden(byId('demo'), !state.site.is_demo);
  alerts(state, clock);
  flow.render(state, clock);
  policy(state, clock);
  chargeNow.render(state, clock);
  rules.render(state);
  evses.render(state, clock);
  cars.render(state);
  sources(state, clock);
}

const stream = new Stream(() => {
  if (isDue) return;
  isDue = true;
  // A page in the background draws nothing; the next second in the foreground does.
  requestAnimationFrame(draw);
});

async function showVersion() {
  const answer = await fetch('/api/v2/version').catch(() => null);
  if (answer?.ok) setText(byId('version'), text.version((await answer.json()).version));
}
showVersion();

const tesla = new Tesla();

new Access(() => {
  stream.reconnect();
  cars.refresh();
  tesla.load();
  showVersion();
});
