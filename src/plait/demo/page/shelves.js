// Lists: a department, an activity, what somebody searched for, what they saved.
import { card, slot } from "./cards.js";
import { shelf } from "./desk.js";
import { el, land } from "./dom.js";
import { savedOnes } from "./keep.js";

const WORDS = {
  shelter: "Tents, tarps and hammocks: a roof for every forecast.", sleep: "Down, wool and air between you and the ground.", packs: "What carries the rest.",
  clothing: "Layers that get along with each other.", footwear: "From hut slippers to front points.", kitchen: "Hot food is half of morale.",
  "light-tools": "Small things that decide evenings.", climbing: "Ropes, draws and everything between you and the rock.", snow: "For the white half of the year.",
  water: "Boats, bags and vests.", bike: "Bags and lights for long ways to work.", "camp-life": "Chairs, tables, dogs and other comforts.",
};
const SORTS = { sold: ["Best rated", (a, b) => b.stars - a.stars || b.ratings - a.ratings], low: ["Price, low first", (a, b) => a.price - b.price], high: ["Price, high first", (a, b) => b.price - a.price], light: ["Lightest first", (a, b) => a.weight_g - b.weight_g] };

/** A list that can be narrowed to a kind and put in order. */
function list(found) {
  const kinds = [...new Set(found.map((one) => one.kind))], grid = el("div.grid"), count = el("p.many", { role: "status" });
  let kind = "", sort = "sold";
  const draw = () => {
    const some = found.filter((one) => !kind || one.kind === kind).sort(SORTS[sort][1]);
    grid.replaceChildren(...some.map(card));
    count.textContent = `${some.length} ${some.length === 1 ? "thing" : "things"}`;
    for (const one of chips) one.setAttribute("aria-pressed", String(one.value === kind));
  };
  const chips = ["", ...kinds].map((one) => el("button.chip", { type: "button", value: one, onclick: () => { kind = one; draw(); } }, one || "All"));
  const order = el("select", { "aria-label": "Order", onchange: () => { sort = order.value; draw(); } }, Object.entries(SORTS).map(([id, [name]]) => el("option", { value: id }, name)));
  draw();
  return [el("div.narrow", {}, kinds.length > 1 ? el("div.chips", { role: "group", "aria-label": "Kind" }, chips) : el("div"), count, el("label.order", {}, order)), grid];
}

/** A department (with a slot of its own), or an activity. */
export function department(name) {
  const known = shelf.departments.find((one) => one.slug === name);
  const found = [...shelf.products.values()].filter((one) => (known ? one.department === known.name : one.topics.includes(name)));
  if (!found.length) return null;
  const title = known?.name ?? name.replace("-", " ").replace(/^./, (letter) => letter.toUpperCase());
  const topic = known ? known.name.toLowerCase() : name;
  const grounds = found.map((one) => one.ground);
  return {
    title, topic,
    parts: [
      el("header.banner", {}, land(grounds.sort((a, b) => grounds.filter((one) => one === b).length - grounds.filter((one) => one === a).length)[0]), el("div", {}, el("nav.crumbs", { "aria-label": "Where you are" }, el("a", { href: "/" }, "Home"), " / ", title), el("h1", {}, title), el("p", {}, WORDS[name] ?? `Everything we would take ourselves, ${found.length} things of it.`))),
      ...(known ? [el("div.head", {}, el("div", {}, el("h2", {}, "First for you"))), slot(`shelf.${name}`, "grid", 4), el("div.head", {}, el("div", {}, el("h2", {}, `All of ${title.toLowerCase()}`)))] : []),
      ...list(found),
    ],
  };
}

const text = (one) => `${one.title} ${one.kind} ${one.department} ${one.topics.join(" ")} ${one.colour}`.toLowerCase();

/** What a search finds: all words first, then any. plait.js reads the query from the address. */
export function search(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean), all = [...shelf.products.values()];
  const found = words.length ? all.filter((one) => words.every((word) => text(one).includes(word))) : [];
  const near = found.length ? [] : all.filter((one) => words.some((word) => word.length > 2 && text(one).includes(word.replace(/s$/, ""))));
  return {
    title: query ? `“${query}”` : "Search",
    parts: [
      el("div.head", {}, el("div", {}, el("h1", {}, query ? `“${query}”` : "What are you looking for?"))),
      ...(found.length ? list(found) : near.length ? [el("p.empty", {}, "Nothing has all of these words. This has some of them:"), ...list(near)] : [el("p.empty", {}, query ? "Nothing by that name. What others look for:" : "What others look for:"), el("div.chips", {}, ["tent", "merino", "boots", "stove", "headlamp", "dog"].map((word) => el("a.chip", { href: `/search?q=${word}` }, word)))]),
      el("div.head", {}, el("div", {}, el("h2", {}, "Chosen for you"))), slot("home.grid", "grid", 4),
    ],
  };
}

export function saved() {
  const found = savedOnes().map((id) => shelf.products.get(id)).filter(Boolean);
  return {
    title: "Saved",
    parts: [
      el("div.head", {}, el("div", {}, el("h1", {}, "Saved"), el("p", {}, "Kept in this browser. Each is a hint, and can be taken back."))),
      found.length ? el("div.grid", {}, found.map(card)) : el("p.empty", {}, "Nothing yet. Press the heart on anything you would like to think about."),
      el("div.head", {}, el("div", {}, el("h2", {}, "You may like, too"))), slot("home.grid", "grid", 4),
    ],
  };
}
