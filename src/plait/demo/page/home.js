// The home page: five slots of Plait's, asked for together, and the shop's own shelves between them.
import { onFilled, slot } from "./cards.js";
import { shelf } from "./desk.js";
import { el, icon } from "./dom.js";

// What stands for a department on its tile.
const SIGNS = { shelter: "tarn-2", sleep: "ember-0", packs: "strider-38", clothing: "larch-down", footwear: "basalt-boot", kitchen: "spark-stove", "light-tools": "beam-900", climbing: "lead-rope", snow: "pitch-axe", water: "otter-raft", bike: "frame-bag", "camp-life": "lounge-chair" };

const head = (title, note, more) => el("div.head", {}, el("div", {}, el("h2", {}, title), note), more);

export function home() {
  const note = el("p", { id: "grid-note" }, "Everybody’s favourites, until we know you.");
  return {
    title: "Gear for weather",
    parts: [
      slot("home.hero", "hero", 1),
      el("nav.signs", { "aria-label": "Shop by department" }, shelf.departments.map(({ name, slug }) => el("a", { href: `/c/${slug}` }, el("span", {}, el("img", { src: `/pictures/${SIGNS[slug] ?? firstOf(name)}/cut.svg`, alt: "", width: 400, height: 400 })), name))),
      head("Chosen for you", note), slot("home.grid", "grid", 12),
      slot("home.promotion", "promotion", 1),
      head("From the journal", el("p", {}, "What we tried, and would do differently."), el("a.more", { href: "/journal" }, "All stories", icon("arrow"))), slot("home.journal", "article", 3),
      head("From our networks", el("p", {}, "What you like there counts here, if you say so."), el("a.more", { href: "/social" }, "Watch a day of it", icon("arrow"))), slot("home.posts", "post", 3),
    ],
  };
}

const firstOf = (department) => [...shelf.products.values()].find((one) => one.department === department)?.id;

onFilled(({ place, items, fresh }) => {
  const note = document.getElementById("grid-note");
  if (place.id !== "home.grid" || !note) return;
  const personal = items.some((one) => one.because?.some((cause) => cause.source !== "catalog"));
  note.textContent = fresh ? `${fresh} of ${items.length} changed with what you just did.` : personal ? "Change your mind and it changes, too." : "Everybody’s favourites, until we know you.";
});
