// Plait in the browser: what people look at, for how long, and what they do; and a page that answers it.
//
// This is where the pieces are put together. One page view is one stretch between two navigations; within it each change
// of who somebody is begins an epoch of its own, so that nothing seen before is told of somebody else.
import { giveUp, searched, watchActs, type Track } from "./acts";
import { attention, isVisible, painted, settle, watch } from "./clocks";
import { listen, mayCollect, said } from "./consent";
import { keep, kept, open, renew } from "./keep";
import { here, near, now, on, safely, told, wall } from "./page";
import { about, begin, clocks, follow, halt, scan, zero } from "./sections";
import { ask, fact, flush, hold, leave, push, recover, renewView, resume, setUp, source, stop, viewId } from "./send";
import type { About, Asked, Consent, Decision, Fact, Options, Signal } from "./types";

const SHORTEST = 200; // ms on screen below which a section was only passed
const LONGEST = 60_000; // ms between two reports of the clocks

let options: Options;
let started = false;
let epoch = 0;
let since = 0; // wall time at which this epoch began
let place = ""; // the page that is measured
let deepest = 0; // how far down somebody scrolled, 0..1
let report = 0; // `now` at which the clocks are told next
let pause = 5_000;

/** Tell of any act. */
export const track: Track = (signal, more = {}) => {
  if (started && mayCollect()) push(fact(signal, { ...more, about: { ...pageAbout(), ...more.about } }));
};

const pageAbout = (): About => {
  const found: About = {};
  const item = told(document.querySelector("html[data-plait-item],body[data-plait-item],main[data-plait-item]"), "item") || learned.item?.();
  const topic = told(document.querySelector("html[data-plait-topic],body[data-plait-topic],main[data-plait-topic]"), "topic");
  if (item) found.item = item;
  else if (topic) found.topic = topic;
  if (!item) found.url = here();
  return found;
};

/** What else can be known of a page; filled by pieces that are not in the core. */
export const learned: { item?: () => string | undefined } = {};

const seconds = (ms: number) => Math.floor(ms) / 1000;

// What the clocks have to tell. With `tell` it is sent; without, it is kept in case the browser dies.
source.clocks = (tell) => {
  settle();
  const found: Fact[] = [];
  for (const one of clocks()) {
    if (one.visible <= one.told || one.visible < SHORTEST) continue;
    if (tell) one.told = one.visible;
    found.push(
      fact(
        "dwell",
        {
          about: one.about,
          value: Math.floor(attention(one) * 1000) / 1000,
          counter: { view: viewId(), started_at: since, epoch },
          properties: {
            visible: seconds(one.visible),
            focused: seconds(one.focused),
            active: seconds(one.active),
            ...(one.about.section ? { takes: seconds(one.takes) } : { depth: Math.round(deepest * 100) / 100 }),
          },
        },
        tell,
      ),
    );
  }
  return found;
};

const device = () => ({
  screen: { width: screen.width, height: screen.height, density: devicePixelRatio },
  locale: navigator.language,
  timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  page: { title: document.title.slice(0, 200), referrer: document.referrer.split(/[?#]/)[0] },
});

const view = (at = now()) => {
  place = here();
  renewView();
  epoch = 0;
  deepest = 0;
  report = now() + (pause = 5_000);
  since = wall();
  const what = pageAbout();
  begin(what, at);
  push(fact("view", { about: what, context: device() }));
  const query = searched(options.search || "q,query,search,s");
  if (query) push(fact("search", { about: { query } }));
};

/** End what is measured of this page. */
const end = () => {
  giveUp(track);
  push$(source.clocks(true));
};

const push$ = (facts: Fact[]) => facts.forEach(push);

const moved = () => {
  if (started && mayCollect() && here() != place) {
    end();
    view();
  }
};

/** Clocks at zero: from here on it is somebody else, or under another consent. */
const turn = (change: () => void) => {
  push$(source.clocks(true));
  change();
  epoch++;
  since = wall();
  zero(pageAbout());
};

const tick = () => {
  if (!isVisible() || !mayCollect()) return;
  moved();
  const root = document.documentElement;
  deepest = Math.max(deepest, Math.min(1, (scrollY + innerHeight) / root.scrollHeight));
  if (now() >= report) {
    report = now() + (pause = Math.min(LONGEST, pause * 2));
    flush();
  } else hold();
};

const go = (at?: number) => {
  open(options, mayCollect() && !options.cookieless);
  resume();
  view(at);
  setTimeout(recover, 3_500);
};

/** Begin. A second time, or inside a frame, does nothing. */
export const init = safely((given: Options) => {
  if (started || (self != top && !given.frame)) return;
  options = given;
  setUp((options.url || "").replace(/\/$/, ""), options.key);
  open(options, false);
  listen(options, consent);
  const start = () => {
    started = true;
    watch(() => {
      if (!mayCollect()) return;
      if (isVisible()) recover();
      else flush();
    });
    watchActs(track);
    follow();
    on(window, "pagehide", () => {
      if (mayCollect()) {
        giveUp(track);
        leave();
      }
    });
    on(window, "pageshow", (event) => event.persisted && mayCollect() && view());
    on(window, "online", flush);
    on((window as any).navigation || window, "currententrychange popstate", moved);
    if (!(window as any).navigation)
      for (const name of ["pushState", "replaceState"] as const) {
        const act = history[name];
        history[name] = function (...how) {
          act.apply(this, how);
          safely(moved)();
        };
      }
    setInterval(safely(tick), 1000);
    if (mayCollect()) go(painted());
  };
  if ((document as any).prerendering) document.addEventListener("prerenderingchange", safely(start), { once: true });
  else start();
});

/** Say who this is. What was seen before is not told of them; the server links it if they allow. */
export const identify = (user: string, traits?: Record<string, unknown>) => {
  if (!started || !mayCollect()) return;
  if (kept.user != user)
    turn(() => {
      kept.user = "" + user;
      keep();
    });
  push(fact("identify", traits ? { traits } : {}));
};

/** Forget who this was: signed out, or another person at the same device. */
export const reset = () => {
  if (started && mayCollect()) turn(renew);
};

/** Say what is allowed, as `{collect, personalize, link, social}`; what is not named stays. */
export const consent = (told: Consent) => {
  const before = mayCollect();
  const was = kept.id;
  if (started && before) push$(source.clocks(true));
  const fresh = said(told);
  if (!fresh || !started) return;
  if (before && !mayCollect()) {
    // The last word: it is for the id that was collected until now.
    push({ ...fact("consent", { consent: fresh }), who: ["anonymous:" + was] });
    flush();
    setTimeout(stop, 5_000);
    halt();
  } else if (!before && mayCollect()) {
    go();
    push(fact("consent", { consent: fresh }));
  } else if (before) {
    turn(() => {});
    push(fact("consent", { consent: fresh }));
  }
};

/** Ask what to show. What happened until this moment counts in the answer. */
export const personalize = (placements: (string | Asked)[], more: { token?: string; explain?: boolean; details?: boolean } = {}): Promise<Decision> =>
  ask({
    identifiers: mayCollect() ? ["anonymous:" + kept.id] : [],
    page: pageAbout().item ? { url: here(), item: pageAbout().item } : { url: here() },
    placements: placements.map((one) => (typeof one == "string" ? { id: one } : one)),
    explain: true,
    ...more,
  });

/** The id of this browser, and of this page view. */
export const ids = () => ({ anonymous: kept.id, view: viewId() });

const act = (signal: Signal) => (item?: string, more: { value?: number; decision?: string; properties?: Record<string, unknown> } = {}) =>
  track(signal, { ...more, ...(item && { about: { item } }) });

export const api = {
  track, identify, reset, consent, personalize, flush, ids, scan,
  add: act("add"), remove: act("remove"), checkout: act("checkout"), purchase: act("purchase"),
  save: act("save"), click: act("click"), share: act("share"), shown: act("shown"),
  search: (query: string) => track("search", { about: { query } }),
};

export { about, near };
