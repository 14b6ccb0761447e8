// What a page tells without being asked to: what it is about, what was searched for, how far somebody scrolled, what
// played, where links lead; and what other tools on it already say about carts and consent.
import { on, near, now, safely, target, told, wall } from "./page";
import { consent, options, track } from "./plait";
import { about, more } from "./sections";
import { fact, push, viewId } from "./send";
import type { Consent, Signal } from "./types";

// -- the page

// The product a page is about, from its JSON-LD; of several kinds of ids, those that catalogs use as ids come first.
more.item = () => {
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

more.circumstances = () => {
  const brands = (navigator as any).userAgentData;
  return {
    screen: { width: screen.width, height: screen.height },
    locale: navigator.language,
    timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
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
  films.clear();
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

const heading = (element: Element) => element.querySelector("h1,h2,h3,h4");
more.find = (root) =>
  options.learn
    ? [...root.querySelectorAll("section, article, div[id]")].filter((one) => !one.closest("nav,header,footer,form") && heading(one) && !one.querySelector("section, article"))
    : [];
more.name = (element) =>
  options.learn && element.matches("section, article, div")
    ? element.id || heading(element)?.textContent?.trim().toLowerCase().replace(/\W+/g, "-").slice(0, 60)
    : undefined;

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
const films = new Map<Element, { since: number; started: number; played: number }>();

on(document, "playing pause ended waiting", (event) => {
  const film = event.target as HTMLMediaElement;
  let held = films.get(film);
  if (!held) films.set(film, (held = { since: 0, started: wall(), played: 0 }));
  if (held.since) held.played += now() - held.since;
  held.since = event.type == "playing" ? now() : 0;
  if (event.type == "pause" || event.type == "ended") {
    const what = about(film);
    const name = told(film, "name") || film.id;
    push(
      fact("play", {
        about: name ? { ...what, section: name } : what,
        value: Math.floor(held.played) / 1000,
        counter: { view: viewId() + name, started_at: held.started, epoch: 0 },
      }),
    );
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
    for (const one of data?.items || [])
      track(signal, {
        about: { item: "" + (one.item_id || one.item_name) },
        name,
        ...(one.price && { value: one.price * (one.quantity || 1) }),
      });
};

// Google's Consent Mode.
follow("dataLayer", (entry) => {
  if (entry[0] != "consent") return;
  const read = (name: string) => entry[2][name] && entry[2][name] == "granted";
  consent({ collect: read("analytics_storage"), personalize: read("personalization_storage") ?? read("ad_personalization") } as Consent);
});

// The banners of the TCF: 1 store on the device, 8 measure content; 5 and 6 choose content by a profile.
safely(() =>
  (window as any).__tcfapi?.("addEventListener", 2, (data: any, fine: boolean) => {
    if (!fine || data.eventStatus == "cmpuishown" || !data.gdprApplies) return;
    const given = data.purpose.consents;
    consent({ collect: !!(given[1] && given[8]), personalize: !!(given[5] && given[6]) });
  }),
)();

