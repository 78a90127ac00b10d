// Keeps the state up to date from the event stream, and notices when it no longer is.

// Without any event for so long, the connection is taken for dead: the program tells something every five seconds.
const SILENCE_MS = 12000;
const RETRY_MS = 2000;

// JSON merge patch, except that null stays null: in a snapshot, absent and null mean the same.
export function merge(target, patch) {
  const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);
  if (!isObject(patch)) return patch;
  const out = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (key === '__proto__') continue;
    out[key] = merge(out[key], value);
  }
  return out;
}

export class Stream {
  #source = null;
  #state = null;
  #heardMs = 0;
  #isOpen = false;
  #ahead = 0;
  #tell;

  constructor(tell) {
    this.#tell = tell;
    this.#connect();
    setInterval(() => this.#watch(), 1000);
    document.addEventListener('visibilitychange', () => document.hidden || this.#watch());
  }

  get state() {
    return this.#state;
  }

  // The program's clock, reckoned from its last word: the clock of this device may be wrong.
  get now() {
    return performance.now() / 1000 + this.#ahead;
  }

  get isLive() {
    return this.#isOpen && this.#state !== null && performance.now() - this.#heardMs < SILENCE_MS;
  }

  // Whoever just signed in or out may look at more or less than before.
  reconnect() {
    this.#connect();
  }

  #connect() {
    this.#source?.close();
    this.#isOpen = false;
    this.#heardMs = performance.now();
    const source = new EventSource('/api/v2/events');
    this.#source = source;
    source.addEventListener('snapshot', (event) => this.#take(source, JSON.parse(event.data)));
    source.addEventListener('change', (event) => {
      if (this.#state) this.#take(source, merge(this.#state, JSON.parse(event.data)));
    });
    source.addEventListener('error', () => {
      if (source !== this.#source) return;
      this.#isOpen = false;
      this.#tell();
      // A browser gives up for good on some answers, such as 503 while the program starts.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => source === this.#source && this.#connect(), RETRY_MS);
    });
  }

  #take(source, state) {
    if (source !== this.#source) return;
    this.#state = state;
    this.#isOpen = true;
    this.#heardMs = performance.now();
    this.#ahead = state.at - performance.now() / 1000;
    this.#tell();
  }

  #watch() {
    if (performance.now() - this.#heardMs >= SILENCE_MS) this.#connect();
    this.#tell();
  }
}
