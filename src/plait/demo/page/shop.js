// The shop's frame: its addresses, its header, and what happens on every page. A page is drawn before the address changes,
// with what it is about on <main>, so that plait.js, which follows the address, sees the page that it measures.
import { account, visitors } from "./account.js";
import { bagPage, checkout, thanks } from "./bag.js";
import { adopt, slot } from "./cards.js";
import { again, begin, listen, shelf, state } from "./desk.js";
import { el, face, icon, toast } from "./dom.js";
import { openDrawer } from "./drawer.js";
import { home } from "./home.js";
import { article, journal } from "./journal.js";
import { count, onKept, reopen } from "./keep.js";
import { networks } from "./networks.js";
import { product } from "./product.js";
import { department, saved, search } from "./shelves.js";
import { tour } from "./tour.js";

const main = document.getElementById("main");
const found = (address) => address.searchParams;

// Address -> what it is about before anything is drawn, and the page.
const ROUTES = [
  [/^\/$/, home],
  [/^\/p\/([^/]+)$/, product],
  [/^\/c\/([^/]+)$/, department],
  [/^\/journal$/, journal],
  [/^\/journal\/([^/]+)$/, article],
  [/^\/social$/, networks],
  [/^\/search$/, (address) => search((found(address).get("q") ?? "").trim())],
  [/^\/saved$/, saved],
  [/^\/bag$/, () => bagPage(go)],
  [/^\/checkout$/, () => checkout(go)],
  [/^\/thanks$/, (address) => thanks(found(address).get("order"))],
  [/^\/account$/, () => account(() => { if (location.pathname === "/account") draw(new URL(location.href)); })],
];

const missing = () => ({ title: "Not on our shelves", parts: [
  el("div.head", {}, el("div", {}, el("h1", {}, "Not on our shelves"), el("p", {}, "There is no such page, or no longer. What there is:"))),
  el("div.chips", {}, shelf.departments.map(({ name, slug }) => el("a.chip", { href: `/c/${slug}` }, name))),
  el("div.head", {}, el("div", {}, el("h2", {}, "Chosen for you")), el("a.more", { href: "/" }, "Back to the shop", icon("arrow"))), slot("home.grid", "grid", 4)] });

async function pageAt(address) {
  for (const [pattern, page] of ROUTES) {
    const match = pattern.exec(address.pathname);
    if (match) return (await page(...match.slice(1).map(decodeURIComponent), address)) ?? missing();
  }
  return missing();
}

function about(item, topic) {
  item ? (main.dataset.plaitItem = item) : delete main.dataset.plaitItem;
  topic ? (main.dataset.plaitTopic = topic) : delete main.dataset.plaitTopic;
}

// Going back and forth, the address changes before anything else happens: what the page is about must be there by then.
function aboutAddress({ pathname }) {
  const [, first, second] = pathname.split("/").map(decodeURIComponent);
  const shelved = shelf.departments.find((one) => one.slug === second)?.name.toLowerCase() ?? second;
  about(first === "p" ? second : first === "journal" && second ? `journal-${second}` : "", first === "c" ? shelved : "");
}

/** The first page may have come with everything in it: it gets what acts, and nothing of it is drawn again. */
function takeOver({ pathname }) {
  const places = main.querySelectorAll("plait-placement");
  adopt(places);
  if (places.length) document.documentElement.dataset.ready = pathname;
  return places.length > 0;
}

let turn = 0;
async function draw(address, arrive = () => {}) {
  const mine = ++turn;
  try {
    const page = await pageAt(address);
    if (mine !== turn) return;
    about(page.item, page.topic);
    document.title = `${page.title} · Skerry Outdoor`;
    main.replaceChildren(...page.parts);
    arrive();
    for (const one of document.querySelectorAll("#shelves a")) one.toggleAttribute("aria-current", one.pathname === address.pathname);
    document.documentElement.dataset.ready = address.pathname;
  } catch (error) {
    toast(error.message);
  }
}

/** Go to another page of the shop. */
export function go(path, { replace = false } = {}) {
  const address = new URL(path, location.href), same = address.href === location.href;
  return draw(address, () => {
    if (!same) history[replace ? "replaceState" : "pushState"](null, "", address);
    if (!same) { scrollTo({ top: 0, behavior: "instant" }); main.focus({ preventScroll: true }); }
  });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || link.origin !== location.origin || event.defaultPrevented || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button) return;
  if (link.hash && link.pathname === location.pathname) return; // a place on this page
  event.preventDefault();
  go(link.href).then(() => { if (link.hash) document.querySelector(link.hash)?.scrollIntoView(); });
});
window.navigation?.addEventListener("navigate", (event) => {
  if (event.navigationType === "traverse" && event.destination.sameDocument) aboutAddress(new URL(event.destination.url));
});
addEventListener("popstate", () => { aboutAddress(location); draw(new URL(location.href)); });
document.getElementById("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const query = new FormData(event.target).get("q").trim();
  if (query) go(`/search?q=${encodeURIComponent(query)}`);
});

function header() {
  const { session } = state, number = session.guests.findIndex((one) => one.guest === session.guest) + 1;
  document.getElementById("who-face").replaceWith(Object.assign(face(session.user ? session.name : "", number), { id: "who-face" }));
  document.getElementById("who-name").textContent = session.user ? session.name : "Sign in";
  const badge = document.getElementById("bag-count");
  badge.textContent = String(count());
  badge.hidden = !count();
  document.getElementById("bag-link").setAttribute("aria-label", count() ? `Bag, ${count()} things` : "Bag, empty");
}

const same = await begin();
reopen();
const shelves = document.getElementById("shelves"), atEnd = () => shelves.classList.toggle("ends", shelves.scrollLeft + shelves.clientWidth > shelves.scrollWidth - 8);
shelves.addEventListener("scroll", atEnd, { passive: true });
new ResizeObserver(atEnd).observe(shelves);
onKept(header);
listen((what) => {
  if (what === "visitor") { reopen(); draw(new URL(location.href)); }
  header();
});
header();
openDrawer({ visitors });
if (!same || !takeOver(location)) await draw(new URL(location.href), () => { if (location.hash) requestAnimationFrame(() => document.querySelector(location.hash)?.scrollIntoView()); });
tour({ visitors });
// A page that comes back out of the browser's own memory asks again.
addEventListener("pageshow", (event) => { if (event.persisted) again(); });
