// The drawer: what Plait sees of this visitor, as it sees it. Everything in it came back from the server.
import { again, listen, plait, profile, shelf, shop, state } from "./desk.js";
import { bar, onFilled } from "./cards.js";
import { el, icon } from "./dom.js";
import { switches } from "./account.js";
import { connectAccount } from "./social.js";
import { clause, network, section, sentence, sign, sourceClass, sourceName, thing } from "./words.js";

const root = document.documentElement, drawer = document.getElementById("drawer"), eye = document.getElementById("eye"), count = document.getElementById("eye-count");
const docks = matchMedia("(min-width: 1200px)");
const body = el("div.drawer-body", { role: "tabpanel", tabindex: "0", id: "drawer-body" }), numbers = el("div.took"), tabs = el("div.tabs", { role: "tablist", "aria-label": "What Plait sees" });
const TABS = { live: ["Live", live], sections: ["Sections", sections], interests: ["Interests", interests], person: ["Person", person], others: ["Others", others] };
let tab = "interests", known = null, events = [], stream = null, unseen = 0, waiting = 0, drawn = "", pulse = null;
const clocks = new Map(); // page view -> section -> the newest telling

const isOpen = () => (docks.matches ? root.dataset.drawer !== "closed" : root.dataset.drawer === "open");

export function openDrawer({ visitors }) {
  drawer.append(
    el("div.drawer-top", {}, el("div.row", {}, icon("eye"), el("h2", {}, "What Plait sees"), el("button.quiet", { type: "button", onclick: visitors }, "Other eyes"), el("button.round", { type: "button", "aria-label": "Close the drawer", onclick: () => show(false) }, icon("close"))), numbers),
    tabs, body);
  eye.addEventListener("click", () => show(!isOpen()));
  document.getElementById("scrim").addEventListener("click", () => show(false));
  addEventListener("keydown", (event) => { if (event.key === "Escape" && !docks.matches && isOpen()) show(false); });
  docks.addEventListener("change", () => {
    // Beside the shop it is as the visitor left it there; over the shop nobody asked for it yet.
    docks.matches && /(^|; )drawer=closed/.test(document.cookie) ? (root.dataset.drawer = "closed") : delete root.dataset.drawer;
    expanded();
    if (isOpen()) { soon(0); draw(); }
  });
  listen((what) => {
    if (what === "visitor") { known = null; events = []; clocks.clear(); }
    hear();
    soon(what === "visitor" ? 0 : 250);
  });
  onFilled(() => soon(250));
  expanded();
  hear();
  soon(0);
  draw();
  setInterval(tick, 1_000);
  document.addEventListener("visibilitychange", hear); // a tab behind keeps no line open: a browser has six for all of them
}

function expanded() { eye.setAttribute("aria-expanded", String(isOpen())); }

export function show(open, which) {
  if (which) tab = which;
  if (docks.matches) {
    open ? delete root.dataset.drawer : (root.dataset.drawer = "closed");
    document.cookie = `drawer=${open ? "open" : "closed"};path=/;max-age=31536000;samesite=lax`;
  } else open ? (root.dataset.drawer = "open") : delete root.dataset.drawer;
  expanded();
  if (open) { unseen = 0; count.hidden = true; soon(0); draw(); if (!docks.matches) drawer.querySelector("button").focus(); }
  else if (!docks.matches) eye.focus();
}

// While somebody looks at the clocks, plait.js is asked to tell them each second instead of each five to sixty.
async function tick() {
  if (!isOpen() || document.hidden) return;
  if (tab === "sections") plait.flush();
  if (tab === "live") draw();
  if (tab === "others" || !pulse || Date.now() - pulse.at > 5_000) {
    pulse = { ...(pulse ?? {}), at: Date.now() };
    try { pulse = { ...(await shop("pulse")), at: Date.now() }; } catch { return; }
    took();
    if (tab === "others") draw();
  }
}

/** Look again soon; one look for many events. */
function soon(ms) {
  clearTimeout(waiting);
  waiting = setTimeout(async () => {
    if (!isOpen()) return;
    try { known = await profile(); } catch { return; }
    draw();
  }, ms);
}

function hear() {
  const wanted = document.hidden ? "" : state.session.live?.identifier ?? "";
  if (stream?.wanted === wanted) return;
  stream?.close();
  stream = wanted ? new EventSource(`/v1/live?${new URLSearchParams(state.session.live)}`) : null;
  if (!stream) return;
  stream.wanted = wanted;
  stream.onmessage = (message) => heard(JSON.parse(message.data));
  // A token lives for a quarter of an hour: after that the stream is opened again with the next one.
  stream.onerror = () => { if (stream?.readyState === EventSource.CLOSED) { stream.wanted = "again"; setTimeout(hear, 3_000); } };
}

function heard(event) {
  if (event.signal === "dwell" && event.counter) clock(event);
  // Of a growing counter the newest telling stands for all.
  const key = event.counter ? `${event.counter.view} ${event.counter.epoch ?? 0} ${event.about?.item} ${event.about?.section} ${event.about?.url}` : `${event.source} ${event.id} ${event.part ?? 0}`;
  const old = events.findIndex((one) => one.key === key);
  if (old >= 0) { if (!event.counter || event.value <= events[old].value) return; events.splice(old, 1); }
  events.push({ ...event, key });
  events.sort((a, b) => b.at - a.at);
  events.length = Math.min(events.length, 120);
  const fresh = Date.now() - (event.received_at ?? event.at) < 5_000;
  if (fresh && old < 0 && event.signal !== "decided" && event.signal !== "shown" && !isOpen()) { count.textContent = String(Math.min(++unseen, 99)); count.hidden = false; }
  if (!event.counter || tab === "interests") soon(300);
  if (tab === "live" || tab === "sections") requestAnimationFrame(draw);
}

function clock(event) {
  const { view } = event.counter, name = event.about?.section ?? "";
  const held = clocks.get(view) ?? new Map();
  clocks.set(view, held);
  const was = held.get(name);
  if (!was || was.value <= event.value) held.set(name, { ...event, ...event.properties });
}

function took() {
  const acts = known ? Object.values(known.counts ?? {}).reduce((a, b) => a + b, 0) : null;
  const tiles = [[acts === null ? "–" : String(acts), "acts of this visitor"], [String(shelf.products.size + shelf.articles.size), "things weighed"], [pulse?.visitors === undefined ? "–" : String(pulse.visitors), "others here now"]];
  numbers.replaceChildren(...tiles.map(([big, small]) => el("div", {}, el("b", {}, big), el("span", {}, small))));
}

function draw() {
  if (!isOpen()) return;
  took();
  if (!tabs.children.length) tabs.append(...Object.entries(TABS).map(([id, [name]]) => el("button", { type: "button", role: "tab", id: `tab-${id}`, value: id, "aria-controls": "drawer-body", onclick: () => { tab = id; draw(); } }, name)));
  for (const one of tabs.children) one.setAttribute("aria-selected", String(one.value === tab));
  const top = drawn === tab ? body.scrollTop : 0, at = body.contains(document.activeElement) ? [...body.querySelectorAll("button")].indexOf(document.activeElement) : -1;
  body.replaceChildren(...TABS[tab][1]().flat().filter(Boolean));
  body.scrollTop = top;
  if (at >= 0) body.querySelectorAll("button")[at]?.focus({ preventScroll: true });
  body.setAttribute("aria-labelledby", `tab-${tab}`);
  drawn = tab;
}

const AGES = [[60, 1, "s"], [3_600, 60, "min"], [86_400, 3_600, "h"], [Infinity, 86_400, "d"]];
function since(at) {
  const seconds = Math.max(0, (Date.now() - at) / 1_000);
  if (seconds < 4) return "now";
  const [, unit, name] = AGES.find(([most]) => seconds < most);
  return `${Math.floor(seconds / unit)} ${name}`;
}

function live() {
  const rows = [];
  let shown = 0;
  const flush = () => { if (shown) { rows.push(el("li.s-catalog", {}, el("span.sign", {}, icon("eye")), el("p", {}, `was shown ${shown} thing${shown > 1 ? "s" : ""}`), el("time"))); shown = 0; } };
  for (const one of events) {
    if (one.signal === "shown") { shown += 1; continue; }
    flush();
    const bits = [one.signal, sourceName(one.source), one.context?.device, one.context?.browser].filter((bit) => typeof bit === "string");
    rows.push(el(`li.${sourceClass(one.signal === "decided" ? "catalog" : one.source)}`, {}, el("span.sign", {}, icon(sign(one.signal))), el("p", {}, sentence(one), el("small", {}, bits.join(" · "))), el("time", {}, since(one.at))));
  }
  flush();
  return rows.length ? [el("ul.events", {}, rows.slice(0, 60))] : [el("p.empty", {}, "Nothing yet. Open a product, save one, search: every act shows up here within a moment, and in your page at once.")];
}

const CLOCKS = [["visible", "on screen"], ["focused", "in front"], ["active", "with input"]];
function sections() {
  const held = clocks.get(plait.ids().view), rows = [...(held ?? [])].filter(([name]) => name).sort((a, b) => b[1].value - a[1].value), page = held?.get("");
  const marked = document.querySelector("main [data-plait-section]");
  if (!held || (!rows.length && !page)) return [el("p.empty", {}, marked ? "Listening… the clocks arrive in a second." : "Open a product or a story: each of its sections has clocks of its own.")];
  const most = Math.max(1, ...rows.map(([, one]) => one.visible));
  const line = (title, one) => el("li", {}, el("div.name", {}, el("span", {}, title), el("b", { title: "attention, in seconds" }, `${one.value.toFixed(1)} s`)),
    CLOCKS.map(([id]) => el(`i.clock.${id}`, { style: { "--part": `${(100 * one[id]) / most}%` } })),
    el("small", {}, CLOCKS.map(([id, name]) => `${one[id].toFixed(1)} s ${name}`).join(", "), one.expected ? ` · read in about ${Math.round(one.expected)} s` : ""));
  return [el("div.legend", {}, CLOCKS.map(([id, name]) => el("span", {}, el(`i.dot.${id}`), name))),
    rows.length ? el("ul.clocks", {}, rows.map(([name, one]) => line(section(one.about?.item, name), one))) : el("p.empty", {}, marked ? "Scroll: a section counts when half of it is on screen." : "This page has no sections. Open a product or a story."),
    page ? el("p.say", {}, `The whole page: ${page.visible.toFixed(1)} s on screen, ${page.active.toFixed(1)} s with input. Hidden tabs count nothing.`) : null];
}

function interests() {
  const found = (known?.interests ?? []).filter((one) => one.weight > 0);
  if (!found.length) return [el("p.empty", {}, known ? "Nothing is known about this visitor, so the page shows what everybody likes. Click around: it takes one click to become yours." : "Looking…")];
  const topics = found.filter((one) => one.topic).slice(0, 9), items = found.filter((one) => one.item && (shelf.products.has(one.item) || shelf.articles.has(one.item))).slice(0, 8);
  const sources = [...new Set(found.flatMap((one) => one.because.map((cause) => cause.source)))];
  const list = (some) => {
    const most = Math.max(...some.map((one) => one.weight));
    return el("ul.likes", {}, some.map((one) => {
      const strongest = one.because.find((cause) => cause.share > 0);
      return el("li", {}, el("div.name", {}, el("span", {}, one.topic ?? thing(one.item)), el("b", {}, one.weight.toFixed(1))), bar(one.because.map((cause) => ({ ...cause, share: Math.abs(cause.share) * one.weight })), { rest: most - one.weight }), strongest ? el("small", {}, clause(strongest)) : null);
    }));
  };
  return [
    el("div.legend", {}, sources.map((source) => el("span", {}, el(`i.dot.${sourceClass(source)}`), sourceName(source)))),
    topics.length ? [el("h3.group", {}, "Topics"), list(topics)] : null,
    items.length ? [el("h3.group", {}, "Products and stories"), list(items)] : null,
  ].flat();
}

function person() {
  const here = state.session, named = known?.identifiers ?? [];
  const counts = Object.entries(known?.counts ?? {}).filter(([, number]) => number > 0).sort((a, b) => b[1] - a[1]);
  const devices = (known?.devices ?? []).map((one) => [one.device, one.os, one.browser].filter(Boolean).join(" · "));
  return [
    el("h3.group", {}, "One person, these identifiers"),
    named.length ? el("div.facts", {}, named.map((one) => {
      const where = network(one);
      return el("div.fact", {}, el(`i.dot.${where ? sourceClass(one) : one.startsWith("anonymous:") ? "s-web" : "s-catalog"}`), el("div", {}, el("code", {}, one.length > 44 ? `${one.slice(0, 40)}…` : one), el("small", {}, where ? `account on ${where}` : one.startsWith("anonymous:") ? "a browser" : "customer")));
    })) : el("p.empty", {}, "This browser keeps no id."),
    here.user ? null : el("a.button.ember", { href: "/account" }, icon("user"), "Sign in"),
    here.guest ? null : el("button.button.plain", { type: "button", onclick: connectAccount }, icon("link"), here.accounts.length ? "Connect another account" : "Connect a social account"),
    el("h3.group", {}, "What they agreed to"),
    ...switches(known, () => { soon(0); again(); }),
    counts.length ? el("h3.group", {}, "Acts") : null,
    counts.length ? el("div.counts", {}, counts.map(([signal, number]) => el("span", {}, el("b", {}, String(number)), ` ${signal.replace("_", " ")}`))) : null,
    known?.audiences?.length ? el("h3.group", {}, "Audiences") : null,
    known?.audiences?.length ? el("div.counts", {}, known.audiences.map((one) => el("span", {}, one.replaceAll("-", " ")))) : null,
    devices.length ? el("h3.group", {}, "Devices") : null,
    devices.length ? el("div.counts", {}, [...new Set(devices)].map((one) => el("span", {}, one))) : null,
  ];
}

const SAID = { "Products Searched": "search", "Product List Viewed": "view", "Product Viewed": "view", "Section Viewed": "dwell", "Product Added": "add", "Product Removed": "remove", "Product Added to Wishlist": "save", "Checkout Started": "checkout", "Order Completed": "purchase" };
const THEY = { view: "looks at", dwell: "reads about", add: "puts in the bag:", remove: "puts back:", save: "saves", search: "searches for", checkout: "goes to the checkout", purchase: "buys" };
function others() {
  if (!pulse?.latest) return [el("p.empty", {}, "Looking…")];
  const rows = pulse.latest.map((one) => {
    const signal = SAID[one.event] ?? "view";
    return el("li.s-web", {}, el("span.sign", {}, icon(sign(signal))), el("p", {}, `Somebody ${THEY[signal]} ${one.item ? thing(one.item) : one.query ? `“${one.query}”` : ""}`.trim()));
  });
  return [el("p.say", {}, `${pulse.visitors} made-up visitors came by in the last minute and did ${pulse.acts} things, through the same API. What they buy moves what is popular.`), el("ul.events", {}, rows)];
}
