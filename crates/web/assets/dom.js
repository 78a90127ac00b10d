// Elements and text. Data from outside goes in as text only, through these functions.

const SVG = 'http://www.w3.org/2000/svg';

export const byId = (id) => document.getElementById(id);

// An element with attributes and children; a child that is not an element becomes text.
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(key, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Changes only what is different, so that nothing flickers, no selection is lost and nothing is read out twice.
export function setText(element, value) {
  const next = value === null || value === undefined ? '' : String(value);
  if (element.textContent !== next) element.textContent = next;
}

export function setAttribute(element, name, value) {
  if (value === false || value === null || value === undefined) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value === true ? '' : value)) {
    element.setAttribute(name, value === true ? '' : String(value));
  }
}

export function setHidden(element, isHidden) {
  if (element.hidden !== isHidden) element.hidden = isHidden;
}

// Keeps one child of `parent` for each item, in order; those that stay are the same elements as before.
export function keyed(parent, items, keyOf, make) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  const views = [];
  for (const item of items) {
    const key = keyOf(item);
    let child = old.get(key);
    old.delete(key);
    if (!child) {
      child = make(item);
      child.dataset.key = key;
    }
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    views.push([item, child]);
  }
  for (const child of old.values()) child.remove();
  return views;
}

let unproven = null;

// `signIn` is called when the program asks for the password; it tells whether it got it.
export function whenUnproven(signIn) {
  unproven = signIn;
}

// Sends a command and shows in `place` what went wrong, in the program's own words.
export async function command(text, place, method, path, body) {
  return (await ask(text, place, method, path, body)) !== null;
}

// The same, and gives what was answered; null when it failed.
export async function ask(text, place, method, path, body, maySignIn = true) {
  setText(place, '');
  const send = () =>
    fetch(`/api/v2/${path}`, {
      method,
      headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  let answer;
  try {
    answer = await send();
    if (answer.status === 401 && maySignIn && unproven && (await unproven())) answer = await send();
  } catch {
    setText(place, text.unreachable);
    return null;
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  setText(place, typeof told.error === 'string' ? told.error : text.refused(answer.status));
  return null;
}
