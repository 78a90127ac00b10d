// Signing in at Tesla: how it stands, what is missing, and the way there and back.
import { ask, byId, el, keyed, setAttribute, setHidden, setText } from './dom.js';
import { text } from './text.js';

const HASH = '#teslaAccount/';

// An address of the web, or null: nothing else may become a link.
function webAddress(told) {
  try {
    const address = new URL(told);
    return ['http:', 'https:'].includes(address.protocol) ? address.href : null;
  } catch {
    return null;
  }
}

export class Tesla {
  #hasResult = false;

  constructor() {
    const region = byId('tesla-region');
    region.append(...Object.entries(text.teslaRegions).map(([value, name]) => el('option', { value }, name)));
    byId('tesla-form').addEventListener('submit', (event) => this.#begin(event));
    byId('tesla-return').addEventListener('submit', (event) => this.#finish(event));
    document.addEventListener('visibilitychange', () => document.hidden || this.load());
    window.addEventListener('hashchange', () => this.#result());
    this.load().then(() => this.#result());
  }

  async load() {
    let told = null;
    try {
      const answer = await fetch('/api/v2/tesla');
      if (answer.ok) told = await answer.json();
    } catch {
      return;
    }
    setHidden(byId('tesla'), !told?.configured && !this.#hasResult);
    if (told?.configured) this.#show(told);
  }

  #show(told) {
    const region = text.teslaRegions[told.region] ?? told.region;
    setText(byId('tesla-state'), told.fixed_token ? text.teslaFixed : told.signed_in ? text.teslaSignedIn(region) : text.teslaSignedOut);
    setText(byId('tesla-trouble'), told.trouble?.text);
    const missing = told.missing ?? [];
    setHidden(byId('tesla-missing-title'), missing.length === 0);
    for (const [sentence, item] of keyed(byId('tesla-missing'), missing, (sentence) => sentence, () => el('li'))) setText(item, sentence);
    const unpaired = told.unpaired ?? [];
    const pairing = webAddress(told.pairing_url);
    setHidden(byId('tesla-pairing'), unpaired.length === 0);
    setText(byId('tesla-unpaired'), text.teslaUnpaired(unpaired.join(', ')));
    setHidden(byId('tesla-pair'), !pairing);
    setAttribute(byId('tesla-pair'), 'href', pairing);
    setHidden(byId('tesla-form'), told.fixed_token === true);
    setText(byId('tesla-begin'), told.signed_in ? text.teslaAgain : text.teslaBegin);
    if (document.activeElement !== byId('tesla-region') && told.region) byId('tesla-region').value = told.region;
  }

  async #begin(event) {
    event.preventDefault();
    const told = await ask(text, byId('tesla-error'), 'POST', 'tesla/sign-in', { region: byId('tesla-region').value });
    if (!told) return;
    const address = webAddress(told.address);
    if (!address) return setText(byId('tesla-error'), text.teslaBadAddress);
    setAttribute(byId('tesla-open'), 'href', address);
    setHidden(byId('tesla-return'), false);
    byId('tesla-open').focus();
  }

  async #finish(event) {
    event.preventDefault();
    const pasted = byId('tesla-pasted').value.trim();
    if (!(await ask(text, byId('tesla-error'), 'POST', 'tesla/sign-in/return', { pasted }))) return;
    this.#end();
    setText(byId('tesla-done'), text.teslaResults.success);
    await this.load();
  }

  // The code that was pasted does not stay in the page.
  #end() {
    byId('tesla-pasted').value = '';
    setHidden(byId('tesla-return'), true);
    setAttribute(byId('tesla-open'), 'href', null);
  }

  // A sign-in that came back by redirect says in the address how it ended.
  #result() {
    if (!location.hash.startsWith(HASH)) return;
    let code = location.hash.slice(HASH.length);
    try {
      code = decodeURIComponent(code);
    } catch {
      // It is shown as it is.
    }
    history.replaceState(null, '', location.pathname);
    const isDone = code === 'success';
    if (isDone) this.#end();
    setText(byId(isDone ? 'tesla-done' : 'tesla-error'), Object.hasOwn(text.teslaResults, code) ? text.teslaResults[code] : text.teslaResult(code));
    this.#hasResult = true;
    setHidden(byId('tesla'), false);
    byId('tesla').scrollIntoView();
    this.load();
  }
}
