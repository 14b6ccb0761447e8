// Products as cards, and the slots that Plait fills with them. A slot is a <plait-placement>: the SDK asks, draws its
// template once for each item, and tells what was seen; here the copies get the shop's words, prices and buttons.
import { again, listening, shelf, state, token } from "./desk.js";
import { el, icon, rate, sheet, stars, toast } from "./dom.js";
import { isSaved, save } from "./keep.js";
import { likePost } from "./social.js";
import { clause, line, money, network, sourceClass, sourceName } from "./words.js";

const still = matchMedia("(prefers-reduced-motion: reduce)");

/** A bar that is divided as the shares are, one colour a source. */
export function bar(because, { rest = 0 } = {}) {
  const by = new Map();
  for (const one of because) by.set(one.source, (by.get(one.source) ?? 0) + Math.abs(one.share ?? one.weight));
  const parts = [...by].sort((a, b) => b[1] - a[1]).map(([source, share]) => el(`i.${sourceClass(source)}`, { title: sourceName(source), style: { "flex-grow": share } }));
  if (rest > 0) parts.push(el("i.gap", { style: { "flex-grow": rest } }));
  return el("span.bar", { "aria-hidden": "true" }, parts);
}

/** Fill the reason under something shown; a click opens the whole sum. */
export function reason(place, shown, title) {
  if (!shown.because?.length) return place.remove();
  const own = shown.because.some((one) => one.source !== "catalog");
  place.replaceChildren(own ? bar(shown.because) : "", el("span.line", {}, line(shown.because)), el("span.ask", {}, "Why this?"));
  place.setAttribute("aria-label", `Why ${title}? ${line(shown.because)}`);
  place.onclick = () => sum(shown, title);
}

function sum(shown, title) {
  const rows = gathered(shown.because).map((one) => {
    const text = clause(one), share = Math.round(one.share * 1000) / 10;
    return el("tr", {}, el("td", {}, el(`i.dot.${sourceClass(one.source)}`), text[0].toUpperCase() + text.slice(1), el("small", {}, one.source === "other" ? one.signal : `${sourceName(one.source)} · ${one.signal}`)),
      el(share < 0 ? "td.against" : "td", {}, `${share < 0 ? "−" : ""}${Math.abs(share)} %`));
  });
  sheet(`Why “${title}”?`, el("p.say", {}, "Every number is one term of the sum that put it here. Together they are the whole."), bar(shown.because), el("table.sum", {}, el("tbody", {}, rows)),
    shown.score === undefined ? null : el("p.say.score", {}, `Score ${shown.score.toPrecision(4)}`));
}

/** The largest terms, and what all the smaller ones are together. */
function gathered(because, most = 9) {
  const sorted = because.filter((one) => one.source !== "other").sort((a, b) => Math.abs(b.share) - Math.abs(a.share));
  const small = [...sorted.slice(most), ...because.filter((one) => one.source === "other")];
  return !small.length ? sorted : [...sorted.slice(0, most), { source: "other", signal: "the rest of the sum", share: small.reduce((sum, one) => sum + one.share, 0) }];
}

function saving(press, product) {
  const show = (on) => {
    press.setAttribute("aria-pressed", String(on));
    press.setAttribute("aria-label", `${on ? "Saved" : "Save"}: ${product.title}`);
  };
  show(isSaved(product.id));
  press.onclick = () => {
    const on = !isSaved(product.id);
    save(product, on).finally(again);
    show(on);
    toast(on ? "Saved. The page takes it as a hint." : "No longer saved");
  };
}

/** The visitor's own like of a post; with words in place of the sum where that stands beside it. */
export function likeButton(press, post, words) {
  const liked = state.session.likes.includes(post.id);
  press.replaceChildren(icon("heart"), words ? (liked ? "Liked" : words) : String(post.likes + (liked ? 1 : 0)));
  press.setAttribute("aria-pressed", String(liked));
  press.setAttribute("aria-label", `Like on ${network(post.network)}`);
  press.onclick = async () => {
    if (!(await likePost(post, !liked))) return;
    toast(liked ? "Like taken back" : `Liked on ${network(post.network)}: see what it does`);
    likeButton(press, post, words);
    again();
  };
}

/** A product in a list of the shop's own. */
export function card(product) {
  const press = el("button.save.round", { type: "button", "data-plait-off": true }, icon("heart"));
  saving(press, product);
  return el("article.card", { dataset: { id: product.id, plaitItem: product.id } },
    el("a.tile", { href: `/p/${product.id}`, tabindex: "-1", "aria-hidden": "true" }, el("img", { src: `/pictures/${product.id}.svg`, alt: "", width: 400, height: 400, loading: "lazy" }), product.available ? null : el("span.tag", {}, "Back soon")),
    press, el("div.card-text", {}, el("span.kind", {}, product.kind), el("h3", {}, el("a", { href: `/p/${product.id}` }, product.title)), el("div.small", {}, el("b.price", {}, money(product.price)), stars(product.stars, product.ratings))));
}

/** What one item looks like, one for each kind of slot: `looks.html`, which the shop's server fills, too. Empty copies are the skeletons. */
const template = (look) => document.getElementById(`look-${look}`).cloneNode(true);

/** A slot of the page that Plait fills. */
export function slot(id, look, n, more = {}) {
  return furnished(el(`plait-placement.${look === "grid" ? "grid" : `${look}s`}`, { id, n: String(n), dataset: { look }, ...more }));
}

/** An empty slot with its template, ready to be put into the page. */
export function furnished(made) {
  const { look } = made.dataset, n = Number(made.getAttribute("n")), drawn = template(look);
  drawn.removeAttribute("id");
  made.append(drawn);
  token(made);
  // Skeletons from the first frame on; plait.js would add them a moment later.
  for (let number = 0; number < n; number++) {
    const copy = drawn.content.firstElementChild.cloneNode(true);
    copy.dataset.plaitShown = "";
    copy.setAttribute("aria-hidden", "true");
    copy.style.visibility = "hidden";
    made.append(copy);
  }
  if (!listening) setTimeout(() => instead(made, look, n));
  return made;
}

/** Something blocked plait.js: the shop's own choice stands in. */
function instead(place, look, n) {
  if (look !== "grid") return place.remove();
  place.replaceChildren(...[...shelf.products.values()].filter((one) => one.available).slice(0, n).map(card));
}

const places = new WeakMap(); // slot -> where each of its items stood

const idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 100));
/** Note where everything stands, once the page is laid out anyway: to ask at once would have it laid out for the answer alone. */
function remember(place) {
  idle(() => places.set(place, new Map([...place.querySelectorAll(":scope > [data-plait-item]")].map((one) => [one.dataset.plaitItem, [one.offsetLeft, one.offsetTop]]))));
}

/** Those that stay glide to their new places, new ones come in. */
function glide(place, copies) {
  const before = places.get(place);
  if (before?.size && !still.matches) {
    let fresh = 0;
    for (const one of copies) {
      const was = before.get(one.dataset.plaitItem);
      if (was && was[0] === one.offsetLeft && was[1] === one.offsetTop) continue;
      const from = was ? { transform: `translate(${was[0] - one.offsetLeft}px, ${was[1] - one.offsetTop}px)` } : { opacity: 0, transform: "translateY(16px) scale(.97)" };
      one.animate([from, { opacity: 1, transform: "none" }], { duration: 480, delay: was ? 0 : 50 + 25 * fresh++, easing: "cubic-bezier(.2,.8,.2,1)", fill: "backwards" });
    }
  }
  remember(place);
}

// What only the shop knows of what it shows, by the name that stands in the template; an address where that is a picture.
const OWN = {
  grid: (product) => ({ price: money(product.price), rated: `${product.stars.toFixed(1)} (${product.ratings})` }),
  hero: (product) => ({ land: `/scenes/${product.ground}.svg`, art: `/pictures/${encodeURIComponent(product.id)}/cut.svg`, kind: product.kind, story: product.story, price: money(product.price) }),
  promotion: () => ({}),
  article: (article) => ({ label: `${article.topics[0].replace("-", " ")} · ${article.minutes} min` }),
  post: (post) => ({ from: `${network(post.network)} · ${post.days_ago} days ago`, text: post.text }),
};
// And what acts.
const DRAW = {
  grid(copy, product, fresh) {
    rate(copy.querySelector(".stars"), product.stars);
    copy.querySelector(".tag")?.remove();
    if (fresh) copy.querySelector(".tile").append(el("span.tag.fresh", {}, "New for you"));
    else if (!product.available) copy.querySelector(".tile").append(el("span.tag", {}, "Back soon"));
    saving(copy.querySelector(".save"), product);
  },
  post(copy, post) {
    copy.querySelector(".dot").classList.add(sourceClass(post.network));
    likeButton(copy.querySelector(".like"), post);
  },
};
const HELD = { grid: "products", hero: "products", promotion: "promotions", article: "articles", post: "posts" };

const last = new Map(); // slot's id -> what it showed to whom, so that what changed can be told
const heard = new Set();
/** Call `work` with every answer: `{place, items, fresh}`. */
export function onFilled(work) { heard.add(work); }

function put(part, what) {
  if (part.localName !== "img") part.textContent = what;
  else if (part.getAttribute("src") !== what) part.src = what; // the same again would load it again
}

/** Put the shop's words, prices and buttons into what stands in a slot; what came with the page has its words already.
 * `holds`: it only holds the place until Plait's answer for this visitor is there. */
function dress(place, items, holds = false) {
  const { look } = place.dataset;
  const who = state.session.identifier, before = last.get(place.id), held = shelf[HELD[look]];
  const old = before?.who === who ? new Set(before.items) : null;
  const copies = [...place.querySelectorAll(":scope > [data-plait-shown]")];
  let fresh = 0;
  copies.forEach((copy, number) => {
    const shown = items[number], thing = held.get(shown?.item);
    if (!thing) return copy.remove();
    const isNew = Boolean(old?.size) && !old.has(shown.item), own = OWN[look](thing);
    fresh += isNew;
    for (const part of copy.querySelectorAll("[data-own]")) put(part, own[part.dataset.own]);
    DRAW[look]?.(copy, thing, isNew);
    const why = copy.querySelector(".why");
    if (why) reason(why, shown, thing.title ?? "this post");
  });
  if (holds) return;
  last.set(place.id, { who, items: items.map((one) => one.item) });
  place.classList.toggle("none", !items.length);
  if (look === "grid" || look === "article" || look === "post") glide(place, copies.filter((one) => one.isConnected));
  else if (fresh && !still.matches) copies[0]?.animate([{ opacity: 0 }, { opacity: 1 }], { duration: 420 });
  for (const work of heard) work({ place, items, fresh });
}

const early = new Map(); // slots that were filled before the shop knew its shelf
document.addEventListener("plait-filled", ({ target: place, detail: { items } }) => {
  if (!place.dataset.look) return;
  if (state.session) dress(place, items);
  else early.set(place, items);
});

/** Take over slots that came with the page filled. For whom the server knew, its answer is the answer; for all others plait.js asks. */
export function adopt(places) {
  for (const place of places) {
    token(place);
    if (early.has(place)) dress(place, early.get(place));
    else dress(place, JSON.parse(place.dataset.answer), !place.querySelector("[data-plait-shown^=d_]"));
  }
}

document.addEventListener("plait-failed", ({ target: place }) => {
  if (place.querySelector("[data-plait-item]")) return; // what it showed before is better than nothing
  if (place.dataset.look) instead(place, place.dataset.look, Number(place.getAttribute("n")));
});
