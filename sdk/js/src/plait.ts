// Plait in the browser: what people look at, for how long, and what they do; and a page that answers it.
//
// This is where the pieces are put together. One page view is one stretch between two navigations; within it each change
// of who somebody is begins an epoch of its own, so that nothing seen before is told of somebody else.
import { giveUp, watchActs, type Track } from "./acts";
import { attention, painted, settle, visible, watch, type Clock } from "./clocks";
import { mayCollect, need, open, said } from "./consent";
import { allow, become, keep, kept, read, renew } from "./keep";
import { here, now, on, options, safely, seconds, take, wall } from "./page";
import { about, begin, clocks, follow, more, scan, weigh, zero } from "./sections";
import { ask, cutOff, fact, flush, gather, hold, leave, push, recover, renewView, source, stop, view as viewId, who } from "./send";
import type { Asked, Consent, Decision, Fact, How, More, Options, Signal } from "./types";

const SHORTEST = 200; // ms on screen below which a section was only passed
const LONGEST = 60; // seconds between two reports of the clocks

let epoch = 0;
let since = 0; // wall time at which this epoch began
let place = ""; // the page that is measured
let due = 0; // looks until the clocks are told next, one a second
let pause = 0;

/** Tell of any act. */
export const track: Track = (signal, said = {}) => {
  if (mayCollect()) push(fact(signal, { about: about(), ...said }));
};

// Whether a clock has something to tell, and what.
const ripe = (one: Clock) => one.visible > one.told && one.visible > SHORTEST;
const dwells = (clocks: Clock[], said: Partial<Fact>, grown?: object): Fact[] =>
  clocks.filter(ripe).map((one) => {
    one.told = one.visible;
    return fact("dwell", {
      about: one.about,
      value: seconds(attention(one)),
      properties: {
        visible: seconds(one.visible),
        focused: seconds(one.focused),
        active: seconds(one.active),
        ...(one.takes ? { expected: seconds(one.takes) } : grown),
      },
      ...said,
    });
  });
const counter = () => ({ view: viewId, started_at: since, epoch });

source.tell = () => {
  settle();
  weigh();
  return mayCollect() ? (more.counted?.(true) || []).concat(dwells(clocks(), { counter: counter() }, more.grown?.())) : [];
};
source.stand = () => ({ said: { who: who(), counter: counter() }, clocks: clocks().filter(ripe) });
source.revive = ({ clocks, said }, at) => dwells(clocks, { ...said, at });

const view = (moves?: number, at = now()) => {
  renewView();
  place = here();
  epoch = 0;
  since = wall();
  begin(at);
  due = pause = 5;
  if (!more.waits?.(moves)) push(fact("view", { about: about(), context: more.circumstances?.()! }));
  more.viewed?.();
};

/** End what is measured of this page. */
const end = () => {
  more.waits?.(2); // it goes
  giveUp(track);
  gather();
};

export const moved = (event?: { navigationType?: string }) => {
  if (!since || !mayCollect() || here() == place) return;
  // An address that is only tidied up (a campaign taken out, a filter put in) is the same page.
  if (event?.navigationType == "replace" && place.split("?")[0] == here().split("?")[0]) place = here();
  else {
    end();
    view(1);
  }
};

/** Clocks at zero: from here on it is somebody else, or under another consent. */
const turn = (change: () => void) => {
  gather();
  change();
  epoch++;
  since = wall();
  if (mayCollect()) zero();
};

const tick = () => {
  more.each?.();
  if (!visible || !mayCollect()) return;
  settle(); // each second, so that a longer gap means that the computer slept
  moved();
  // Out of reach nothing is put into the queue, or an hour of it would be written down each second; the clocks are all there is.
  if (--due < 1 && !cutOff()) {
    due = pause = Math.min(LONGEST, pause * 2);
    flush();
  } else hold();
};

const go = (at?: number) => {
  allow(true);
  keep();
  view(0, at);
  setTimeout(recover, 4_000);
};

/** Another tab may have signed in or out, or been told yes or no: the cookie is the last word. */
const agree = () => {
  const other = read();
  if (other?.id && (other.id != kept.id || other.user != kept.user)) turn(() => become({ user: undefined, ...other, consent: kept.consent }));
  consent(other?.consent || {});
};

/** Begin. A second time, or inside a frame, does nothing. */
export const init = safely((given: Options) => {
  if (options || (self != top && !given.frame)) return;
  take(given);
  become(read());
  open(true);
  need(given.consent == "required");
  watch(() => {
    if (visible) agree();
    if (!mayCollect()) return;
    if (visible) recover();
    else flush(), hold();
  });
  watchActs(track);
  follow();
  on(window, "pagehide", () => {
    if (mayCollect()) {
      end();
      leave();
    }
  });
  on(window, "pageshow", (event) => event.persisted && mayCollect() && view());
  on(window, "online", flush);
  // Where there is no Navigation API, the second hand notices, and `more.ts` at once.
  on((window as any).navigation || window, "currententrychange popstate", moved);
  setInterval(safely(tick), 1000);
  more.began?.();
  consent({});
  if (mayCollect() && !since) go(painted());
});

/** Say who this is. What was seen before is not told of them; the server links it if they allow. */
export const identify = (user: string, traits?: Record<string, unknown>) => {
  // An object would be the same person for everybody.
  if (!user || (user as unknown) instanceof Object || !mayCollect()) return;
  if (kept.user != user)
    turn(() => {
      kept.user = "" + user;
      keep();
    });
  push(fact("identify", { traits: traits! }));
};

/** Forget who this was: signed out, or another person at the same device. */
export const reset = () => {
  if (mayCollect()) turn(renew);
};

/** Say what is allowed, as `{collect, personalize, link, social}`; what is not named stays. */
export const consent = (told: Consent) => {
  const before = mayCollect();
  const was = who();
  if (before) gather();
  const fresh = said(told);
  const may = mayCollect();
  if (!fresh || !(before || may)) return;
  if (!before) go();
  else if (may) turn(() => {});
  // The last word counts for the id that was collected until now; what was said while nothing was, is said now.
  push(fact("consent", { consent: before ? fresh : kept.consent!, who: was }));
  if (may) return;
  flush();
  setTimeout(() => mayCollect() || stop(), 5_000);
};

/** Ask what to show. What happened until this moment counts in the answer. */
export const personalize = async (placements: (string | Asked)[], how: How = {}): Promise<Decision> =>
  ask({
    identifiers: mayCollect() ? ["anonymous:" + kept.id] : [],
    page: { url: here(), item: about().item },
    placements: placements.map((one) => (typeof one == "string" ? { id: one } : one)),
    ...how,
  });

/** The id of this browser, and of this page view. */
export const ids = () => ({ anonymous: kept.id, view: viewId });

const act = (signal: Signal) => (item?: string, said: Omit<More, "about"> = {}) => track(signal, { ...said, ...(item && { about: { item } }) });
type Act = ReturnType<typeof act>;

export const api = {
  track, identify, reset, consent, personalize, flush, ids, scan,
  search: (query: string) => track("search", { about: { query } }),
} as {
  track: Track; identify: typeof identify; reset: typeof reset; consent: typeof consent; personalize: typeof personalize;
  flush: typeof flush; ids: typeof ids; scan: typeof scan; search(query: string): void; page(): void;
  add: Act; remove: Act; checkout: Act; purchase: Act; save: Act; share: Act; click: Act; shown: Act;
};
for (const name of "add remove checkout purchase save share click shown".split(" ") as "add"[]) api[name] = act(name);
