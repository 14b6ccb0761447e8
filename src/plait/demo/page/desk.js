// The shop's side of plait.js: who is here, the tokens that speak for them, and what only the shop's server may do.
// Everything that people do goes through the SDK; the page itself holds no key but the public one in its tag.

const nobody = () => Promise.reject(new Error("plait.js did not load"));
/** The SDK; where something blocked it, calls that do nothing, and the shop goes on selling. */
export const plait = window.plait?.ids ? window.plait : new Proxy({}, { get: (_, name) => (name === "ids" ? () => ({}) : name === "personalize" ? nobody : () => {}) });
export const listening = plait === window.plait;

export const shelf = { products: new Map(), posts: new Map(), promotions: new Map(), articles: new Map(), departments: [], colours: {} };
export const state = { session: null };

const listeners = new Set();
/** Call `heard` when the visitor changed (`"visitor"`), or what the shop knows of them (`"session"`). */
export function listen(heard) { listeners.add(heard); }
function changed(what) { for (const heard of listeners) heard(what); }

export async function shop(path, body) {
  const answer = await fetch(`/shop/${path}`, body === undefined ? {} : {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.message ?? `the shop answered ${answer.status}`);
  return told;
}

/** What the SDK keeps in its cookie: `{id, user, consent}`. */
export function kept() {
  const found = document.cookie.match(/(?:^|; )plait=([^;]+)/);
  try { return found ? JSON.parse(decodeURIComponent(found[1])) : {}; } catch { return {}; }
}

/** Load the shelf and find out who this browser is. Returns whether it is who the page was made for. */
export async function begin() {
  const [stock, session] = await Promise.all([shop("shelf"), shop("session")]);
  for (const kind of ["products", "posts", "promotions", "articles"]) for (const one of stock[kind]) shelf[kind].set(one.id, one);
  Object.assign(shelf, { departments: stock.departments, colours: stock.colours });
  state.session = session;
  // The shop forgot its sessions (it was started anew), or the other way round: the two must not speak of two people.
  const same = (kept().user ?? null) === session.user;
  if (!same) {
    if (kept().user) plait.reset();
    if (session.user) plait.identify(session.user);
    state.session = await shop("session");
  }
  setInterval(async () => { if (state.session.expires_at - Date.now() < 180_000) take(await shop("session")); }, 60_000);
  return same;
}

function take(session) {
  const other = session.identifier !== state.session?.identifier;
  state.session = session;
  for (const one of document.querySelectorAll("plait-placement")) token(one);
  changed(other ? "visitor" : "session");
  return session;
}

/** What goes on a slot so that it is filled for a known person. */
export function token(placement) {
  if (state.session.token) placement.dataset.token = state.session.token;
  else delete placement.dataset.token;
}

/** Look through other eyes: a device nobody saw before, and the person the shop says it is. */
export async function become(guest) {
  plait.reset();
  const session = await shop("become", { guest });
  if (session.user) plait.identify(session.user);
  return take(session);
}

/** Sign in: what this device did is that customer's from now on. */
export async function signIn(name, email) {
  const session = await shop("sign-in", { name, email });
  plait.identify(session.user, { name });
  return take(session);
}

export async function signOut() {
  plait.reset();
  return take(await shop("sign-out", {}));
}

export const offers = () => shop("offers");
export const profile = () => shop("profile");

export async function connect(account) {
  const session = await shop("connect", { account });
  plait.identify(session.user);
  return take(session);
}

export async function like(post, on) { return take(await shop("like", { post, on })); }

/** What is allowed, said by this device and, for who is known, by the shop. */
export async function agree(purpose, granted) {
  const device = plait.ids().anonymous;
  plait.consent({ [purpose]: granted });
  const session = await shop("consent", { purpose, granted });
  // A refusal to collect takes the id off the device, and a new yes begins with another one.
  take(plait.ids().anonymous === device ? session : await shop("session"));
}

export async function forget() {
  const session = await shop("forget", {});
  plait.reset();
  return take(await shop("session") ?? session);
}

let asked = 0;
/** Something happened that may change the page: its slots are asked for again, together. */
export function again() {
  clearTimeout(asked);
  asked = setTimeout(() => document.querySelector("plait-placement")?.refresh?.(), 30);
}
