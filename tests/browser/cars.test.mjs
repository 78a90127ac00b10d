// Cars on the page, in a real browser: what the program tells of them is made up here, in front of a running one.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

const BASE = (process.env.BASE_URL ?? 'http://localhost:8080').replace(/\/$/, '');
const BLUE = 'LRW3F7EK0NC000001';
let browser;

before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
});
after(() => browser?.close());

const fact = (value, age = 40, source = 'TeslaAPI') => ({ value, age_s: age, source });
const terms = { permission: 'allow', permission_by: 'nothing', permission_text: 'It may charge.', priority: 0, min_soc: null, is_first: false };
const options = { permission: null, priority: null, min_soc: null, phases: null, rate_control: null, stop_mode: null };

function carOf(change) {
  return {
    id: BLUE, vin: BLUE, name: 'Blue', sources: ['TeslaAPI'], heard_s: 40, place: 'home', proof: 'connector', wakefulness: 'awake',
    is_plugged_in: true, is_charging: false, facts: { soc: fact(64), limit: fact(80) }, wanted: { kind: 'granted', amps: 12 }, told: null,
    started_s: null, stopped_s: null, asked: { text: 'TeslaAPI was asked to start charging', age_s: 12, outcome: 'done' },
    why: { code: 'as_wanted', text: 'It does what is wanted.' }, declines: null, not_permitted: null, tries_left: 3, starts_last_hour: 1,
    next_in_s: 60, can_command: true, can_wake: true, is_billed: true, wake_usd: 0.02, terms: { ...terms }, options: { ...options },
    evse: { id: 'gen2-1', name: 'East', is_own_charger: false, matched_by: 'vin', confidence: 1 }, pinned_to: null, candidates: [], ...change,
  };
}

function threeCars() {
  const facts = { soc: fact(71), limit: fact(80), amps: fact(12), volts: fact(231), phases: fact(3), to_limit: fact(5400) };
  return [
    carOf({ is_charging: true, facts, terms: { ...terms, min_soc: 20, priority: 2 }, options: { ...options, min_soc: 20, priority: 2 } }),
    carOf({
      id: 'LRW3F7EK0NC000002', vin: 'LRW3F7EK0NC000002', name: 'Red', wakefulness: 'asleep', facts: { soc: fact(17, 7800, 'TeslaMate'), limit: fact(90, 7800, 'TeslaMate') },
      terms: { ...terms, min_soc: 30, permission: 'green', permission_text: 'It may charge from surplus only, as set for this car.' },
      options: { ...options, min_soc: 30, permission: 'green' }, evse: null, candidates: [{ id: 'gen2-1', name: 'East', confidence: 0.4 }],
      wanted: { kind: 'none', amps: null }, asked: null, starts_last_hour: 0, why: { code: 'asleep', text: 'It sleeps and is left to sleep.' },
    }),
    carOf({
      id: 'Old one', vin: null, name: 'Old one', place: 'away', is_plugged_in: false, facts: { soc: fact(55, null, 'HomeAssistant') }, terms: null, options: null,
      evse: null, can_command: false, can_wake: false, is_billed: false, wake_usd: 0, wanted: { kind: 'none', amps: null }, asked: null, starts_last_hour: 0,
      why: { code: 'away', text: 'It is away; cars are steered at home only.' },
    }),
  ];
}

function budgetOf(isStopped = false) {
  const used = { commands: 31, data: 402, wakes: 2, usd: 0.875 };
  const caps = { usd: 10, commands: null, data: null, wakes: 20 };
  const period = (part) => ({
    used, used_percent: part, allowance: caps, left: { usd: 9.125, commands: null, data: null, wakes: 18 },
    by_purpose: [{ commands: 0, data: 402, wakes: 0, usd: 0.804, purpose: 'polling' }, { commands: 31, data: 0, wakes: 2, usd: 0.071, purpose: 'start' }],
    by_car: [{ ...used, car: BLUE, name: 'Blue' }, { commands: 0, data: 0, wakes: 0, usd: 0, car: null, name: null }],
  });
  return {
    is_stopped: isStopped, stopped_text: isStopped ? 'Tesla wants payment.' : null,
    prices: { command_usd: 0.001, data_usd: 0.002, wake_usd: 0.02 }, day: period(4), month: period(87),
  };
}

// Opens the page in front of made-up cars; `sent` holds what was asked for.
async function withCars(options, check) {
  const { cars = threeCars(), budget = budgetOf(), tesla = { configured: false }, hash = '', refuse = null, change = null, ...settings } = options;
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, ...settings });
  page.setDefaultTimeout(30000);
  const faults = [];
  const sent = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && faults.push(message.text()));
  page.on('pageerror', (error) => faults.push(String(error)));
  const json = (route, status, body) => route.fulfill({ status, contentType: 'application/json', body: JSON.stringify(body) });
  const told = (body) => (route) => {
    const request = route.request();
    if (request.method() === 'GET') return json(route, 200, typeof body === 'function' ? body() : body);
    sent.push([request.method(), decodeURIComponent(new URL(request.url()).pathname.replace('/api/v2/', '')), request.postDataJSON()]);
    if (refuse) return json(route, 409, { error: refuse });
    return request.url().endsWith('/sign-in') ? json(route, 200, { address: 'https://auth.example.org/authorize?state=x' }) : route.fulfill({ status: 204 });
  };
  try {
    await page.route('**/api/v2/cars', told(() => ({ at: Date.now() / 1000, is_looked_after: true, cars })));
    await page.route('**/api/v2/cars/**', told(null));
    await page.route('**/api/v2/cars/budget', told(() => budget));
    await page.route('**/api/v2/evses/*/pin', told(null));
    await page.route('**/api/v2/tesla', told(() => tesla));
    await page.route('**/api/v2/tesla/**', told(null));
    if (change) {
      const state = await (await fetch(`${BASE}/api/v2/snapshot`)).json();
      change(state);
      await page.route('**/api/v2/events', (route) =>
        route.fulfill({ contentType: 'text/event-stream', body: `retry: 60000\n\nevent: snapshot\ndata: ${JSON.stringify(state)}\n\n` }));
    }
    await page.goto(`${BASE}/${hash}`);
    await page.waitForSelector('#evses article');
    await check(page, sent);
    if (!refuse) assert.deepEqual(faults, []);
  } finally {
    await page.close();
  }
}

const card = (page, name) => page.locator('#car-list article', { has: page.getByRole('heading', { name, exact: true }) });
const arrived = (sent, count) => async () => sent.length >= count;
async function until(isSo) {
  const end = Date.now() + 30000;
  while (!(await isSo())) {
    assert.ok(Date.now() < end, 'within 30 s');
    await new Promise((go) => setTimeout(go, 50));
  }
}

test('nothing is said twice in one card', () => {
  const said = 'Waiting: no surplus. No way leads to it now. TeslaAPI: Tesla refuses the call.';
  const why = { code: 'no_way', text: 'No way leads to it now. TeslaAPI: Tesla refuses the call.' };
  const cars = [carOf({ why, declines: { code: 'other', text: 'No way leads to it now.' } })];
  const change = (state) => { state.evses[0] = { ...state.evses[0], id: cars[0].evse.id, sentence: said }; };
  return withCars({ cars, change }, async (page) => {
    await page.waitForSelector('#car-list article');
    assert.equal(await page.locator('#car-list article .sentence').first().textContent(), said);
  });
});

test('guests and the charge limit are set, the limit by a button and not with each step', () =>
  withCars({}, async (page, sent) => {
    await page.waitForSelector('#car-list article');
    assert.equal(await page.locator('#guests').inputValue(), 'inherit');
    await page.locator('#guests').selectOption('deny');
    await until(arrived(sent, 1));
    const input = card(page, 'Blue').getByLabel('Charge limit of Blue in percent');
    assert.equal(await input.inputValue(), '80');
    await input.press('ArrowUp');
    await input.fill('90');
    await card(page, 'Blue').getByRole('button', { name: 'Set the charge limit of Blue' }).click();
    await until(arrived(sent, 2));
    assert.deepEqual(sent, [['PUT', 'cars/guests', { permission: 'deny' }], ['POST', `cars/${BLUE}/limit`, { percent: 90 }]]);
  }));

test('each car says where it is, how full, what it does and why, and how old that is', () =>
  withCars({}, async (page) => {
    await page.waitForSelector('#car-list article');
    const blue = card(page, 'Blue');
    assert.equal(await blue.locator('.badge').textContent(), 'Charging');
    assert.equal(await blue.locator('.where').textContent(), 'At home, plugged in at East');
    assert.equal(await blue.locator('.bar').getAttribute('aria-label'), 'Battery: 71 %, limit 80 %, at least 20 %');
    assert.match(await blue.locator('dl').textContent(), /8\.32 kW · 12 A/);
    assert.match(await blue.locator('dl').textContent(), /TeslaAPI was asked to start charging \d+ s ago: done/);
    const red = card(page, 'Red');
    assert.equal(await red.locator('.old').textContent(), '2 h 10 min ago, TeslaMate');
    assert.equal(await red.locator('.sentence').textContent(), 'It sleeps and is left to sleep.');
    assert.match(await red.locator('.where').textContent(), /asleep/);
    const old = card(page, 'Old one');
    assert.equal(await old.locator('.old').textContent(), 'of unknown age, HomeAssistant');
    assert.equal(await old.locator('button:visible').count(), 0, 'nothing that cannot be done is offered');
  }));

test('what is set for a car is sent at once', () =>
  withCars({}, async (page, sent) => {
    await page.waitForSelector('#car-list article');
    const blue = card(page, 'Blue');
    await blue.getByRole('combobox').selectOption('green');
    await blue.getByRole('combobox').selectOption('inherit');
    await blue.getByRole('button', { name: /^Raise/ }).click();
    await blue.getByLabel(/^Least state of charge/).fill('35');
    await blue.getByLabel(/^Least state of charge/).press('Enter');
    await blue.getByRole('button', { name: /^Stop/ }).click();
    await until(arrived(sent, 5));
    const path = `cars/${BLUE}`;
    assert.deepEqual(sent, [
      ['PATCH', path, { permission: 'green' }], ['PATCH', path, { permission: null }], ['PATCH', path, { priority: 3 }], ['PATCH', path, { min_soc: 35 }],
      ['POST', `${path}/stop`, null],
    ]);
  }));

test('waking is asked about, with its cost', () =>
  withCars({}, async (page, sent) => {
    await page.waitForSelector('#car-list article');
    const questions = [];
    let answer = false;
    page.on('dialog', (dialog) => {
      questions.push(dialog.message());
      return answer ? dialog.accept() : dialog.dismiss();
    });
    const wake = card(page, 'Red').getByRole('button', { name: 'Wake Red' });
    await wake.click();
    answer = true;
    await wake.click();
    await until(arrived(sent, 1));
    assert.deepEqual(sent, [['POST', 'cars/LRW3F7EK0NC000002/wake', null]]);
    assert.match(questions[0], /costs \$0\.020/);
    assert.equal(await card(page, 'Blue').getByRole('button', { name: 'Wake Blue' }).count(), 0, 'an awake car is not woken');
  }));

test('a person says where a car is, and takes it back', async () => {
  await withCars({}, async (page, sent) => {
    const question = page.getByRole('group', { name: 'Is this the car at East?' });
    await question.getByRole('button', { name: 'Yes' }).click();
    await question.getByRole('button', { name: 'No, elsewhere' }).click();
    await until(arrived(sent, 2));
    const vin = 'LRW3F7EK0NC000002';
    assert.deepEqual(sent, [['POST', 'evses/gen2-1/pin', { vin }], ['POST', `evses/tesla-${vin}/pin`, { vin }]]);
  });
  await withCars({ cars: [carOf({ pinned_to: 'gen2-1', evse: { id: 'gen2-1', name: 'East', is_own_charger: false, matched_by: 'pin', confidence: 1 } })] }, async (page, sent) => {
    await page.getByRole('group', { name: 'You said that it is at East.' }).getByRole('button').click();
    await until(arrived(sent, 1));
    assert.deepEqual(sent[0].slice(0, 2), ['DELETE', 'evses/gen2-1/pin']);
  });
});

test('the budget says what was spent on what, and calls that were stopped are resumed', async () => {
  await withCars({ budget: budgetOf(true) }, async (page, sent) => {
    await page.waitForSelector('#budget:not([hidden])');
    assert.match(await page.locator('.period').nth(1).textContent(), /This month\$0\.875 of \$10\.00\$9\.13 leftReads 402 · Commands 31 · Wakes 2 of 20/);
    await page.locator('#budget summary').click();
    assert.match(await page.locator('#budget-purposes li').first().textContent(), /Looking from time to timeReads 402\$0\.804/);
    assert.equal(await page.locator('#budget-stopped-text').textContent(), 'Tesla wants payment.');
    await page.click('#budget-resume');
    await until(arrived(sent, 1));
    assert.deepEqual(sent[0].slice(0, 2), ['POST', 'cars/budget/resume']);
  });
  await withCars({ cars: [carOf({ is_billed: false })] }, async (page) => {
    await page.waitForSelector('#car-list article');
    assert.equal(await page.locator('#budget').isVisible(), false, 'nothing costs');
  });
});

test('a refusal is shown in the words of the program', () =>
  withCars({ refuse: 'It sleeps; wake it first.' }, async (page) => {
    await page.waitForSelector('#car-list article');
    await card(page, 'Blue').getByRole('button', { name: /^Stop/ }).click();
    await page.waitForFunction(() => document.querySelector('#car-list .error').textContent === 'It sleeps; wake it first.');
  }));

test('signing in at Tesla goes there and back, and leaves no code behind', async () => {
  const tesla = { configured: true, signed_in: false, region: 'EU', missing: ['sign in'], unpaired: [], pairing_url: null, trouble: null };
  await withCars({ tesla, hash: '#teslaAccount/state_mismatch' }, async (page, sent) => {
    await page.waitForSelector('#tesla:not([hidden])');
    await page.waitForFunction(() => document.querySelector('#tesla-error').textContent.includes('Begin again'));
    assert.equal(await page.locator('#tesla-missing li').textContent(), 'sign in');
    await page.locator('#tesla-region').selectOption('NA');
    await page.click('#tesla-begin');
    await page.waitForSelector('#tesla-return:not([hidden])');
    assert.equal(await page.locator('#tesla-open').getAttribute('href'), 'https://auth.example.org/authorize?state=x');
    await page.fill('#tesla-pasted', 'https://here.example.org/teslaAccount/callback?code=secret');
    await page.click('#tesla-return button');
    await until(arrived(sent, 2));
    assert.deepEqual(sent[0], ['POST', 'tesla/sign-in', { region: 'NA' }]);
    assert.equal(sent[1][1], 'tesla/sign-in/return');
    await page.waitForSelector('#tesla-return', { state: 'hidden' });
    assert.equal(await page.locator('#tesla-pasted').inputValue(), '');
  });
  await withCars({}, async (page) => {
    await page.waitForSelector('#car-list article');
    assert.equal(await page.locator('#tesla').isVisible(), false);
  });
});

test('names from cars are text, whatever they hold, and a bad address is no link', () => {
  const attack = '<img src=x onerror="window.hit = 1"><script>window.hit = 1</script>';
  const evil = carOf({
    id: attack, name: attack, vin: attack, place: attack, asked: { text: attack, age_s: 1, outcome: attack }, why: { code: attack, text: attack }, not_permitted: attack,
    facts: { soc: fact(50, 9999, attack) }, candidates: [{ id: attack, name: attack, confidence: 1 }],
  });
  const tesla = { configured: true, signed_in: true, region: attack, missing: [attack], unpaired: [attack], pairing_url: 'javascript:window.hit=1', trouble: { text: attack } };
  return withCars({ cars: [evil], tesla }, async (page) => {
    await page.waitForSelector('#car-list article');
    await page.waitForSelector('#tesla:not([hidden])');
    assert.equal(await page.locator('main img, main script').count(), 0);
    assert.equal(await page.evaluate(() => window.hit), undefined);
    assert.equal(await page.locator('#tesla-pair').getAttribute('href'), null);
    assert.match(await page.locator('#car-list h3').textContent(), /^<img/);
  });
});

test('a charging point says who sees its car and marks an estimate', () =>
  withCars({ change: (state) => {
    const view = (id, name, controller, isLocal, by) => ({ id, name, controller, is_local: isLocal, by, confidence: 1 });
    Object.assign(state.evses[0], { is_estimate: true, power_w: 2300 });
    state.evses[0].car.views = [view('gen2-1', 'East', 'Gen2TWCs', true, 'itself'), view('tesla-1', 'Blue', 'TeslaCars', false, 'vin')];
  } }, async (page) => {
    const first = page.locator('#evses article').first();
    assert.equal(await first.locator('.power').textContent(), '≈ 2.30 kW');
    assert.match(await first.locator('dl').textContent(), /Seen byEast · the car itself/);
  }));

for (const [width, colorScheme] of [[320, 'light'], [390, 'dark'], [1280, 'light']]) {
  test(`cars fit into ${width} pixels, ${colorScheme}`, () => {
    const cars = threeCars();
    cars[0].name = 'AVeryLongNameWithoutAnySpaceThatSomebodyGaveToTheirCar';
    const tesla = { configured: true, signed_in: false, region: 'EU', missing: ['x'.repeat(120)], unpaired: [BLUE], pairing_url: 'https://example.org/_ak/x', trouble: { text: 'y'.repeat(90) } };
    return withCars({ cars, tesla, budget: budgetOf(true), colorScheme, viewport: { width, height: 900 } }, async (page) => {
      await page.waitForSelector('#budget:not([hidden])');
      await page.locator('#budget summary').click();
      await page.click('#tesla-begin');
      await page.waitForSelector('#tesla-return:not([hidden])');
      const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.ok(content <= window, `${content} > ${window}`);
      for (const control of await page.locator('#cars :is(button, input, select):visible, #tesla :is(button, input, select):visible').all()) {
        const name = await control.evaluate((element) => element.getAttribute('aria-label') || element.labels?.[0]?.textContent || element.textContent);
        assert.ok(name.trim().length > 0, await control.evaluate((element) => element.outerHTML));
      }
      if (process.env.SHOTS) {
        for (const place of ['cars', 'tesla']) await page.locator(`#${place}`).screenshot({ path: `${process.env.SHOTS}/${place}-${width}.png` });
      }
    });
  });
}
