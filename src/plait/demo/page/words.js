// Plait's answers in the shop's words: what somebody did, and why something is shown.
import { shelf } from "./desk.js";

const NETWORKS = { bluesky: "Bluesky", mastodon: "Mastodon", instagram: "Instagram" };
export const network = (source) => NETWORKS[source.split(":")[0]] ?? null;
export const sourceName = (source) => network(source) ?? { web: "This shop’s site", catalog: "Catalog", shop: "The shop" }[source] ?? source;
export const sourceClass = (source) => `s-${source.split(":")[0].replace(/[^a-z]/g, "")}`;

const short = (text, most = 46) => (text.length <= most ? text : `${text.slice(0, most).replace(/\s+\S*$/, "")}…`);
// By hand, as `front.money` writes it: a browser takes longer to get its number formats ready than for the rest of the page's scripts.
export const money = (price) => `€${price.toFixed(price % 1 ? 2 : 0).replace(/\B(?=(\d{3})+(?!\d))/g, ",")}`;
const SECTIONS = { gallery: "Pictures", story: "How it is made", specs: "Specification", "size-guide": "Size guide", care: "Care and repair", reviews: "Reviews", questions: "Questions and answers", fit: "Fit", use: "Using it", pitch: "Pitching it", warmth: "How warm is it really?", ground: "What the numbers mean", safety: "Safety", taste: "Taste", keep: "Keeping it" };
export const section = (item, id) => shelf.articles.get(item)?.sections.find((one) => one.id === id)?.title ?? SECTIONS[id] ?? id.replace(/-/g, " ");

/** Days as people say them. */
export function ago(days) {
  const [number, unit] = days < 14 ? [days, "day"] : days < 60 ? [Math.round(days / 7), "week"] : [Math.round(days / 30), "month"];
  return `${number} ${unit}${number === 1 ? "" : "s"} ago`;
}

const PAGES = { "": "the home page", search: "the search", bag: "the bag", checkout: "the checkout", thanks: "the thanks for the order", account: "the account", saved: "what was saved", journal: "the journal", social: "the day on Bluesky" };
/** What the page at an address is called. */
function pageOf(url) {
  const [first, second] = url.replace(/^https?:\/\/[^/]+\//, "").split(/[/?#]/);
  if (first === "p" && shelf.products.has(second)) return `the page of ${shelf.products.get(second).title}`;
  if (first === "journal" && shelf.articles.has(`journal-${second}`)) return `“${short(shelf.articles.get(`journal-${second}`).title)}”`;
  if (first === "c") return second.replace("-", " ");
  return PAGES[first] ?? "a page";
}

/** What a reason or an event is about, in words. */
export function thing(about) {
  if (!about) return "";
  if (/^https?:/.test(about)) return pageOf(about);
  const [kind, ...rest] = about.split(":"), id = rest.join(":");
  if (kind === "post" && rest.length) return `“${short(shelf.posts.get(id)?.text ?? id)}”`;
  if (kind === "topic" && rest.length) return id;
  if ((kind === "query" || kind === "search") && rest.length) return `“${id}”`;
  if (kind === "url" && rest.length) return thing(id);
  const [item, part] = about.split("#"), product = shelf.products.get(item);
  const name = product?.title ?? (shelf.articles.has(item) ? `“${short(shelf.articles.get(item).title)}”` : null) ?? shelf.promotions.get(item)?.title ?? (shelf.posts.has(item) ? `“${short(shelf.posts.get(item).text)}”` : item);
  return part ? `“${section(item, part)}” of ${name}` : name;
}

const DID = {
  view: "looked at", dwell: "read", "dwell~": "stayed with", search: "searched for", add: "put in the bag:", remove: "took out of the bag:",
  checkout: "took to the checkout:", purchase: "bought", click: "picked", save: "saved", share: "shared", rate: "rated", play: "played", form_start: "began the form", form_submit: "sent the form", form_abandon: "gave up the form", like: "liked",
  react: "reacted to", comment: "commented on", reply: "replied to", quote: "quoted", follow: "followed", mention: "mentioned", message: "wrote about",
};

// "3 people you follow liked this": what a reason says of others is a sentence already.
const others = (about) => /^\d+ (people|person) (you follow|around those|who liked) /.test(about ?? "");

/** One contribution as a clause: “you liked … on Bluesky”. */
export function clause({ source, signal, about }) {
  if (source === "catalog") return signal === "related" ? `it goes with ${thing(about)}` : signal === "new" ? "new in the shop" : "popular with everybody right now";
  if (source === "other") return "many smaller things together";
  const where = network(source), verb = DID[signal] ?? signal;
  if (others(about)) return `${about}${where ? ` on ${where}` : ""}`;
  if (!about) return `you ${verb.replace(/:$/, "")} things like this${where ? ` on ${where}` : ""}`;
  if (about.startsWith("topic:") && signal === "view") return `you browsed ${thing(about)}`;
  if (signal.startsWith("dwell") && !about.includes("#")) return `you spent time on ${thing(about)}`;
  return `you ${verb} ${thing(about)}${where ? ` on ${where}` : ""}`;
}

// Who opened the home page or the bag said nothing by it. It is a term of the sum, and no reason for anybody.
const roams = (about) => { const url = about?.replace(/^url:/, ""); return /^https?:/.test(url) && Object.values(PAGES).includes(pageOf(url)); };

/** The strongest reasons in one line. */
export function line(because) {
  const own = because.filter((one) => one.share > 0 && one.source !== "catalog" && one.source !== "other" && !roams(one.about));
  if (because[0]?.signal === "related") return `Goes with ${thing(because[0].about)}`;
  if (!own.length) return "Popular right now";
  const said = [clause(own[0])];
  const other = own.slice(1).find((one) => one.share > 0.15 && !(others(one.about) && others(own[0].about)) && thing(one.about?.split("#")[0]) !== thing(own[0].about?.split("#")[0]));
  if (other) said.push(clause(other));
  return `Because ${said.join(", and ")}`;
}

const ICONS = {
  view: "eye", dwell: "clock", search: "search", add: "plus", remove: "minus", checkout: "bag", purchase: "check", click: "click", save: "heart", like: "heart",
  react: "heart", comment: "talk", reply: "talk", mention: "talk", message: "talk", share: "share", quote: "share", follow: "user", identify: "user",
  form_start: "form", form_submit: "form", form_abandon: "form", link: "link", unlink: "link", consent: "shield", decided: "spark", shown: "eye", session: "clock",
};
export const sign = (signal) => ICONS[signal] ?? "click";

/** An event as a sentence without its subject. */
export function sentence(event) {
  const about = event.about ?? {}, undone = event.op === "retract";
  const named = about.post ? `post:${about.post}` : about.item ? about.item + (about.section ? `#${about.section}` : "") : about.topic ? `topic:${about.topic}` : about.query ? `query:${about.query}` : "";
  switch (event.signal) {
    case "dwell": return named ? `read ${thing(named)} for ${Math.round(event.value ?? 0)} s` : `stayed ${Math.round(event.value ?? 0)} s on ${thing(about.url) || "a page"}`;
    case "view": return about.item || about.topic ? `looked at ${thing(named)}` : about.url ? `opened ${thing(about.url)}` : "opened a page";
    case "form_start": return `began the form “${event.properties?.form || "?"}”`;
    case "form_submit": return `sent the form “${event.properties?.form || "?"}”: ${(event.properties?.field_names ?? []).join(", ")}`;
    case "form_abandon": return `gave up the form “${event.properties?.form || "?"}” at ${event.properties?.last_field ?? "?"}`;
    case "search": return `searched for ${thing(named)}`;
    case "purchase": return `bought ${thing(named)}`;
    case "decided": return "Plait chose what to show";
    case "shown": return `was shown ${thing(named)}`;
    case "identify": return "signed in";
    case "link": return "two identifiers are one person’s";
    case "consent": return Object.entries(event.consent ?? {}).map(([purpose, on]) => `${on ? "agreed to" : "refused"} ${purpose}`).join(", ") || "spoke about consent";
    default: {
      const verb = (DID[event.signal] ?? event.signal).replace(/:$/, "");
      const text = undone ? { like: "took back the like of", save: "no longer saves", follow: "unfollowed" }[event.signal] ?? `undid: ${verb}` : verb;
      return `${text} ${thing(named)}`.trim();
    }
  }
}

const UNITS = { g: "g", cm: "cm", mm: "mm", m: "m", m2: "m²", l: "l", ml: "ml", kg: "kg", h: "h", w: "W", c: "°C", kn: "kN", um: "µm", mah: "mAh", bar: "bar", n: "N", min: "min" };
/** One line of a specification: name and value, with the unit that the attribute's name carries. */
export function specification([name, value]) {
  const words = name.split("_");
  let unit = "";
  if (words.at(-2) === "l" && words.at(-1) === "min") { unit = "l/min"; words.splice(-2); }
  else if (words.length > 1 && UNITS[words.at(-1)]) { unit = UNITS[words.pop()]; }
  const title = words.join(" ").replace(/^usb c$/, "USB-C").replace(/^upf$/, "UPF").replace(/^r value$/, "R value");
  const shown = typeof value === "number" && name === "weight_g" && value >= 1000 ? [value / 1000, "kg"] : [value, unit];
  return [title[0].toUpperCase() + title.slice(1), `${typeof shown[0] === "number" ? shown[0].toLocaleString("en-IE").replace("-", "−") : shown[0]}${shown[1] ? ` ${shown[1]}` : ""}`];
}
