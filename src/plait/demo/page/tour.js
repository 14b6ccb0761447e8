// Three things to try, in a corner of the first visit. Each ticks itself off when it was done.
import { listen, listening, state } from "./desk.js";
import { onFilled } from "./cards.js";
import { el, icon } from "./dom.js";
import { show } from "./drawer.js";

const box = document.getElementById("tour"), KEY = "skerry.tour";
const read = () => { try { return JSON.parse(localStorage.getItem(KEY)) ?? {}; } catch { return {}; } };
const write = (told) => { try { localStorage.setItem(KEY, JSON.stringify(told)); } catch { /* then it comes back */ } };
let done = {};

const STEPS = [
  ["read", "Open something and read", "Each section of a product has a clock. Watch them run in the drawer."],
  ["why", "Go back home and ask why", "The grid has changed. Press a reason under a product to see the whole sum."],
  ["who", "Become somebody", "Sign in and take your history along, or look through other eyes."],
];

export function tour({ visitors }) {
  const act = { read: () => show(true, "sections"), why: () => document.querySelector(".grid .why")?.click(), who: visitors };
  const close = () => { box.hidden = true; write({ ...read(), closed: true }); };
  const draw = () => {
    const next = STEPS.find(([one]) => !done[one])?.[0];
    box.replaceChildren(el("header", {}, el("h2", {}, "This shop listens"), el("button.round", { type: "button", "aria-label": "Close the tour", onclick: close }, icon("close"))),
      el("ol", {}, STEPS.map(([id, title, text]) => el(done[id] ? "li.done" : id === next ? "li.next" : "li", {}, el("span.tick", {}, done[id] ? icon("check") : null), el("button", { type: "button", onclick: () => act[id]() }, el("b", {}, title), el("small", {}, text))))));
  };
  const tick = (id) => {
    if (done[id] || box.hidden) return;
    done = { ...done, [id]: true };
    write({ ...read(), done });
    draw();
    if (STEPS.every(([one]) => done[one])) setTimeout(close, 2_500);
  };
  done = read().done ?? {};
  if (!read().closed && listening) box.hidden = false;
  draw();
  document.getElementById("tour-again").addEventListener("click", () => { done = {}; write({}); box.hidden = false; draw(); });
  onFilled(({ place }) => { if (place.id === "item.related") setTimeout(() => location.pathname.startsWith("/p/") && tick("read"), 4_000); });
  document.addEventListener("click", (event) => { if (event.target.closest(".why")) tick("why"); });
  listen((what) => { if (what === "visitor" && state.session.user) tick("who"); });
}
