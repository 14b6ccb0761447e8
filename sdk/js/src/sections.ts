// Which parts of the page are on screen.
//
// A section is seen when half of it is on screen, or when it fills half of the screen. The browser's own observer says so;
// sections larger than the screen have an observer with finer steps, since half of them may never be visible at once.
import { clock, from, run, type Clock } from "./clocks";
import { here, near, told } from "./page";
import type { About, Fact } from "./types";

const MOST = 1000; // sections of a page that are measured; what comes after is not
const FINE = Array.from({ length: 101 }, (_, step) => step / 100);

const ofElement = new Map<Element, Clock>();
const ofName = new Map<string, Clock>();
const onScreen = new Map<Element, Clock>();
/** The page's own clock. */
export let whole: Clock | undefined;
let known = false; // whether the observer told what is on screen
/** What else can be known of a page; filled by pieces that are not in the core. */
export const more: {
  /** What is worth a look where it comes or goes. */
  sought: string;
  /** Finds sections that are not marked. */
  marks?: (root: ParentNode) => Iterable<Element>;
  /** Says of what is not marked which section, item or topic it belongs to. */
  called?: (element: Element, what: string) => string | undefined;
  /** What the page is about. */
  product?: () => string | undefined;
  /** Everything is set up; nothing is kept or sent yet. */
  began?: () => void;
  /** Each second, whether anything may be kept or not. */
  each?: (() => void) | undefined;
  /** What else has a counter. */
  counted?: (tell?: boolean) => Fact[];
  /** Whether a page view waits until it is drawn, and is told then: 1 within an app, 0 for one that was loaded; 2 says that it goes. */
  waits?: (what?: number) => unknown;
  /** A page view began. */
  viewed?: () => void;
  /** What goes with a view. */
  circumstances?: () => Record<string, unknown>;
  /** What goes with the page's own clocks. */
  grown?: () => Record<string, unknown>;
} = { sought: "[data-plait-section],[data-plait-shadow]" };

const seen = (records: IntersectionObserverEntry[]) => {
  for (const { target, isIntersecting, intersectionRect: part, boundingClientRect: box } of records) {
    const tall = box.height > innerHeight;
    (tall ? fine : coarse).observe(target);
    (tall ? coarse : fine).unobserve(target);
    const one = ofElement.get(target);
    const area = box.width * box.height;
    if (one && isIntersecting && area && part.width * part.height >= Math.min(area, box.width * innerHeight) / 2 - 1) onScreen.set(target, one);
    else onScreen.delete(target);
  }
  known = true;
  // As of the frame that was looked at, however late we hear of it.
  share(records[0]!.time);
};

const coarse = new IntersectionObserver(seen, { threshold: [0, 0.5] });
const fine = new IntersectionObserver(seen, { threshold: FINE });

/** Attention goes to the innermost section on screen; of several beside each other each has its share. */
const share = (at?: number) => {
  if (!known) return;
  const around = new Set<Clock | undefined>();
  for (const element of onScreen.keys()) for (let up = above(element); up; up = above(up)) around.add(onScreen.get(up));
  const seen = [...new Set(onScreen.values())];
  run(whole, seen, seen.filter((one) => !around.has(one)), at);
};

const above = (element: Element): Element | undefined => element.parentElement || (element.getRootNode() as ShadowRoot).host;

/** What an element is about: the item, topic and section it stands in. Without one: what the page is about. */
export const about = (element: Element | null = document.querySelector("main") || document.body): About => {
  const find = (name: string) => told(near(element, `[data-plait-${name}]`), name) || (element && more.called?.(element, name));
  const item = find("item") || whole?.about.item || more.product?.();
  const section = find("section")!; // what is undefined is not told
  return item ? { item, section } : { url: here(), topic: find("topic") || whole?.about.topic!, section };
};

// Four words a second, and six seconds for a picture, a film or a table.
const takes = (element: Element) =>
  1000 + element.textContent!.split(/\s+/).length * 250 + element.querySelectorAll("img,video,table").length * 6000;

/** Much of what stands in a section comes after it: what it takes is known for good when it is first told of. */
export const weigh = () => {
  for (const [element, one] of ofElement) if (!one.told && one.visible) one.takes = takes(element);
};

/** Look for sections that came or went. */
export const scan = () => {
  const found = new Set<Element>();
  const roots: ParentNode[] = [document];
  for (const root of roots) {
    for (const host of root.querySelectorAll("[data-plait-shadow]")) if (host.shadowRoot) roots.push(host.shadowRoot);
    for (const element of [...root.querySelectorAll("[data-plait-section]"), ...(more.marks?.(root) || [])]) if (found.size < MOST) found.add(element);
  }
  for (const element of ofElement.keys())
    if (!found.has(element)) {
      coarse.unobserve(element);
      fine.unobserve(element);
      ofElement.delete(element);
      onScreen.delete(element);
    }
  for (const element of found) {
    if (ofElement.has(element)) continue;
    const what = about(element);
    // Two elements of one name are one section: it is seen when either is.
    const name = JSON.stringify(what);
    let one = ofName.get(name);
    if (!one) ofName.set(name, (one = clock(what, takes(element))));
    ofElement.set(element, one);
    coarse.observe(element);
  }
  share();
};

/** A page begins at a time of the page's clock: what is on screen will be told anew. */
export const begin = (at: number) => {
  from(at);
  whole = undefined;
  whole = clock(about());
  known = false;
  coarse.disconnect();fine.disconnect();
  ofElement.clear();onScreen.clear();ofName.clear();
  // The root is no section, but it is always there: the observer will say something about any page.
  coarse.observe(document.documentElement);
  scan();
};

/** What the page is about now, whatever it was. */
export const page = () => {
  const was = whole;
  whole = undefined;
  const found = about();
  whole = was;
  return found;
};

/** The page is drawn, and everything is named anew: what it is about, and its sections. Of one that goes nobody knows these any more. */
export const rename = (what: About, gone?: boolean) => {
  whole!.about = what;
  if (!gone) scan();
  ofName.clear();
  if (!gone)
    for (const [element, one] of ofElement) {
      one.about = about(element);
      one.takes = takes(element);
      ofName.set(JSON.stringify(one.about), one);
    }
};

/** A new epoch: every clock stands at zero. */
export const zero = () => {
  for (const one of clocks()) Object.assign(one, clock(one.about, one.takes));
};

/** Every clock of this page; the page's own comes first. */
export const clocks = (): Clock[] => (whole ? [whole, ...ofName.values()] : []);

/** Look again a moment after sections came or went, however often the page changes. */
export const follow = () => {
  let soon = 0;
  new MutationObserver((records) => {
    // Whatever else changes, as counters, carousels and lists do all the time, is no reason to look.
    if (records.some((one) => [...one.addedNodes, ...one.removedNodes].some((node: any) => node.matches?.(more.sought) || node.querySelector?.(more.sought))))
      soon ||= setTimeout(() => {
        soon = 0;
        scan();
      }, 100);
  }).observe(document, { childList: true, subtree: true });
};
