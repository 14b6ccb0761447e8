// How long somebody looked: three clocks for the page and for each of its sections.
//
// Time is only ever added up when something changes (a section comes or goes, the page is hidden, focus moves), and
// once a second; nothing runs for each frame. A clock tells the whole since its epoch began, so a report that is lost,
// comes twice or comes late cannot spoil a total: the server takes the largest.
import { now, on } from "./page";
import type { About } from "./types";

const IDLE = 30_000; // ms without input after which nobody is taken to be there
const LONGEST = 10_000; // ms between two looks while visible; more, and the computer was asleep
const LATE = 5_000; // ms after the first paint; a script that comes later knows nothing of what was before
const SOON = 300; // the same where the page is scrolled already

/** Visible, focused and active, in ms; `attention` is active time that no other section shares. */
export interface Clock {
  about: About;
  visible: number;
  focused: number;
  active: number;
  attention: number;
  /** What reading it takes, in ms; 0 when unknown. */
  takes: number;
  /** `visible` as last reported. */
  told: number;
}

export const clock = (about: About, takes = 0): Clock => ({ about, takes, visible: 0, focused: 0, active: 0, attention: 0, told: 0 });

/** Ticking now: the page's clock, those of sections on screen, and of these the ones that share the attention. */
let page: Clock | undefined;
let seen: Iterable<Clock> = [];
let sharing: Clock[] = [];

/** Whether the page is in front. */
export let visible = false;
let focused = false;
let last = 0; // when time was last added up
let first = 0; // the frame from which on time was added up, until we know when the first paint was
let input = 0; // when somebody last did something

const add = (one: Clock, ms: number, active: number) => {
  one.visible += ms;
  if (focused) one.focused += ms;
  one.active += active;
};

/** Add up the time since the last call, under what held until now. */
export const settle = (at = now()) => {
  if (at < last && last < 1 / 0) at = last;
  // Browsers tell late of the first paint, and it was not with the frame that we heard of first: busy ones show it later.
  if (first && paint() < at) {
    last -= first - paint();
    first = 0;
  }
  if (visible && page) {
    const ms = at - last > LONGEST ? 1000 : at - last;
    const active = Math.max(Math.min(0, ms), Math.min(at, input + IDLE) - (at - ms));
    add(page, ms, active);
    for (const one of seen) add(one, ms, active);
    if (sharing.length) for (const one of sharing) one.attention += active / sharing.length;
    else page.attention += active;
  }
  // While nobody said what ticks, time waits: the first who does gets what passed since the page was there.
  if (page || !visible) last = at;
};

/** A page begins at this time; what ticks will be said in a moment. */
export const from = (at: number) => {
  settle();
  page = undefined;
  last = at;
  first = 0;
};

/** From this time on these tick. */
export const run = (whole: Clock | undefined, sections: Iterable<Clock>, leaves: Clock[], at = now()) => {
  if (last == Infinity) last = first = at;
  settle(at);
  page = whole;
  seen = sections;
  sharing = leaves;
};

/** Somebody did something. Coming and coming back count as well. */
export const stirred = () => {
  const at = now();
  if (at - input > IDLE) settle();
  input = at;
};

const look = () => {
  settle();
  const shown = !document.hidden; // a page that is prepared in case somebody comes is hidden
  if (shown && !visible) stirred();
  visible = shown;
  focused = document.hasFocus();
};

/** Begin to watch whether the page is visible, has focus, and whether somebody is there. */
export const watch = (changed: () => void) => {
  on(window, "keydown pointerdown pointermove wheel touchmove", stirred);
  // Only the page's own scroll: carousels turn by themselves.
  on(document, "scroll", (event) => event.target == document && stirred());
  on(window, "focus blur", (event) => {
    // A window loses focus to a frame within it, too: `hasFocus` knows, the event does not.
    if (event.target == window) look();
  });
  on(document, "visibilitychange", () => {
    look();
    changed();
  });
  on(window, "pageshow", look);
  look();
};

const paint = () => performance.getEntriesByType("paint")[0]?.startTime ?? Infinity;

/** When the visitor began to see this page, if that was a moment ago; else now: who scrolled meanwhile saw other parts of it.
 * Before the first paint there is nothing to see: then it begins with the first frame that tells what is on screen. */
export const painted = () => (now() - paint() > (scrollY ? SOON : LATE) ? now() : paint());

/** What of a stretch of active time is attention, in ms: reading a thing for much longer than it takes adds less and
 * less. Without an expectation all of it counts. It never falls while time grows. */
export const attention = (one: Clock) => {
  const room = 2 * one.takes;
  return room ? room * (1 - Math.exp(-one.attention / room)) : one.attention;
};
