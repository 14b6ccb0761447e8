// Getting events to the server: in batches, again and again until it has them, each with an id by which it counts once.
import { open } from "./consent";
import { allow, kept, leftovers, numbered, stash, type Rest } from "./keep";
import { now, options, random, safely, wall } from "./page";
import { more } from "./sections";
import type { Fact, More, Signal } from "./types";

const FULL = 80; // events of one request: browsers send 64 kB at most for a page that is going
const LARGE = 3e4; // letters; the server takes no event of more than 32 kB
const SOON = 300; // ms; what happens together travels together
const LATEST = 60_000; // ms between tries

let waiting: Fact[] = [];
let going: Fact[] = []; // sent, or being sent again; not yet acknowledged
let timer = 0;
let rests = 0; // `now` before which the server wants to hear nothing
let tries = 0;
let busy = false;
/** The id of this page view; another after each navigation. */
export let view = random();
const first = view; // the stash has one name for the life of this document
let count = 0;

/** What the clocks have to tell, given by who owns them: now, in case the browser dies, and what another page kept so. */
export const source = {} as { tell: () => Fact[]; stand: () => Omit<Rest, "facts">; revive: (rest: Rest, at: number) => Fact[] };

export const renewView = () => {
  view = random();
};

export const who = () => (kept.user ? ["user:" + kept.user, "anonymous:" + kept.id] : ["anonymous:" + kept.id]);

/** A fact of now. */
export const fact = (signal: Signal, more: More & Partial<Fact>): Fact => ({
  id: view + "." + ++count,
  signal,
  at: wall(),
  who: who(),
  ...more,
});

/** Put a fact in the queue, to be sent soon: as it is now, and only what can be sent, or nothing beside it could. */
export const push = safely((one: Fact) => {
  const text = JSON.stringify(one);
  if (text.length > LARGE) return;
  waiting.push(JSON.parse(text));
  // In a task of its own: the device's store is slow to open, and whoever told us may be in the way of a frame.
  setTimeout(hold);
  soon(SOON);
});

const pending = () => going.concat(waiting);

/** Put what the clocks have to tell into the queue. Returns everything that was not acknowledged yet. */
export const gather = () => {
  waiting.push(...source.tell());
  return pending();
};

/** Keep on the device what would be lost if the browser died now. */
export const hold = () => stash(first, { facts: numbered(pending()).concat(more.counted?.() || []), ...source.stand() });

/** Whether the server is out of reach, as far as we know. */
export const cutOff = () => tries > 0 || !navigator.onLine;

const soon = (ms: number) => {
  if (!timer) timer = setTimeout(send, ms);
};

/** Send what waits and what the clocks have to tell; with the event that says so the line is there again, and nothing keeps us waiting. */
export const flush = (online?: unknown) => {
  if (online) rests = 0;
  gather();
  send();
};

// Without the clocks, which always have something to tell: a rest that is sent must not make another.
const send = () => {
  clearTimeout(timer);
  timer = 0;
  if (busy) return;
  if (now() < rests) return soon(rests - now());
  if (!going.length) going = waiting.splice(0, FULL);
  if (going.length) post();
};

const body = (events: Fact[]) => JSON.stringify({ writeKey: options.key, sent_at: wall(), events: numbered(events) });

// Text and not JSON: browsers ask for leave before they send JSON to another origin, and there is no time for that when
// a page goes. The server looks at the bytes.
const request = (path: string, text: string) =>
  fetch(options.url + path, { method: "POST", body: text, keepalive: document.hidden, signal: AbortSignal.timeout(30_000) });

const post = async () => {
  busy = true;
  let wait = 0;
  try {
    const answer = await request("/v1/events", body(going));
    const status: any = answer.status;
    if (/408|429|5../.test(status)) {
      wait = +answer.headers.get("retry-after")! * 1000;
      throw 0;
    }
    done();
    if (status == 401) {
      // Nobody's key: no later try can help, and the shop should hear of it.
      open(false);
      stop();
      console.warn("plait: bad key");
    }
  } catch {
    // Half of the wait is chance, or all browsers would come back in the same second.
    const step = Math.min(LATEST, 1000 * 2 ** tries++) / 2;
    wait = Math.max(wait, step + Math.random() * step);
    rests = now() + wait;
    hold();
  }
  busy = false;
  if (wait || going.length || waiting.length) soon(wait);
};

let left: string[] = []; // stashes of earlier pages whose events wait here

const done = () => {
  going = [];
  tries = 0;
  if (!waiting.length) for (const name of left.splice(0)) stash(name);
  hold();
};

/** The page may be gone in a moment: hand everything to the browser, which delivers it without us. */
export const leave = () => {
  const facts = gather();
  for (let from = 0; from < facts.length; from += FULL) navigator.sendBeacon(options.url + "/v1/events", body(facts.slice(from, from + FULL)));
  // Nobody tells us whether it arrived; the next page sends it once more, and the server counts it once.
  hold();
};

/** Send what earlier pages could not. */
export const recover = () =>
  leftovers((name, rest, at) => {
    if (name == first || left.includes(name)) return;
    left.push(name);
    waiting.push(...rest.facts, ...source.revive(rest, at));
    soon(0);
  });

/** What waits is dropped, and nothing of it stays on the device. */
export const stop = () => {
  waiting = going = [];
  stash(first);
  allow(false);
};

/** Ask for a page: what just happened goes with the question, so that it counts in the answer. */
export const ask = async (question: Record<string, unknown>): Promise<any> => {
  const mine = gather().slice(-FULL);
  const text = JSON.stringify({ ...question, ...(mine.length && { events: numbered(mine) }) });
  const answer = await request("/v1/personalize?writeKey=" + encodeURIComponent(options.key), text);
  const found = await answer.json();
  if (!answer.ok) throw Error(found.message);
  // What went along is durable now.
  const rest = (one: Fact) => !mine.includes(one);
  waiting = waiting.filter(rest);
  if (!busy) going = going.filter(rest);
  hold();
  return found;
};
