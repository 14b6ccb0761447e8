// What a page tells without being asked to: what it is about, what was searched for, how far somebody scrolled, what
// played, where links lead; and what other tools on it already say about carts and consent.
import { on, near, now, options, safely, seconds, target, told, wall } from "./page";
import { mayCollect, need } from "./consent";
import { kept } from "./keep";
import { consent, moved, track } from "./plait";
import { about, more } from "./sections";
import { fact, flush, view } from "./send";
import type { About, Consent, Fact, Signal } from "./types";

// -- the page

// The product a page is about, from its JSON-LD; of several kinds of ids, those that catalogs use as ids come first.
more.product = () => {
  for (const script of document.querySelectorAll('script[type="application/ld+json"]')) {
    const read = safely(() => JSON.parse(script.textContent || ""))();
    const things: any[] = [read?.mainEntity, read, ...[read?.["@graph"], Array.isArray(read) && read].flat()];
    for (const one of things)
      if (one && [one["@type"]].flat().includes("Product")) {
        const id = one.sku || one.productID || one.mpn;
        if (id) return "" + id;
      }
  }
  return undefined;
};

// Chromium takes up to 50 ms to get its calendars ready for `Intl`, and page and visitor wait.
const zone = () => {
  const times = (window as any).Temporal;
  return times ? times.Now.timeZoneId() : Intl.DateTimeFormat().resolvedOptions().timeZone;
};

more.circumstances = () => {
  const brands = (navigator as any).userAgentData;
  return {
    screen: { width: screen.width, height: screen.height },
    locale: navigator.language,
    timezone: zone(),
    // What the browser tells to everybody who asks politely; nothing that would tell this one from others.
    ...(brands && { platform: brands.platform, mobile: brands.mobile }),
    referrer: document.referrer.split(/[?#]/)[0],
    title: document.title.slice(0, 200),
  };
};

let deepest = 0;
const measure = () => (deepest = Math.max(deepest, Math.min(1, (scrollY + innerHeight) / document.documentElement.scrollHeight)));
on(document, "scrollend", measure);
more.grown = () => ({ depth: Math.round(measure() * 100) / 100 });

let ready = false;
more.viewed = () => {
  deepest = 0;
  const plays = [...films].filter(([, held]) => held.since);
  films.clear();
  for (const [film] of plays) running(film);
  const asked = new URLSearchParams(location.search);
  for (const name of (options.search || "q,query,search,s").split(",")) {
    const query = asked.get(name.trim());
    if (query) {
      track("search", { about: { query: query.slice(0, 200) } });
      break;
    }
  }
  if (!ready) {
    ready = true;
    if (options.ga4) follow("dataLayer", cart);
  }
};

// -- sections nobody marked

interface Rule { selector: string; section?: string; item?: string; topic?: string }

// The operator's rules, as the server put them before the script. An attribute's name after `@` stands for what is in it.
const rules: Rule[] = (window as any).plait_rules || [];
const meant = (element: Element | null, text: string | undefined) =>
  (element && text?.[0] == "@" ? element.getAttribute(text.slice(1)) : text) || undefined;

const heading = (element: Element) => element.querySelector("h1,h2,h3,h4");
const slug = (element: Element) => element.id || heading(element)?.textContent?.trim().toLowerCase().replace(/[^\p{L}\d]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60);
let learned = new Set<Element>();

// The innermost of what has a heading: a part of the page with a title is a section, what holds several is not.
const learn = (root: ParentNode) => {
  const all = [...root.querySelectorAll("section, article, [id]:not(body)")].filter((one) => heading(one) && !one.closest("nav,header,footer,form"));
  const around = new Set<Element>();
  for (const one of all) for (let up = one.parentElement; up && !around.has(up); up = up.parentElement) around.add(up);
  return all.filter((one) => !around.has(one));
};

more.marks = (root) => {
  const found = rules.filter((one) => one.section).flatMap((one) => safely(() => [...root.querySelectorAll(one.selector)])() || []);
  if (!options.learn) return found;
  const fresh = learn(root);
  learned = root == document ? new Set(fresh) : new Set([...learned, ...fresh]);
  return found.concat(fresh);
};

more.called = (element, what) => {
  for (const rule of rules) {
    const text = rule[what as "section"];
    const name = text && safely(() => meant(near(element, rule.selector), text))();
    if (name && near(element, rule.selector)) return name;
  }
  if (what == "section") for (let up: Element | null = element; up; up = up.parentElement) if (learned.has(up)) return slug(up);
  return undefined;
};

// -- links and films

const SHARES = /^mailto:\?|facebook\.com\/sharer|(twitter|x)\.com\/intent|wa\.me\/\?|t\.me\/share|linkedin\.com\/share|pinterest\.\w+\/pin\/create/;

on(document, "click", (event) => {
  const at = target(event);
  const link = near(at, "a[href]") as HTMLAnchorElement | null;
  if (!link || near(at, "[data-plait-track]")) return;
  if (SHARES.test(link.href)) track("share", { about: about(link), name: link.hostname || "mail" });
  else if (link.hostname && link.hostname != location.hostname)
    track("click", { about: { url: link.href.split("#")[0]! }, name: "outbound" });
});

// Seconds played, as a counter like those of the clocks: of all that is told of one film the largest counts.
interface Film { name: string; about: About; since: number; started: number; played: number; told: number }
const films = new Map<Element, Film>();
let count = 0;

const running = (film: Element) => {
  let held = films.get(film);
  if (!held) {
    const section = told(film, "name") || film.id;
    // Its counter has a name of its own, whether it has one or not: two films are two.
    held = { name: view + ".p" + ++count, about: { ...about(film), ...(section && { section }) }, since: 0, started: wall(), played: 0, told: 0 };
    films.set(film, held);
  }
  held.since = now();
};

const stopped = (held: Film) => {
  if (held.since) held.played += now() - held.since;
  held.since = 0;
};

more.counted = (tell) => {
  const found: Fact[] = [];
  for (const held of films.values()) {
    const runs = held.since;
    stopped(held);
    if (runs) held.since = now();
    if (held.played <= held.told) continue;
    if (tell) held.told = held.played;
    found.push(
      fact("play", { about: held.about, value: seconds(held.played), counter: { view: held.name, started_at: held.started, epoch: 0 } }),
    );
  }
  return found;
};

on(document, "playing pause ended waiting", (event) => {
  const film = event.target as Element;
  if (event.type == "playing") running(film);
  else if (films.has(film)) {
    stopped(films.get(film)!);
    if (event.type != "waiting" && mayCollect()) flush();
  }
});

// -- what others on the page say

/** Hear what is in a list of this name, and what will be put into it. */
const follow = (name: string, hear: (entry: any) => void) => {
  const list = ((window as any)[name] ||= []) as unknown[];
  const heard = safely(hear);
  list.forEach(heard);
  const put = list.push;
  list.push = (...entries) => {
    entries.forEach(heard);
    return put.apply(list, entries);
  };
};

const CART: Record<string, Signal> = {
  view_item: "view", add_to_cart: "add", remove_from_cart: "remove", begin_checkout: "checkout", purchase: "purchase",
  add_to_wishlist: "save", select_item: "click", share: "share",
};

const cart = (entry: any) => {
  // gtag("event", name, {...}) puts its arguments there, tag managers an object.
  const [name, data] = entry[0] == "event" ? [entry[1], entry[2]] : [entry.event, entry.ecommerce];
  const signal = CART[name];
  if (signal)
    for (const one of data?.items || []) {
      const item = "" + (one.item_id || one.item_name);
      // What the page is about was viewed with the page.
      if (signal != "view" || item != about().item)
        track(signal, { about: { item }, name, ...(one.price && { value: one.price * (one.quantity || 1) }) });
    }
};

// Google's Consent Mode. A default is what holds until somebody was asked, on every page anew: it takes nothing back.
const asked = (entry: any) => {
  if (entry[0] != "consent") return;
  const read = (name: string) => entry[2][name] && entry[2][name] == "granted";
  const told = { collect: read("analytics_storage"), personalize: read("personalization_storage") ?? read("ad_personalization") } as Consent;
  if (entry[1] == "update") consent(told);
  else {
    if (told.collect === false) need();
    if (told.personalize === false && kept.consent?.personalize == undefined) consent({ personalize: false });
  }
};

// The banners of the TCF: 1 store on the device, 8 measure content; 5 and 6 choose content by a profile.
const banner = (data: any, fine: boolean) => {
  if (!fine || !data.gdprApplies) return;
  if (data.eventStatus == "cmpuishown") return need();
  const given = data.purpose.consents;
  consent({ collect: !!(given[1] && given[8]), personalize: !!(given[5] && given[6]) });
};

// Some banners come after us. No timer of its own: that a page wakes up costs more than the look.
let tries = 10;
const find = () => {
  const api = (window as any).__tcfapi;
  if (api || !--tries) more.each = undefined;
  if (api) api("addEventListener", 2, safely(banner));
};

// Browsers without a Navigation API tell of the back button alone; what an app does by itself is heard where it does it.
const listen = () => {
  if ((window as any).navigation) return;
  for (const name of ["pushState", "replaceState"] as const) {
    const plain = history[name];
    history[name] = function (...told) {
      plain.apply(this, told);
      safely(moved)({ navigationType: name == "pushState" ? "push" : "replace" });
    };
  }
};

more.began = () => {
  if (options.learn || rules[0]) more.sought = "*"; // anything may be a section, or make one
  listen();
  follow("dataLayer", asked);
  more.each = find;
  find();
};
