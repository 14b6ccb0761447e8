// What the page says to Plait and asks of it. It holds the public write key and a token that speaks for one visitor
// for a quarter of an hour; whatever needs more goes to the shop's own server under /shop/.

export const shelf = { products: new Map(), posts: new Map(), promotions: new Map(), departments: [] };
export const state = { session: null, answer: null };

const listeners = new Set();
const pending = []; // events that nobody was told yet
let timer = 0;

let refill = () => {};
/** What the present page does to be asked for and drawn anew. */
export function refilledBy(work) { refill = work; }
export async function again() { try { await refill(); } catch (error) { changed(error); } }

/** Call `heard` after every answer and every change of visitor. */
export function listen(heard) { listeners.add(heard); }
function changed(what) { for (const heard of listeners) heard(what); }

export function random(bytes = 16) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (one) => one.toString(16).padStart(2, "0")).join("");
}

async function shop(path, body) {
  const answer = await fetch(`/shop/${path}`, body === undefined ? {} : {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.message ?? `the shop answered ${answer.status}`);
  return told;
}

/** Load the shelf and find out who this browser is. */
export async function begin() {
  const [stock, session] = await Promise.all([shop("shelf"), shop("session")]);
  for (const kind of ["products", "posts", "promotions"]) for (const one of stock[kind]) shelf[kind].set(one.id, one);
  shelf.departments = [...new Set(stock.products.map((one) => one.department))];
  state.session = session;
}

async function as(promise) {
  const session = await promise;
  const other = session.identifier !== state.session?.identifier;
  state.session = session;
  changed(other ? "visitor" : "session");
  return session;
}
export async function become(guest) { await tell(); return as(shop("become", { guest })); }
export const offers = () => shop("offers");
export const profile = () => shop("profile");
export async function connect(account) { await tell(); return as(shop("connect", { account })); }
export async function like(post, on) { return as(shop("like", { post, on })); }
export async function agree(purpose, granted) { await tell(); return as(shop("consent", { purpose, granted })); }
export async function forget() { pending.length = 0; return as(shop("forget", {})); }

async function session() {
  if (state.session.expires_at - Date.now() < 60_000) state.session = await shop("session");
  return state.session;
}

const headers = () => ({ "content-type": "application/json", authorization: `Bearer ${state.session.write_key}` });

/** Something happened: it goes along with the next question, or by itself when there is none soon. */
export function happened(signal, about, more = {}) {
  pending.push({ id: random(), signal, at: Date.now(), who: [state.session.identifier], about, ...more });
  clearTimeout(timer);
  timer = setTimeout(tell, 900);
}

/** Tell what is pending; on leaving the page, with a request that outlives it. */
export async function tell({ leaving = false } = {}) {
  clearTimeout(timer);
  if (!pending.length) return;
  const events = pending.splice(0);
  try {
    const answer = await fetch("/v1/events", { method: "POST", headers: headers(), body: JSON.stringify({ events }), keepalive: leaving });
    if (answer.status === 429 || answer.status >= 500) throw new Error(`${answer.status}`);
    changed("told");
  } catch {
    pending.unshift(...events); // ids stay, so telling twice counts once
    clearTimeout(timer);
    timer = setTimeout(tell, 4_000);
  }
}
addEventListener("pagehide", () => tell({ leaving: true }));
document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") tell({ leaving: true }); });

/** Ask for a page; what is pending counts in the answer. */
export async function ask(placements, page) {
  const who = await session();
  const events = pending.splice(0);
  clearTimeout(timer);
  const body = { identifiers: [who.identifier], ...(who.token ? { token: who.token } : {}), page, events, placements, explain: true };
  const began = performance.now();
  let answer;
  try {
    answer = await fetch("/v1/personalize", { method: "POST", headers: headers(), body: JSON.stringify(body) });
    if (!answer.ok) throw new Error((await answer.json()).message);
  } catch (error) {
    pending.unshift(...events);
    throw error;
  }
  const told = await answer.json();
  state.answer = { ...told, round: performance.now() - began, at: Date.now() };
  changed("answer");
  if (events.length) changed("told");
  return told;
}

/** Measure how long sections are really on the screen, and tell it as a growing count per section and page view. */
export function reading(item, parts, onread) {
  const view = random(8), started_at = Date.now(), seconds = new Map(), told = new Map(), inside = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const one of entries) {
      const covers = one.intersectionRatio >= 0.6 || one.intersectionRect.height >= 0.5 * innerHeight;
      covers ? inside.add(one.target) : inside.delete(one.target);
    }
  }, { threshold: [0, 0.2, 0.4, 0.6, 0.8, 1] });
  for (const part of parts) watch.observe(part);
  let last = performance.now();
  const tick = setInterval(() => {
    const now = performance.now(), passed = Math.min(now - last, 1_000) / 1_000;
    last = now;
    if (document.visibilityState !== "visible") return;
    for (const part of parts) {
      part.classList.toggle("now", inside.has(part));
      if (!inside.has(part)) continue;
      const name = part.dataset.section, sum = (seconds.get(name) ?? 0) + passed;
      seconds.set(name, sum);
      onread(part, sum);
      if (sum - (told.get(name) ?? 0) >= (told.has(name) ? 5 : 2)) say(name);
    }
  }, 250);
  function say(name) {
    const value = Math.round(seconds.get(name) * 10) / 10;
    told.set(name, seconds.get(name));
    happened("dwell", { item, section: name }, { value, counter: { view, started_at, epoch: 0 } });
  }
  return function stop() {
    clearInterval(tick);
    watch.disconnect();
    for (const [name, sum] of seconds) if (sum >= 1 && sum - (told.get(name) ?? 0) >= 0.5) say(name);
  };
}

/** Tell `shown` for what was on the screen for a second, once for each answer. */
export const seeing = (() => {
  const waiting = new Map(), done = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      clearTimeout(waiting.get(target));
      if (!isIntersecting) continue;
      waiting.set(target, setTimeout(() => {
        const { shown: item, decision } = target.dataset, key = `${decision} ${item}`;
        if (!target.isConnected || !item || done.has(key)) return;
        done.add(key);
        happened("shown", { item }, { decision });
      }, 1_000));
    }
  }, { threshold: 0.5 });
  return (element, item, decision) => {
    element.dataset.shown = item;
    element.dataset.decision = decision ?? "";
    watch.unobserve(element);
    watch.observe(element);
  };
})();
