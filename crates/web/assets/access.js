// Signing in and out, and the tokens of programs.
import { ask, byId, el, keyed, setHidden, setText, whenUnproven } from './dom.js';
import { day } from './format.js';
import { text } from './text.js';

export class Access {
  #dialog = byId('sign-in');
  #password = byId('sign-in-password');
  #error = byId('sign-in-error');
  #state = null;
  #answer = null;
  #tell;

  // `tell` is called when this browser may look at more or less than before.
  constructor(tell) {
    this.#tell = tell;
    whenUnproven(() => this.#signIn());
    this.#dialog.addEventListener('close', () => this.#finish(false));
    byId('sign-in-cancel').addEventListener('click', () => this.#dialog.close());
    byId('sign-in-form').addEventListener('submit', (event) => this.#send(event));
    for (const id of ['access-button', 'access-enter']) byId(id).addEventListener('click', () => this.#press());
    byId('token-form').addEventListener('submit', (event) => this.#create(event));
    byId('token-copy').addEventListener('click', () => navigator.clipboard.writeText(byId('token-secret').textContent));
    document.addEventListener('visibilitychange', () => document.hidden || this.#load());
    this.#load().then(() => this.#state?.read_needs_password && !this.#state.proof && this.#signIn());
  }

  async #load() {
    let answer;
    try {
      answer = await fetch('/api/v2/session');
    } catch {
      return;
    }
    const told = await answer.json().catch(() => ({}));
    setText(byId('access-error'), answer.ok ? '' : told.error ?? text.refused(answer.status));
    if (!answer.ok) return;
    this.#state = told;
    this.#show();
    if (told.proof) await this.#tokens();
  }

  #show() {
    const { is_password_set: isSet, proof, may_command: may, refusal, read_needs_password: closed } = this.#state;
    setHidden(byId('access-word'), isSet);
    setHidden(byId('access-button'), !isSet);
    setText(byId('access-button'), proof ? text.signOut : text.signIn);
    setText(byId('access-state'), isSet ? (proof ? text.signedIn : closed ? text.closed : text.locked) : text.noPassword);
    setText(byId('access-refusal'), isSet || may ? '' : refusal);
    setHidden(byId('access-enter'), !isSet || Boolean(proof));
    setHidden(byId('tokens'), !proof);
    if (!proof) {
      byId('token-list').replaceChildren();
      setHidden(byId('token-new'), true);
      setText(byId('token-secret'), '');
    }
  }

  async #press() {
    if (!this.#state?.proof) return this.#signIn();
    if (!(await ask(text, byId('access-error'), 'DELETE', 'session'))) return;
    await this.#load();
    this.#tell();
  }

  // Asks for the password; true once it was right, false when the person gave up.
  #signIn() {
    return new Promise((done) => {
      this.#answer?.(false);
      this.#answer = done;
      setText(this.#error, '');
      this.#password.value = '';
      if (!this.#dialog.open) this.#dialog.showModal();
    });
  }

  async #send(event) {
    event.preventDefault();
    const password = this.#password.value;
    // What is wrong is said here; to be asked again by itself would never end.
    if (!(await ask(text, this.#error, 'POST', 'session', { password }, false))) return this.#password.select();
    await this.#load();
    this.#finish(true);
    this.#tell();
  }

  #finish(isSignedIn) {
    this.#answer?.(isSignedIn);
    this.#answer = null;
    this.#password.value = '';
    if (this.#dialog.open) this.#dialog.close();
  }

  async #tokens() {
    const told = await ask(text, byId('token-error'), 'GET', 'tokens');
    if (!told) return;
    const make = (token) => {
      const revoke = el('button', { type: 'button', 'aria-label': text.revokeToken(token.name) }, text.revoke);
      revoke.addEventListener('click', () => this.#revoke(token));
      return el('li', {}, el('strong', {}, token.name), el('span', { class: 'quiet reading' }), revoke);
    };
    setHidden(byId('tokens-none'), told.tokens.length > 0);
    for (const [token, item] of keyed(byId('token-list'), told.tokens, (token) => token.id, make)) {
      setText(item.children[1], text.tokenDates(day(token.created), token.last_used ? day(token.last_used) : null));
    }
  }

  async #create(event) {
    event.preventDefault();
    const input = byId('token-name');
    const made = await ask(text, byId('token-error'), 'POST', 'tokens', { name: input.value });
    if (!made) return;
    input.value = '';
    setText(byId('token-secret'), made.token);
    setHidden(byId('token-new'), false);
    setHidden(byId('token-copy'), !navigator.clipboard);
    await this.#tokens();
  }

  async #revoke(token) {
    if (!window.confirm(text.revokeSure(token.name))) return;
    await ask(text, byId('token-error'), 'DELETE', `tokens/${encodeURIComponent(token.id)}`);
    await this.#tokens();
  }
}
