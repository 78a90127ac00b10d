// The page in a real browser, against a running program: BASE_URL=http://localhost:8080 node --test page.test.mjs
//
// It holds for `twcmanager demo` and for any site with at least one charging point. It changes settings and puts them back.
// CHROMIUM names the browser when it is not /usr/bin/chromium.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

const BASE = (process.env.BASE_URL ?? 'http://localhost:8080').replace(/\/$/, '');
const PATIENCE = 30000;
let browser;

before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
});
after(() => browser?.close());

// Opens the page, runs `check`, and fails on any error in the console, any failed request and anything from elsewhere.
async function withPage(options, check) {
  const { prepare, mayFail = false, ...settings } = options;
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, ...settings });
  page.setDefaultTimeout(PATIENCE);
  const faults = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && faults.push(message.text()));
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => request.url().startsWith(BASE) || request.url().startsWith('data:') || faults.push(`asked ${request.url()}`));
  try {
    await prepare?.(page);
    await page.goto(`${BASE}/`);
    await page.waitForSelector('#evses article');
    await check(page);
    if (!mayFail) assert.deepEqual(faults, []);
  } finally {
    await page.close();
  }
}

async function snapshot() {
  return (await fetch(`${BASE}/api/v2/snapshot`)).json();
}

async function command(method, path, body) {
  const answer = await fetch(`${BASE}/api/v2/${path}`, {
    method,
    headers: { 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  assert.equal(answer.status, 204, `${method} ${path}: ${await answer.text()}`);
}

async function until(what, isSo) {
  const end = Date.now() + PATIENCE;
  while (!(await isSo())) {
    assert.ok(Date.now() < end, `not within ${PATIENCE / 1000} s: ${what}`);
    await new Promise((go) => setTimeout(go, 100));
  }
}

// Serves a made-up state in the place of the real stream.
function withState(change) {
  return async (page) => {
    const state = await snapshot();
    change(state);
    await page.route('**/api/v2/events', (route) =>
      route.fulfill({ contentType: 'text/event-stream', body: `retry: 60000\n\nevent: snapshot\ndata: ${JSON.stringify(state)}\n\n` }));
  };
}

test('numbers appear, each charging point has a card, and the demo says that it is one', () =>
  withPage({}, async (page) => {
    const state = await snapshot();
    assert.equal(await page.locator('#evses article').count(), state.evses.length);
    assert.equal(await page.locator('#demo').isVisible(), state.site.is_demo);
    await page.waitForSelector('body[data-link="live"]');
    assert.match(await page.locator('.node-cars .value').textContent(), /^[\d.,-]+ k?W$/);
    if (state.power.generation) assert.match(await page.locator('.node-sun .value').textContent(), /^[\d.,-]+ k?W$/);
    for (const evse of state.evses) {
      const card = page.locator('#evses article', { has: page.getByRole('heading', { name: evse.name, exact: true }) });
      assert.ok((await card.locator('.sentence').textContent()).length > 5);
      assert.match(await card.locator('.heard').textContent(), /heard \d+ s ago/);
    }
    assert.ok((await page.locator('#policy-name').textContent()).length > 0);
    assert.match(await page.locator('#version').textContent(), /\d+\.\d+/);
  }));

test('what changes elsewhere shows without a reload', () =>
  withPage({}, async (page) => {
    const evse = (await snapshot()).evses[0];
    const shown = page.locator('#evses article').first().locator('.stepper output');
    await page.waitForFunction(([element, text]) => element.textContent === text, [await shown.elementHandle(), String(evse.priority)]);
    await command('PATCH', `evses/${evse.id}`, { priority: evse.priority + 3 });
    await page.waitForFunction(([element, text]) => element.textContent === text, [await shown.elementHandle(), String(evse.priority + 3)]);
    await command('PATCH', `evses/${evse.id}`, { priority: evse.priority });
  }));

test('Charge Now is given, shown and cancelled with the keyboard alone', () =>
  withPage({}, async (page) => {
    await page.waitForSelector('body[data-link="live"]');
    const least = Number(await page.locator('#now-amps').getAttribute('min'));
    await page.locator('#now-amps').focus();
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'now-hours');
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowRight');
    assert.equal(await page.locator('#now-hours-out').textContent(), '2 h');
    await page.keyboard.press('Tab');
    const sent = page.waitForRequest((request) => request.url().endsWith('/api/v2/charge-now') && request.method() === 'POST');
    await page.keyboard.press('Enter');
    assert.deepEqual((await sent).postDataJSON(), { amps: least + 1, hours: 2 });
    await page.waitForSelector('#now-cancel:not([hidden])');
    assert.match(await page.locator('#now-state').textContent(), new RegExp(`^${least + 1} A until .+ left`));
    assert.equal((await snapshot()).charge_now.amps, least + 1);
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'now-cancel');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#now-cancel', { state: 'hidden' });
    assert.equal((await snapshot()).charge_now, null);
    assert.equal(await page.locator('#now-error').textContent(), '');
  }));

test('a refused command is shown in the words of the program', () =>
  withPage({
    mayFail: true,
    prepare: (page) =>
      page.route('**/api/v2/charge-now', (route) => route.fulfill({ status: 400, contentType: 'application/json', body: '{"error": "amps must be less"}' })),
  }, async (page) => {
    await page.click('#now-start');
    await page.waitForFunction(() => document.querySelector('#now-error').textContent === 'amps must be less');
  }));

test('without a password the page says so plainly', () =>
  withPage({}, async (page) => {
    const { is_password_set: isSet } = await (await fetch(`${BASE}/api/v2/session`)).json();
    await page.waitForFunction(() => document.querySelector('#access-state').textContent !== '');
    assert.equal(await page.locator('#access-word').isVisible(), !isSet);
    assert.equal(/^No password is set/.test(await page.locator('#access-state').textContent()), !isSet);
    assert.equal(await page.locator('#tokens').isVisible(), false);
  }));

// A program with a password, made up in front of the real one: what the page asks is answered here.
function withPassword(right) {
  return async (page) => {
    let isSignedIn = false;
    let tokens = [];
    const json = (route, status, body) => route.fulfill({ status, contentType: 'application/json', body: body && JSON.stringify(body) });
    const locked = (route) => json(route, 401, { error: 'this needs the password' });
    await page.route('**/api/v2/session', (route) => {
      const method = route.request().method();
      if (method === 'DELETE') isSignedIn = false;
      if (method === 'POST') {
        isSignedIn = route.request().postDataJSON().password === right;
        return isSignedIn ? route.fulfill({ status: 204 }) : json(route, 401, { error: 'this is not the password' });
      }
      if (method === 'DELETE') return route.fulfill({ status: 204 });
      return json(route, 200, { is_password_set: true, proof: isSignedIn ? 'session' : null, read_needs_password: false, may_command: isSignedIn, refusal: null });
    });
    await page.route('**/api/v2/charge-now', (route) => (isSignedIn ? route.fulfill({ status: 204 }) : locked(route)));
    await page.route('**/api/v2/tokens**', (route) => {
      if (!isSignedIn) return locked(route);
      const method = route.request().method();
      if (method === 'GET') return json(route, 200, { tokens });
      const token = { id: 'a', name: route.request().postDataJSON().name, created: 1.8e9, last_used: null };
      tokens = [token];
      return json(route, 201, { ...token, token: 'twc_secret' });
    });
    await page.route('**/api/v2/tokens/a', (route) => {
      tokens = [];
      return route.fulfill({ status: 204 });
    });
  };
}

test('a command that needs the password asks for it and is then done', () =>
  withPage({ mayFail: true, prepare: withPassword('open sesame') }, async (page) => {
    await page.click('#now-start');
    await page.waitForSelector('#sign-in[open]');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'sign-in-password');
    await page.keyboard.type('wrong');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelector('#sign-in-error').textContent === 'this is not the password');
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => !document.querySelector('#sign-in').open);
    assert.equal(await page.locator('#now-error').textContent(), 'this needs the password');

    await page.click('#now-start');
    await page.waitForSelector('#sign-in[open]');
    await page.keyboard.type('open sesame');
    const done = page.waitForResponse((answer) => answer.url().endsWith('/charge-now') && answer.status() === 204);
    await page.keyboard.press('Enter');
    await done;
    await page.waitForFunction(() => document.querySelector('#access-button').textContent === 'Sign out');
    assert.equal(await page.locator('#sign-in-password').inputValue(), '', 'the password does not stay in the page');
  }));

test('tokens are created, shown once and revoked', () =>
  withPage({ mayFail: true, prepare: withPassword('open sesame') }, async (page) => {
    await page.click('#access-button');
    await page.fill('#sign-in-password', 'open sesame');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#tokens:not([hidden])');
    await page.fill('#token-name', '<b>Node-RED</b>');
    await page.click('#token-form button');
    await page.waitForFunction(() => document.querySelector('#token-secret').textContent === 'twc_secret');
    assert.equal(await page.locator('#token-list strong').textContent(), '<b>Node-RED</b>');
    page.on('dialog', (dialog) => dialog.accept());
    await page.click('#token-list button');
    await page.waitForFunction(() => document.querySelectorAll('#token-list li').length === 0);
    await page.click('#access-button');
    await page.waitForSelector('#tokens', { state: 'hidden' });
    assert.equal(await page.locator('#token-secret').textContent(), '', 'whoever signs out leaves nothing behind');
  }));

test('a charging point is switched off and on again', () =>
  withPage({}, async (page) => {
    const { id } = (await snapshot()).evses[0];
    const isEnabled = async () => (await snapshot()).evses.find((evse) => evse.id === id).is_enabled;
    const wasEnabled = await isEnabled();
    await page.locator('#evses article').first().getByRole('switch').focus();
    await page.keyboard.press('Space');
    await until('switched', async () => (await isEnabled()) !== wasEnabled);
    await page.keyboard.press('Space');
    await until('switched back', async () => (await isEnabled()) === wasEnabled);
  }));

test('the schedule and the rule outside it are saved and shown', () =>
  withPage({}, async (page) => {
    const rules = async () => (await fetch(`${BASE}/api/v2/rules`)).json();
    const before = await rules();
    const put = (path, { amps, is_per_day: _, ...rule }) =>
      command('PUT', `rules/${path}`, rule.is_enabled === false ? { is_enabled: false } : rule.action && rule.action !== 'fixed' ? rule : { ...rule, amps });
    try {
      await page.waitForFunction(() => document.querySelector('#outside-form').elements.action.value !== '');
      await page.getByLabel('otherwise at a fixed rate').check();
      await page.locator('#outside-amps').fill('7');
      await page.locator('#outside-form button').click();
      await page.waitForFunction(() => document.querySelector('#outside-form .done').textContent !== '');
      assert.deepEqual((await rules()).outside_schedule, { action: 'fixed', amps: 7 });

      await page.locator('#schedule-on').check();
      await page.locator('#schedule-start').fill('22:30');
      await page.locator('#schedule-end').fill('06:15');
      await page.locator('#schedule-amps').fill('9');
      for (const day of ['Sat', 'Sun']) await page.getByRole('checkbox', { name: day }).uncheck();
      for (const day of ['Mon', 'Tue', 'Wed', 'Thu', 'Fri']) await page.getByRole('checkbox', { name: day }).check();
      await page.locator('#schedule-form button').click();
      await page.waitForFunction(() => document.querySelector('#schedule-form .done').textContent !== '');
      const { schedule } = await rules();
      assert.deepEqual([schedule.start, schedule.end, schedule.amps, schedule.days.length], ['22:30', '06:15', 9, 5]);
    } finally {
      await put('outside-schedule', before.outside_schedule);
      await put('schedule', before.schedule);
    }
  }));

test('everything that can be pressed is reached by Tab, has a name and shows its focus', () =>
  withPage({}, async (page) => {
    await page.waitForFunction(() => document.querySelector('#outside-form').elements.action.value !== '');
    // Of a group of radio buttons only the chosen one is a stop.
    const total = await page.locator('a:visible, button:visible:enabled, input:not([type="radio"]):visible, input:checked[type="radio"]:visible').count();
    const seen = new Set();
    for (let step = 0; step < total + 5; step += 1) {
      await page.keyboard.press('Tab');
      const at = await page.evaluate(() => {
        const element = document.activeElement;
        if (element === document.body) return null;
        const all = [...document.querySelectorAll('a, button, input')];
        return { index: all.indexOf(element), outline: getComputedStyle(element).outlineStyle };
      });
      if (!at) break;
      assert.notEqual(at.outline, 'none', `focus is not shown at stop ${step}`);
      seen.add(at.index);
    }
    assert.ok(seen.size >= total, `${seen.size} of ${total} reached`);
    for (const control of await page.locator('button:visible, input:visible').all()) {
      const name = await control.evaluate((element) => element.getAttribute('aria-label') || element.labels?.[0]?.textContent || element.textContent);
      assert.ok(name.trim().length > 0, await control.evaluate((element) => element.outerHTML));
    }
  }));

for (const width of [320, 390, 768]) {
  test(`nothing sticks out at ${width} pixels`, () =>
    withPage({ viewport: { width, height: 844 }, prepare: withState((state) => {
      state.evses[0].name = 'AVeryLongNameWithoutAnySpaceThatSomebodyGaveToTheirChargingPoint';
      state.evses[0].sentence = 'x'.repeat(200);
      state.policy.name = 'y'.repeat(80);
      state.alerts = [{ code: 'z', level: 'alarm', text: 'w'.repeat(300), evse: null, since: 1 }];
    }) }, async (page) => {
      const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.ok(content <= window, `${content} > ${window}`);
    }));
}

test('dark where the device is dark', async () => {
  const brightness = async (colorScheme) => {
    let value;
    await withPage({ colorScheme }, async (page) => {
      value = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 765);
    });
    return value;
  };
  assert.ok((await brightness('light')) > 0.8);
  assert.ok((await brightness('dark')) < 0.2);
});

test('names from outside are text, whatever they hold', () =>
  withPage({ prepare: withState((state) => {
    const attack = '<img src=x onerror="window.hit = 1"><script>window.hit = 1</script>';
    state.evses[0].name = attack;
    state.evses[0].vin = attack;
    state.evses[0].sentence = attack;
    state.policy.reason = attack;
    state.alerts = [{ code: attack, level: 'alarm" onclick="x', text: attack, evse: attack, since: 1 }];
    state.sources = [{ name: attack, ok: false, error: attack, taken_at: null, freshness: null, reading: null }];
  }) }, async (page) => {
    assert.equal(await page.locator('main img, main script').count(), 0);
    assert.equal(await page.evaluate(() => window.hit), undefined);
    assert.match(await page.locator('#evses h3').first().textContent(), /^<img/);
  }));

test('unknown is a dash, ageing is grey and stale is struck through', () =>
  withPage({ prepare: withState((state) => {
    const measured = (freshness, age) => ({ w: 1234, taken_at: state.at - age, freshness, is_estimate: false });
    state.power.generation = null;
    state.power.house = measured('ageing', 25);
    state.power.grid = measured('stale', 300);
    state.evses[0].link = 'lost';
    state.evses[0].drawn_a = null;
  }) }, async (page) => {
    const style = (place) => page.locator(place).first().evaluate((element) => getComputedStyle(element));
    assert.equal(await page.locator('.node-sun .value').textContent(), '–');
    assert.equal(await page.locator('.node-sun').getAttribute('data-freshness'), 'missing');
    const inkOf = async (place) => (await style(place)).fill;
    assert.notEqual(await inkOf('.node-house .value'), await inkOf('.node-cars .value'));
    assert.match((await style('.node-grid .value')).textDecoration, /line-through/);
    assert.match(await page.locator('.node-grid .age').textContent(), /^5 min ago$|^30\d s ago$/);
    assert.equal(await page.locator('#evses article').first().locator('dd').first().textContent(), '–');
    assert.match(await page.locator('#evses .badge').first().textContent(), /Silent/);
    assert.match((await style('#evses article .power')).textDecoration, /line-through/);
  }));

test('a lost connection is said at once and mends by itself', () =>
  withPage({
    mayFail: true,
    // Keeps hold of the page's stream, so that it can be cut.
    prepare: (page) => page.addInitScript(() => {
      const Real = window.EventSource;
      window.sources = [];
      window.EventSource = class extends Real {
        constructor(...args) {
          super(...args);
          window.sources.push(this);
        }
      };
    }),
  }, async (page) => {
    await page.waitForSelector('body[data-link="live"]');
    assert.equal(await page.locator('#lost').isVisible(), false);
    await page.route('**/api/v2/events', (route) => route.abort());
    await page.evaluate(() => window.sources.at(-1).close());
    await page.waitForSelector('#lost:not([hidden])');
    assert.match(await page.locator('#lost').textContent(), /Connection lost\.\s+The numbers are \d+ s old\./);
    await page.unroute('**/api/v2/events');
    await page.waitForSelector('body[data-link="live"]');
    await page.waitForSelector('#lost', { state: 'hidden' });
  }));
