// The shop's day on its network: its posts, the likes that come and go, and what three guests are shown before it and now.
// The day is the shop's server's; this page asks how far it is, and holds no key.
import { listen, shelf, shop, state } from "./desk.js";
import { likeButton, reason, slot } from "./cards.js";
import { el, face, icon, picture } from "./dom.js";
import { attempt } from "./social.js";
import { ago, line, network, sign } from "./words.js";

const DID = { like: "liked", share: "reposted", reply: "replied to", quote: "quoted", follow: "followed" };
const UNDONE = { like: "took back the like of", share: "took back the repost of", follow: "no longer follows" };
const SUMS = [["like", "heart", "likes"], ["share", "share", "reposts"], ["reply", "talk", "replies"]];

export function networks() {
  const root = el("div.day"), posts = new Map(), guests = new Map();
  const how = el("p.how", { role: "status" }), part = el("i"), lately = el("ol.lately");
  const press = (what, name, text, look = "plain") => el(`button.button.${look}`, { type: "button", id: `day-${what}`, onclick: () => play(what) }, icon(name), el("span", {}, text));
  const run = press("play", "play", "Play", "ember"), step = press("step", "step", "One act"), anew = press("again", "back", "Again");
  let told = null, busy = false;

  async function play(what) {
    if (busy) return;
    busy = true;
    for (const one of [run, step, anew]) one.disabled = true;
    const found = await attempt(shop("day", { do: what === "play" && told?.playing ? "pause" : what }));
    busy = false;
    for (const one of [run, step, anew]) one.disabled = false;
    if (found) show(found);
  }

  async function look() {
    if (!root.isConnected) return;
    if (!document.hidden && !busy && (told === null || told.playing)) {
      try { const found = await shop("day"); if (!busy) show(found); } catch (error) { if (!told) how.textContent = error.message; }
    }
    setTimeout(look, 1_000);
  }

  function show(next) {
    const fresh = told && next.done !== told.done;
    told = next;
    run.replaceChildren(icon(next.playing ? "pause" : "play"), el("span", {}, next.playing ? "Pause" : "Play"));
    run.disabled = step.disabled = next.done >= next.of;
    how.textContent = next.done >= next.of ? "It is night. Begin again from the morning." : `${next.done} of ${next.of} acts so far`;
    part.style.setProperty("--part", `${(100 * next.done) / next.of}%`);
    for (const [id, one] of posts) one.sums(next.posts[id] ?? {}, fresh && next.latest[0]?.post === id);
    lately.replaceChildren(...(next.latest.length ? next.latest.slice(0, 7).map(act) : [el("li.empty", {}, "Nothing yet. Press play, or take one act at a time.")]));
    for (const one of next.guests) guests.get(one.guest)?.(one, fresh);
  }

  for (const one of shelf.posts.values()) if (one.network === "bluesky") posts.set(one.id, post(one));
  const people = ["mara", "aylin", "noor"].map((id, number) => {
    const who = state.session.guests.find((one) => one.guest === id), seen = guest(who, number);
    guests.set(id, seen.show);
    return seen.box;
  });
  listen(() => { if (root.isConnected && told) for (const [id, one] of posts) one.sums(told.posts[id] ?? {}, false); });
  root.append(
    el("div.day-till", {}, run, step, anew, el("div.far", {}, how, el("span.way", { "aria-hidden": "true" }, part))),
    el("div.day-two", {},
      el("section", { "aria-label": "What they are shown" }, el("h2", {}, "What they are shown"), el("p.say", {}, "Three guests, before this day and now. An act counts with the next page that is asked for; what was taken back counts no more."), el("div.seen-all", {}, people)),
      el("section", { "aria-label": "What just happened" }, el("h2", {}, "Just now"), lately)));
  setTimeout(look);
  return { title: "A day on Bluesky", parts: [
    el("div.head", {}, el("div", {}, el("h1", {}, "A day on Bluesky"), el("p", {}, "Recorded once from Bluesky’s own server, where invented people did all this, and played here through Plait’s connector. Watch the likes come, and the pages change."))),
    root,
    el("div.head", {}, el("div", {}, el("h2", {}, "The shop’s posts"), el("p", {}, "Each is tied to products and topics. Like one yourself, and look below."))),
    el("div.day-posts", {}, [...posts.values()].map((one) => one.box)),
    el("div.head", {}, el("div", {}, el("h2", {}, "And you"), el("p", {}, "What you like there counts here, once an account is yours and you say so."))), slot("home.grid", "grid", 4),
  ] };
}

function act({ who, signal, op, post, whom }) {
  const undone = op === "retract", about = shelf.posts.get(post);
  const words = undone ? UNDONE[signal] : DID[signal];
  return el(undone ? "li.undone" : "li", {}, el("span.sign", {}, icon(sign(signal))), el("p", {}, el("b", {}, who), ` ${words} `, about ? `“${about.text.slice(0, 48).replace(/\s+\S*$/, "")}…”` : signal === "follow" ? whom ?? "the shop" : ""));
}

function post(one) {
  const counts = SUMS.map(([signal, sign, name]) => [signal, el("span.sum-of", { title: name }, icon(sign), el("b", {}, "0"), el("span.unseen", {}, ` ${name}`))]);
  const tied = one.for.filter((id) => shelf.products.has(id)), topics = one.for.filter((id) => !shelf.products.has(id));
  const press = el("button.like", { type: "button", "data-plait-off": true });
  likeButton(press, one, "Like");
  const box = el("article.day-post", { dataset: { post: one.id } },
    el("p.from", {}, el("i.dot.s-bluesky"), `${network(one.network)} · ${ago(one.days_ago)}`), el("p.said", {}, one.text),
    el("div.tied", {}, tied.map((id) => el("a", { href: `/p/${id}`, title: shelf.products.get(id).title, "aria-label": shelf.products.get(id).title }, picture(id))), topics.map((topic) => el("a.chip", { href: `/c/${topic}` }, topic.replace("-", " ")))),
    el("div.post-row", {}, counts.map(([, mark]) => mark), press));
  return { box, sums(now, fresh) {
    for (const [signal, mark] of counts) mark.querySelector("b").textContent = String((now[signal] ?? 0) + (signal === "like" ? one.likes + state.session.likes.includes(one.id) : 0));
    box.classList.toggle("fresh", Boolean(fresh));
  } };
}

function guest(who, number) {
  const was = el("div.shown-three"), now = el("div.shown-three"), note = el("p.changed");
  const box = el("article.seen", { dataset: { guest: who.guest } }, el("header", {}, face(who.name, [1, 3, 5][number]), el("div", {}, el("h3", {}, who.name), el("small", {}, who.line)), note),
    el("div.then", {}, el("h4", {}, "Before"), was), el("div.then.now", {}, el("h4", {}, "Now, and why"), now));
  const thing = ({ item, because }, fresh) => {
    const product = shelf.products.get(item);
    if (!product) return null;
    const why = el("button.why", { type: "button", "data-plait-off": true, "aria-haspopup": "dialog" });
    const made = el(fresh ? "div.shown-one.fresh" : "div.shown-one", {}, el("a.tile", { href: `/p/${item}`, tabindex: "-1", "aria-hidden": "true" }, picture(item)), el("a.title", { href: `/p/${item}` }, product.title), why);
    reason(why, { because }, product.title);
    return made;
  };
  let drawn = "";
  return { box, show(seen) {
    const key = JSON.stringify([seen.before, seen.now].map((some) => some.map((one) => [one.item, line(one.because)])));
    if (key === drawn) return; // nothing blinks that stays
    drawn = key;
    const old = new Set(seen.before.map((one) => one.item)), other = seen.now.filter((one) => !old.has(one.item)).length;
    was.replaceChildren(...seen.before.map((one) => thing(one, false)).filter(Boolean));
    now.replaceChildren(...seen.now.map((one) => thing(one, !old.has(one.item))).filter(Boolean));
    note.textContent = other ? `${other} of ${seen.now.length} changed` : "the same";
    box.classList.toggle("moved", other > 0);
  } };
}
