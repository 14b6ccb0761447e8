// The dark side of the page: what Plait sees of this visitor, as it sees it.
import { again, agree, connect, forget, like, listen, offers, profile, shelf, state } from "./asking.js";
import { bar, el, icon, sheet, toast } from "./drawing.js";
import { clause, network, sentence, sign, sourceClass, sourceName, thing } from "./words.js";

const panel = document.getElementById("panel"), peek = document.getElementById("peek"), count = document.getElementById("peek-count");
const body = el("div.panel-body", { role: "tabpanel", tabindex: "0" }), numbers = el("div.took"), tabs = el("div.tabs", { role: "tablist" });
const TABS = [["live", "Live"], ["interests", "Interests"], ["you", "Person"]];
let tab = "interests", known = null, events = [], streams = [], unseen = 0, waiting = 0, drawn = "";

export function openPanel() {
  panel.append(
    el("div.panel-top", {}, el("div.row", {}, icon("eye"), el("h2", {}, "What Plait sees"), el("button.panel-close", { type: "button", "aria-label": "Close", onclick: () => show(false) }, icon("close"))), numbers),
    tabs, body);
  peek.addEventListener("click", () => show(!panel.classList.contains("open")));
  addEventListener("keydown", (event) => { if (event.key === "Escape") show(false); });
  listen((what) => {
    if (what === "visitor") { known = null; events = []; hear(); }
    if (what === "session") hear();
    if (what === "answer") took();
    soon(what === "visitor" ? 0 : 250);
  });
  hear();
  took();
  draw();
}

function show(open) {
  panel.classList.toggle("open", open);
  peek.setAttribute("aria-expanded", String(open));
  if (open) { unseen = 0; count.textContent = ""; }
}

/** Look again soon; one look for many events. */
function soon(ms) {
  clearTimeout(waiting);
  waiting = setTimeout(async () => {
    try { known = await profile(); } catch { return; }
    draw();
  }, ms);
}

function hear() {
  const wanted = state.session.live.map((one) => one.identifier).join();
  if (streams.wanted === wanted) return;
  for (const one of streams) one.close();
  events = [];
  streams = state.session.live.map(({ identifier, token }) => {
    const stream = new EventSource(`/v1/live?${new URLSearchParams({ identifier, token })}`);
    stream.onmessage = (message) => heard(JSON.parse(message.data));
    // A token lives for a quarter of an hour: after that the stream is opened again with the next one.
    stream.onerror = () => { if (stream.readyState === EventSource.CLOSED) { streams.wanted = ""; setTimeout(hear, 3_000); } };
    return stream;
  });
  streams.wanted = wanted;
}

function heard(event) {
  const key = `${event.source} ${event.id} ${event.part ?? 0}`;
  if (events.some((one) => one.key === key)) return;
  const first = Date.now() - (event.received_at ?? event.at) < 5_000;
  events.push({ ...event, key });
  events.sort((a, b) => b.at - a.at);
  events.length = Math.min(events.length, 120);
  if (first && event.signal !== "decided" && event.signal !== "shown" && !panel.classList.contains("open")) count.textContent = String(Math.min(++unseen, 99));
  soon(200);
  if (tab === "live") requestAnimationFrame(draw);
}

function took() {
  const answer = state.answer;
  const tiles = [
    [answer ? `${answer.took_ms.toFixed(answer.took_ms < 100 ? 1 : 0)} ms` : "—", "to decide this page"],
    [String(shelf.products.size), "products weighed"],
    [known ? String(Object.values(known.counts ?? {}).reduce((a, b) => a + b, 0)) : "—", "acts remembered"],
  ];
  numbers.replaceChildren(...tiles.map(([big, small]) => el("div", {}, el("b", {}, big), el("span", {}, small))));
}

function draw() {
  took();
  tabs.replaceChildren(...TABS.map(([id, name]) => el("button", { type: "button", role: "tab", "aria-selected": String(tab === id), onclick: () => { tab = id; drawn = ""; draw(); } }, name)));
  const made = { live, interests, you }[tab]();
  const key = tab + state.session.identifier, top = drawn === key ? body.scrollTop : 0;
  body.replaceChildren(...made.filter(Boolean));
  body.scrollTop = top;
  drawn = key;
}

const AGES = [[60, 1, "s"], [3_600, 60, "min"], [86_400, 3_600, "h"], [Infinity, 86_400, "d"]];
function ago(at) {
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
    const bits = [sourceName(one.source), one.context?.device, one.context?.os].filter((bit) => typeof bit === "string");
    rows.push(el(`li.${sourceClass(one.signal === "decided" ? "catalog" : one.source)}`, {}, el("span.sign", {}, icon(sign(one.signal))), el("p", {}, sentence(one), el("small", {}, bits.join(" · "))), el("time", {}, ago(one.at))));
  }
  flush();
  if (!rows.length) return [el("p.empty", {}, "Nothing yet. Open a product, save one, search: every act shows up here within a moment, and in your page at once.")];
  return [el("ul.events", {}, rows.slice(0, 60))];
}

function interests() {
  const found = (known?.interests ?? []).filter((one) => one.weight > 0);
  if (!found.length) return [el("p.empty", {}, known ? "Nothing is known about this visitor, so the page shows what everybody likes. Click around: it takes one click to become yours." : "Looking…")];
  const topics = found.filter((one) => one.topic).slice(0, 9), items = found.filter((one) => one.item && shelf.products.has(one.item)).slice(0, 8);
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
    topics.length ? el("h3.group", {}, "Topics") : null, topics.length ? list(topics) : null,
    items.length ? el("h3.group", {}, "Products") : null, items.length ? list(items) : null,
  ];
}

const PURPOSES = [
  ["personalize", "Choose my page for me", "Off: everybody’s favourites, whatever is known."],
  ["social", "Use what I do on networks", "Likes and comments count as interest. Off: that source is left out of the sum."],
  ["link", "Know that my accounts are me", "Off: each account stands alone, and nothing is joined."],
  ["collect", "Remember what I do here", "Off: nothing new is collected."],
];
const DEFAULTS = { personalize: true, social: false, link: false, collect: true };

function allowed(purpose) {
  const said = known?.consents?.[purpose];
  if (typeof said === "boolean") return said;
  if (said && typeof said === "object") return Boolean(said.granted ?? said["*"] ?? Object.values(said).every(Boolean));
  return DEFAULTS[purpose];
}

function you() {
  const here = state.session, named = known?.identifiers ?? [here.identifier];
  const counts = Object.entries(known?.counts ?? {}).filter(([, number]) => number > 0).sort((a, b) => b[1] - a[1]);
  const devices = (known?.devices ?? []).map((one) => [one.device, one.os, one.browser].filter(Boolean).join(" · "));
  return [
    el("h3.group", {}, "One person, these identifiers"),
    el("div.facts", {}, named.map((one) => {
      const where = network(one);
      return el("div.fact", {}, el(`i.dot.${where ? sourceClass(one) : one.startsWith("anonymous:") ? "s-web" : "s-catalog"}`), el("div", {}, el("code", {}, one.length > 44 ? `${one.slice(0, 40)}…` : one), el("small", {}, where ? `account on ${where}` : one.startsWith("anonymous:") ? "a browser" : "signed in here")));
    })),
    here.guest ? null : el("button.button.ember", { type: "button", onclick: signIn }, icon("link"), here.accounts.length ? "Connect another account" : "Connect a social account"),
    el("h3.group", {}, "What they agreed to"),
    ...PURPOSES.map(([purpose, title, text]) => {
      const on = allowed(purpose);
      return el("button.switch", { type: "button", role: "switch", "aria-checked": String(on), onclick: async () => { await attempt(agree(purpose, !on)); toast(on ? `“${title}” is off` : `“${title}” is on`); again(); } }, el("span", {}, title, el("small", {}, text)), el("i"));
    }),
    counts.length ? el("h3.group", {}, "Acts") : null,
    counts.length ? el("div.counts", {}, counts.map(([signal, number]) => el("span", {}, el("b", {}, String(number)), ` ${signal.replace("_", " ")}`))) : null,
    devices.length ? el("h3.group", {}, "Devices") : null,
    devices.length ? el("div.counts", {}, [...new Set(devices)].map((one) => el("span", {}, one))) : null,
    here.guest ? null : el("button.button.plain", { type: "button", onclick: async () => { await attempt(forget()); toast("Forgotten: state, log and all"); again(); } }, icon("close"), "Forget me"),
  ];
}

async function attempt(work) {
  try { return await work; } catch (error) { toast(error.message); throw error; }
}

export async function signIn() {
  const found = await attempt(offers());
  const box = sheet("Whose account is yours?", el("p.say", {}, "In a real shop you would sign in with the network and be asked whether the shop may use what you like there. Here you borrow an account that already liked some posts: watch the page before and after."),
    el("div.people", {}, found.map((one, number) => el("button", { type: "button", onclick: async () => { box.close(); await attempt(connect(one.account)); toast("Linked, with consent: their likes count now"); again(); } },
      el(`span.face.f${(number % 6) + 1}`, {}, icon("user")), el("span", {}, el("b", {}, `A ${one.taste} on ${network(one.account)}`), el("small", {}, `reacted to ${one.posts} posts`))))));
}

export async function likePost(post, on) {
  if (!state.session.accounts.length) { await signIn(); return false; }
  await attempt(like(post.id, on));
  return true;
}
