// Elements from data. Text is only ever text: nothing here parses markup.
import { clause, line, money, sourceClass, sourceName } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

/** `el("button.save", { type: "button", onclick }, "text", child)`. */
export function el(what, props = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const made = document.createElement(tag || "div");
  if (classes.length) made.className = classes.join(" ");
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(made.dataset, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((one) => one !== null && one !== undefined && one !== false));
  return made;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg"), use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A link that the router follows. */
export const to = (what, href, ...children) => el(what, { href, "data-to": href }, ...children);

export const picture = (product) => el("img", { src: `/pictures/${encodeURIComponent(product.id)}.svg`, alt: "", width: 400, height: 400 });
export const land = (id) => el("img.land", { src: `/scenes/${encodeURIComponent(id)}.svg`, alt: "" });

export function face(session, guests) {
  const number = guests.findIndex((one) => one.guest === session.guest) + 1;
  const initials = session.guest ? session.name.split(" ").map((word) => word[0]).join("") : icon(session.accounts?.length ? "user" : "spark");
  return el(`span.face.f${number}`, { "aria-hidden": "true" }, initials);
}

/** A bar that is divided as the shares are, one colour a source. */
export function bar(because, { rest = 0 } = {}) {
  const by = new Map();
  for (const one of because) by.set(one.source, (by.get(one.source) ?? 0) + Math.abs(one.share ?? one.weight));
  const parts = [...by].sort((a, b) => b[1] - a[1]).map(([source, share]) => {
    const part = el(`i.${sourceClass(source)}`, { title: sourceName(source) });
    part.style.flexGrow = share;
    return part;
  });
  if (rest > 0) { const gap = el("i.gap"); gap.style.flexGrow = rest; parts.push(gap); }
  return el("span.bar", { "aria-hidden": "true" }, parts);
}

/** The reason under something shown; a click opens the whole sum. */
export function why(shown, title) {
  if (!shown.because?.length) return null;
  return el("button.why", { type: "button", "aria-haspopup": "dialog", onclick: () => sum(shown, title) }, shown.because.some((one) => one.source !== "catalog") ? bar(shown.because) : null, el("span.line", {}, line(shown.because)));
}

function sum(shown, title) {
  const rows = gathered(shown.because).map((one) => {
    const text = clause(one), share = Math.round(one.share * 1000) / 10;
    return el("tr", {}, el("td", {}, el(`i.dot.${sourceClass(one.source)}`), text[0].toUpperCase() + text.slice(1), el("small", {}, one.source === "other" ? one.signal : `${sourceName(one.source)} · ${one.signal}`)),
      el(share < 0 ? "td.against" : "td", {}, `${share < 0 ? "−" : ""}${Math.abs(share)} %`));
  });
  sheet(`Why “${title}”?`, el("p.say", {}, "Every number below is one term of the sum that put it here. The shares add up to the whole."), el("table.sum", {}, el("tbody", {}, rows)),
    shown.score === undefined ? null : el("p.say", {}, `Score ${shown.score.toPrecision(4)}`));
}

/** The largest terms, and what all the smaller ones are together. */
function gathered(because, most = 9) {
  const sorted = because.filter((one) => one.source !== "other").sort((a, b) => Math.abs(b.share) - Math.abs(a.share));
  const small = [...sorted.slice(most), ...because.filter((one) => one.source === "other")];
  return !small.length ? sorted : [...sorted.slice(0, most), { source: "other", signal: "the rest of the sum", share: small.reduce((sum, one) => sum + one.share, 0) }];
}

/** A dialog over the page. */
export function sheet(title, ...children) {
  const box = document.getElementById("sheet");
  const close = el("button", { type: "button", "aria-label": "Close", onclick: () => box.close() }, icon("close"));
  box.setAttribute("aria-label", title);
  box.replaceChildren(el("div.sheet-in", {}, el("div.sheet-head", {}, el("h2", {}, title), close), ...children.filter(Boolean)));
  box.onclick = (event) => { if (event.target === box) box.close(); };
  if (!box.open) box.showModal();
  return box;
}

let quiet = 0;
export function toast(text) {
  const box = document.getElementById("toast");
  box.textContent = text;
  box.classList.add("on");
  clearTimeout(quiet);
  quiet = setTimeout(() => box.classList.remove("on"), 2_600);
}

/** A product in a grid. */
export function card(product, { shown = null, fresh = false, saved = false, onsave, onopen }) {
  const press = el("button.save", { type: "button", "aria-pressed": String(saved), "aria-label": `Save ${product.title}`, onclick: () => onsave(product, press) }, icon("heart"));
  const made = el("article.card", { dataset: { id: product.id } },
    el("div.tile", {}, picture(product), !product.available ? el("span.tag.gone", {}, "Back soon") : fresh ? el("span.tag.fresh", {}, "New for you") : null),
    press,
    el("h3", {}, to("a", `/p/${product.id}`, product.title)),
    el("div.meta", {}, el("span", {}, product.kind_name), el("span.price", {}, money(product.price))),
    shown ? why(shown, product.title) : null);
  if (onopen) made.querySelector("h3 a").addEventListener("click", () => onopen(product), { capture: true });
  return made;
}

const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Replace the cards of a grid; those that stay glide to their new places, new ones come in. */
export function reorder(grid, cards) {
  const before = new Map([...grid.children].map((one) => [one.dataset.id, one.getBoundingClientRect()]));
  grid.replaceChildren(...cards);
  if (still.matches || !before.size) return;
  cards.forEach((one, number) => {
    const was = before.get(one.dataset.id), is = one.getBoundingClientRect();
    const from = was ? { transform: `translate(${was.x - is.x}px, ${was.y - is.y}px)` } : { opacity: 0, transform: "translateY(18px) scale(.97)" };
    one.animate([from, { opacity: 1, transform: "none" }], { duration: 480, delay: was ? 0 : 60 + 20 * number, easing: "cubic-bezier(.2,.8,.2,1)", fill: "backwards" });
  });
}
