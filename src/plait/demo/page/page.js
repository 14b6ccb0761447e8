// The shop: every page of it, asked for and drawn anew after each act.
import { again, ask, become, begin, happened, listen, reading, refilledBy, seeing, shelf, state, tell } from "./asking.js";
import { card, el, face, icon, land, picture, reorder, sheet, to, toast, why } from "./drawing.js";
import { likePost, openPanel } from "./panel.js";
import { money, network, sourceClass, specification } from "./words.js";

const main = document.getElementById("main");
const mine = { basket: [], saved: new Set(), seen: [] }; // of this visitor, in this tab
let leave = () => {}; // ends what the present page measures
let before = { who: "", items: [] }; // what the home page showed last, to tell what changed
let asked = 0;

// --- home

// The stage at the top is for something else than what was looked at a moment ago.
const HOME = () => [{ id: "home.hero", n: 1, exclude: mine.seen.slice(-8) }, { id: "home.promotion", n: 1 }, { id: "home.grid", n: 12 }, { id: "home.posts", n: 3 }];

async function home() {
  const parts = { hero: el("div"), offer: el("div"), note: el("p"), grid: el("div.grid"), posts: el("div.posts") };
  main.replaceChildren(parts.hero, parts.offer, el("div.head", {}, el("h2", {}, "Chosen for you"), parts.note), parts.grid, el("div.head", {}, el("h2", {}, "From our networks"), el("p", {}, "What you like here counts, too.")), parts.posts);
  happened("view", { url: location.origin + "/" }, { name: "Home" });
  refilledBy(() => fill(parts));
  await fill(parts);
}

async function fill(parts) {
  const turn = ++asked;
  const answer = await ask(HOME(), { url: location.origin + "/" });
  if (turn !== asked) return; // a later click asked again
  const slot = (id) => answer.placements[id]?.items ?? [];
  hero(parts.hero, slot("home.hero")[0], answer.decision);
  offer(parts.offer, slot("home.promotion")[0], answer.decision);
  const items = slot("home.grid").filter((one) => shelf.products.has(one.item));
  const who = state.session.identifier, same = before.who === who && before.items.length > 0, old = new Set(before.items);
  const fresh = items.filter((one) => same && !old.has(one.item));
  reorder(parts.grid, items.map((one) => product(one, answer.decision, fresh.includes(one))));
  before = { who, items: items.map((one) => one.item) };
  const personal = items.some((one) => one.because?.some((cause) => cause.source !== "catalog"));
  parts.note.textContent = fresh.length ? `${fresh.length} of ${items.length} changed with your last click` : personal ? "Change your mind and it changes, too." : "Everybody’s favourites, until we know you.";
  posts(parts.posts, slot("home.posts"), answer.decision);
}

function product(shown, decision, fresh) {
  const one = shelf.products.get(shown.item);
  const made = card(one, { shown, fresh, saved: mine.saved.has(one.id), onsave: save, onopen: () => happened("click", { item: one.id }, { decision }) });
  seeing(made, one.id, decision);
  return made;
}

const GROUND = { mountaineering: "frost", winter: "snow", climbing: "granite", "trail-running": "fog", paddling: "lake", cycling: "coast", family: "meadow", camping: "dusk", ultralight: "dawn", travel: "dusk", dogs: "meadow", backpacking: "dawn", hiking: "autumn" };

function hero(place, shown, decision) {
  const one = shelf.products.get(shown?.item);
  if (!one) return place.replaceChildren();
  if (place.dataset.id === one.id && place.dataset.who === state.session.identifier) {
    place.querySelector(".why")?.replaceWith(why(shown, one.title) ?? "");
    return seeing(place.firstChild, one.id, decision);
  }
  place.dataset.id = one.id;
  place.dataset.who = state.session.identifier;
  const open = to("a.button.light", `/p/${one.id}`, "Have a look", icon("arrow"));
  open.addEventListener("click", () => happened("click", { item: one.id }, { decision }), { capture: true });
  place.replaceChildren(el("section.hero", {}, land(GROUND[one.topics[0]] ?? "dusk"),
    el("div.hero-text", {}, el("span.label", {}, one.kind_name), el("h1", {}, one.title), el("p", {}, one.story), el("div.hero-row", {}, open, el("span.price", {}, money(one.price))), why(shown, one.title)),
    el("div.hero-art", {}, picture(one))));
  seeing(place.firstChild, one.id, decision);
}

function offer(place, shown, decision) {
  const one = shelf.promotions.get(shown?.item);
  if (!one) return place.replaceChildren();
  place.replaceChildren(el("section.offer", {}, land(one.id), el("div", {}, el("span.label", {}, "This week, for you"), el("h2", {}, one.title), el("p", {}, one.text), why(shown, one.title)), el("span.code", {}, one.code)));
  seeing(place.firstChild, one.id, decision);
}

function posts(place, found, decision) {
  const chosen = found.map((shown) => [shown, shelf.posts.get(shown.item)]).filter(([, one]) => one);
  reorder(place, chosen.map(([shown, one]) => {
    const liked = state.session.likes.includes(one.id);
    const press = el("button.like", { type: "button", "aria-pressed": String(liked), "aria-label": `Like on ${network(one.network)}`, onclick: async () => { if (await likePost(one, !liked)) { toast(liked ? "Like taken back" : `Liked on ${network(one.network)}: see what it does`); again(); } } }, icon("heart"), String(one.likes + (liked ? 1 : 0)));
    const made = el("article.post", { dataset: { id: one.id } }, land(one.id), el("div.post-text", {}, el("div.from", {}, el(`i.dot.${sourceClass(one.network)}`), `${network(one.network)} · ${one.days_ago} days ago`), el("p", {}, one.text), el("div.post-foot", {}, press), why(shown, "this post")));
    seeing(made, one.id, decision);
    return made;
  }));
}

// --- a product

async function productPage(id) {
  const one = shelf.products.get(id);
  if (!one) return missing();
  const related = el("div.grid"), saved = mine.saved.has(id);
  const keep = el("button.button.plain.save", { type: "button", "aria-pressed": String(saved), onclick: () => save(one, keep) }, icon("heart"), el("span", {}, saved ? "Saved" : "Save"));
  const add = el("button.button.ember", { type: "button", disabled: !one.available, onclick: () => put(one) }, icon("bag"), one.available ? "Add to basket" : "Back soon");
  const parts = one.sections.map((part) => el("section.part", { id: part.id, dataset: { section: part.id } }, el("div", {}, el("h2", {}, part.title), el("div.read", {}, icon("clock"), el("span", {}, "not read yet"))), part.id === "specs" ? specs(one) : el("p", {}, part.text)));
  main.replaceChildren(
    el("div.crumbs", {}, to("a", "/", "Home"), " / ", to("a", `/c/${encodeURIComponent(one.department)}`, one.department), ` / ${one.kind_name}`),
    el("div.product", {}, el("div.product-art", {}, picture(one)),
      el("div", {}, el("span.label", {}, one.kind_name), el("h1", {}, one.title), el("p.lead", {}, one.story), el("span.price", {}, money(one.price)), el("span.stock", {}, one.available ? "In stock, with you in two days" : "Sold out, back in three weeks"), el("div.buy", {}, add, keep),
        el("div.chips", {}, one.topics.map((topic) => to("a", `/c/${encodeURIComponent(topic)}`, topic))))),
    el("div.parts", {}, parts), el("div.head", {}, el("h2", {}, "Goes with it"), el("p", {}, "Chosen for this page and for you.")), related);
  mine.seen.push(id);
  happened("view", { item: id }, { value: one.price });
  const stop = reading(id, parts, (part, seconds) => { part.querySelector(".read span").textContent = `read for ${Math.round(seconds)} s`; });
  leave = stop;
  const fillRelated = async () => {
    const answer = await ask([{ id: "item.related", n: 4 }], { url: location.href, item: id });
    const found = (answer.placements["item.related"]?.items ?? []).filter((shown) => shelf.products.has(shown.item));
    reorder(related, found.map((shown) => product(shown, answer.decision, false)));
  };
  refilledBy(fillRelated);
  await fillRelated();
}

function specs(one) {
  const rows = [...Object.entries(one.attributes).map(specification), ["Colour", one.colour[0].toUpperCase() + one.colour.slice(1)]];
  return el("table.specs", {}, el("tbody", {}, rows.map(([name, value]) => el("tr", {}, el("td", {}, name), el("td", {}, value)))));
}

// --- lists, search, basket

function list(title, found, note) {
  const make = (one) => card(one, { saved: mine.saved.has(one.id), onsave: save });
  main.replaceChildren(el("div.head", {}, el("h2", {}, title), el("p", {}, note ?? `${found.length} things`)), found.length ? el("div.grid", {}, found.map(make)) : el("p.empty", {}, "Nothing by that name. Try “tent”, “merino” or “dog”."));
  refilledBy(() => {});
}

function department(name) {
  const found = [...shelf.products.values()].filter((one) => one.department === name || one.topics.includes(name));
  if (!found.length) return missing();
  happened("view", { topic: name.toLowerCase() });
  tell();
  return list(name[0].toUpperCase() + name.slice(1), found);
}

function search(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (one) => `${one.title} ${one.kind_name} ${one.department} ${one.topics.join(" ")} ${Object.values(one.attributes).join(" ")}`.toLowerCase();
  const found = words.length ? [...shelf.products.values()].filter((one) => words.every((word) => text(one).includes(word))) : [];
  if (words.length) { happened("search", { query: words.join(" ") }); tell(); }
  list(`“${query}”`, found);
}

function basket() {
  const sum = mine.basket.reduce((all, one) => all + one.price, 0);
  const out = (one) => { mine.basket.splice(mine.basket.indexOf(one), 1); happened("remove", { item: one.id }); counted(); basket(); };
  main.replaceChildren(el("div.head", {}, el("h2", {}, "Your basket")), mine.basket.length ? el("div.lines", {},
    mine.basket.map((one) => el("div.line-item", {}, picture(one), el("div", {}, to("a", `/p/${one.id}`, el("b", {}, one.title)), el("div", {}, one.kind_name)), el("span.price", {}, money(one.price)), el("button", { type: "button", "aria-label": `Remove ${one.title}`, onclick: () => out(one) }, icon("close")))),
    el("div.total", {}, el("span", {}, "Together ", el("b.price", {}, money(sum))), el("button.button.ember", { type: "button", onclick: order }, "Place the order")))
    : el("p.empty", {}, "Nothing in it yet. What you put in counts as interest, and what you buy is not recommended again."));
  refilledBy(() => {});
}

function order() {
  for (const one of mine.basket) happened("purchase", { item: one.id }, { value: one.price });
  mine.basket = [];
  counted();
  toast("Ordered. Nothing was charged: it is a demo.");
  go("/");
}

function missing() {
  main.replaceChildren(el("div.head", {}, el("h2", {}, "Not on our shelves")), el("p.empty", {}, "There is no such page. ", to("a", "/", "Back to the shop")));
}

// --- acts

function save(one, press) {
  const on = !mine.saved.has(one.id);
  on ? mine.saved.add(one.id) : mine.saved.delete(one.id);
  press.setAttribute("aria-pressed", String(on));
  const text = press.querySelector("span");
  if (text) text.textContent = on ? "Saved" : "Save";
  happened("save", { item: one.id }, on ? {} : { op: "retract" });
  again();
}

function put(one) {
  mine.basket.push(one);
  happened("add", { item: one.id }, { value: one.price });
  counted();
  toast(`${one.title} is in your basket`);
  again();
}

function counted() {
  const box = document.getElementById("basket-count");
  box.textContent = String(mine.basket.length);
  box.hidden = !mine.basket.length;
}

// --- the frame

function header() {
  const { session } = state;
  document.getElementById("who-face").replaceWith(Object.assign(face(session, session.guests), { id: "who-face" }));
  document.getElementById("who-name").textContent = session.name;
}

function visitors() {
  const { session } = state;
  const choose = async (guest) => { box.close(); try { await become(guest); } catch (error) { toast(error.message); } };
  const row = (guest, name, line) => el("button", { type: "button", "aria-current": (session.guest ?? "new") === guest && "true", onclick: () => choose(guest) }, face({ guest: guest === "new" ? null : guest, name }, session.guests), el("span", {}, el("b", {}, name), el("small", {}, line)));
  const box = sheet("Look through other eyes", el("p.say", {}, "The same shop, another person. Each has a history here, on the networks, or both."), el("div.people", {}, session.guests.map((one) => row(one.guest, one.name, one.line)), row("new", "Someone new", "No history at all: see how fast the page learns")));
}

const ROUTES = [
  [/^\/$/, home],
  [/^\/p\/([^/]+)$/, productPage],
  [/^\/c\/([^/]+)$/, department],
  [/^\/search$/, () => search(new URLSearchParams(location.search).get("q") ?? "")],
  [/^\/basket$/, basket],
];

async function route() {
  leave();
  leave = () => {};
  const [, name] = location.pathname.match(/^\/c\/([^/]+)$/) ?? [];
  for (const one of document.querySelectorAll("#shelves a")) one.toggleAttribute("aria-current", decodeURIComponent(name ?? "") === one.textContent);
  const [pattern, page] = ROUTES.find(([one]) => one.test(location.pathname)) ?? [/$/, missing];
  try {
    await page(...(location.pathname.match(pattern) ?? []).slice(1).map(decodeURIComponent));
  } catch (error) {
    toast(error.message);
  }
}

function go(path) {
  history.pushState(null, "", path);
  scrollTo({ top: 0, behavior: "instant" });
  route();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-to]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(link.dataset.to);
});
addEventListener("popstate", route);
document.getElementById("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const query = new FormData(event.target).get("q").trim();
  if (query) go(`/search?q=${encodeURIComponent(query)}`);
});
document.getElementById("who").addEventListener("click", visitors);

main.replaceChildren(el("p.wait", {}, "Opening the shop…"));
await begin();
document.getElementById("shelves").append(...shelf.departments.map((name) => to("a", `/c/${encodeURIComponent(name)}`, name)));
header();
openPanel();
listen((what) => {
  if (what === "visitor") { mine.basket = []; mine.saved = new Set(); mine.seen = []; before = { who: "", items: [] }; counted(); route(); }
  if (what === "visitor" || what === "session") header();
  if (what instanceof Error) toast(what.message);
});
await route();
document.documentElement.dataset.ready = "yes";
