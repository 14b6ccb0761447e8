// Products as cards, and the slots that Plait fills with them. A slot is a <plait-placement>: the SDK asks, draws its
// template once for each item, and tells what was seen; here the copies get the shop's words, prices and buttons.
import { again, listening, shelf, state, token } from "./desk.js";
import { el, icon, land, sheet, stars, toast } from "./dom.js";
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

// Templates, one for each kind of slot. Empty copies of them are the skeletons.
const TEMPLATES = {
  grid: () => el("article.card", {},
    el("a.tile", { "data-href": "url", tabindex: "-1", "aria-hidden": "true" }, el("img", { "data-src": "image", alt: "", width: 400, height: 400 })),
    el("button.save.round", { type: "button", "data-plait-off": true }, icon("heart")),
    el("div.card-text", {}, el("span.kind", { "data-field": "type" }), el("h3", {}, el("a", { "data-href": "url", "data-field": "title" })), el("div.small", {}, el("b.price", {})),
      el("button.why", { type: "button", "data-plait-off": true, "aria-haspopup": "dialog" }))),
  hero: () => el("section.hero", {}, el("img.land", { alt: "", width: 1600, height: 900 }),
    el("div.hero-text", {}, el("span.label", {}), el("h1", { "data-field": "title" }), el("p.story", {}), el("div.hero-row", {}, el("a.button.light", { "data-href": "url" }, "Have a look", icon("arrow")), el("b.price", {})),
      el("button.why", { type: "button", "data-plait-off": true, "aria-haspopup": "dialog" })),
    el("a.hero-art", { "data-href": "url", tabindex: "-1", "aria-hidden": "true" }, el("img", { alt: "", width: 400, height: 400 }))),
  promotion: () => el("section.offer", {}, el("img.land", { "data-src": "image", alt: "", width: 1600, height: 900 }),
    el("div.offer-text", {}, el("span.label", {}, "This week, for you"), el("h2", { "data-field": "title" }), el("p", { "data-field": "text" }), el("button.why", { type: "button", "data-plait-off": true, "aria-haspopup": "dialog" })),
    el("span.code", { "data-field": "code" })),
  article: () => el("article.story-card", {}, el("a.tile", { "data-href": "url", tabindex: "-1", "aria-hidden": "true" }, el("img", { "data-src": "image", alt: "", width: 1600, height: 900 })),
    el("div.card-text", {}, el("span.label", {}), el("h3", {}, el("a", { "data-href": "url", "data-field": "title" })), el("p", { "data-field": "lead" }), el("button.why", { type: "button", "data-plait-off": true, "aria-haspopup": "dialog" }))),
  post: () => el("article.post", {}, el("img.land", { "data-src": "image", alt: "", width: 1600, height: 900 }),
    el("div.post-text", {}, el("div.from", {}), el("p.said", { "data-field": "title" }), el("div.post-foot", {}, el("button.like", { type: "button", "data-plait-off": true }), el("button.why", { type: "button", "data-plait-off": true, "aria-haspopup": "dialog" })))),
};

/** A slot of the page that Plait fills. */
export function slot(id, look, n, more = {}) {
  const template = document.createElement("template");
  template.content.append(TEMPLATES[look]());
  const made = el(`plait-placement.${look === "grid" ? "grid" : `${look}s`}`, { id, n: String(n), dataset: { look }, ...more }, template);
  token(made);
  // Skeletons from the first frame on; plait.js would add them a moment later.
  for (let number = 0; number < n; number++) {
    const copy = template.content.firstElementChild.cloneNode(true);
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

function remember(place) {
  places.set(place, new Map([...place.querySelectorAll(":scope > [data-plait-item]")].map((one) => [one.dataset.plaitItem, [one.offsetLeft, one.offsetTop]])));
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

const DRAW = {
  grid(copy, shown, product, fresh) {
    copy.querySelector(".price").textContent = money(product.price);
    copy.querySelector(".small").append(stars(product.stars, product.ratings));
    if (fresh) copy.querySelector(".tile").append(el("span.tag.fresh", {}, "New for you"));
    else if (!product.available) copy.querySelector(".tile").append(el("span.tag", {}, "Back soon"));
    saving(copy.querySelector(".save"), product);
  },
  hero(copy, shown, product) {
    copy.querySelector(".land").src = `/scenes/${product.ground}.svg`;
    copy.querySelector(".hero-art img").src = `/pictures/${encodeURIComponent(product.id)}/cut.svg`;
    copy.querySelector(".label").textContent = product.kind;
    copy.querySelector(".story").textContent = product.story;
    copy.querySelector(".price").textContent = money(product.price);
  },
  promotion() {},
  article(copy, shown, article) {
    copy.querySelector(".label").textContent = `${article.topics[0].replace("-", " ")} · ${article.minutes} min`;
  },
  post(copy, shown, post) {
    copy.querySelector(".from").replaceChildren(el(`i.dot.${sourceClass(post.network)}`), `${network(post.network)} · ${post.days_ago} days ago`);
    copy.querySelector(".said").textContent = post.text;
    likeButton(copy.querySelector(".like"), post);
  },
};
const HELD = { grid: "products", hero: "products", promotion: "promotions", article: "articles", post: "posts" };

const last = new Map(); // slot's id -> what it showed to whom, so that what changed can be told
const heard = new Set();
/** Call `work` with every answer: `{place, items, fresh}`. */
export function onFilled(work) { heard.add(work); }

document.addEventListener("plait-filled", ({ target: place, detail: { items } }) => {
  const look = place.dataset.look;
  if (!look) return;
  const who = state.session.identifier, before = last.get(place.id), held = shelf[HELD[look]];
  const old = before?.who === who ? new Set(before.items) : null;
  const copies = [...place.querySelectorAll(":scope > [data-plait-shown]")];
  let fresh = 0;
  copies.forEach((copy, number) => {
    const shown = items[number], thing = held.get(shown?.item);
    if (!thing) return copy.remove();
    const isNew = Boolean(old?.size) && !old.has(shown.item);
    fresh += isNew;
    DRAW[look](copy, shown, thing, isNew && look === "grid");
    reason(copy.querySelector(".why"), shown, thing.title ?? "this post");
  });
  last.set(place.id, { who, items: items.map((one) => one.item) });
  place.classList.toggle("none", !items.length);
  if (look === "grid" || look === "article" || look === "post") glide(place, copies.filter((one) => one.isConnected));
  else if (fresh && !still.matches) copies[0]?.animate([{ opacity: 0 }, { opacity: 1 }], { duration: 420 });
  for (const work of heard) work({ place, items, fresh });
});
document.addEventListener("plait-failed", ({ target: place }) => {
  if (place.querySelector("[data-plait-item]")) return; // what it showed before is better than nothing
  if (place.dataset.look) instead(place, place.dataset.look, Number(place.getAttribute("n")));
});
