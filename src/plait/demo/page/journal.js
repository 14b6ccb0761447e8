// The journal: stories tied to topics and products. A story is an item of the catalog, so reading it moves its topics.
import { card, slot } from "./cards.js";
import { shelf } from "./desk.js";
import { el, icon, land } from "./dom.js";
import { ago } from "./words.js";

const address = (one) => `/journal/${one.id.replace(/^journal-/, "")}`;
const about = (one) => el("span.label", {}, `${one.topics.map((topic) => topic.replace("-", " ")).join(", ")} · ${one.minutes} min`);

const storyCard = (one) => el("article.story-card", { dataset: { plaitItem: one.id } }, el("a.tile", { href: address(one), tabindex: "-1", "aria-hidden": "true" }, land(one.id)),
  el("div.card-text", {}, about(one), el("h3", {}, el("a", { href: address(one) }, one.title)), el("p", {}, one.lead)));

export function journal() {
  const all = [...shelf.articles.values()].sort((a, b) => a.days_ago - b.days_ago);
  return { title: "Journal", parts: [
    el("div.head", {}, el("div", {}, el("h1", {}, "Journal"), el("p", {}, "What we tried, what it taught us, and what stayed unused at the bottom of the bag."))),
    el("div.stories", {}, all.map(storyCard))] };
}

export function article(name) {
  const one = shelf.articles.get(`journal-${name}`);
  if (!one) return null;
  const part = (section) => el("section", { id: section.id, dataset: { plaitSection: section.id } }, el("h2", {}, section.title), section.text.split("\n").map((text) => el("p", {}, text)));
  return { title: one.title, item: one.id, parts: [
    el("article.story", {},
      el("header.story-head", {}, land(one.id), el("div", {}, about(one), el("h1", {}, one.title), el("p.lead", {}, one.lead), el("p.by", {}, `${one.author} · ${ago(one.days_ago)}`))),
      el("div.story-body", {}, one.sections.map(part), el("p.topics", {}, "More about ", one.topics.map((topic) => el("a.chip", { href: `/c/${topic}` }, topic.replace("-", " ")))))),
    el("div.head", {}, el("div", {}, el("h2", {}, "From this story")), el("a.more", { href: "/journal" }, "All stories", icon("arrow"))), el("div.grid", {}, one.for.map((id) => shelf.products.get(id)).filter(Boolean).map(card)),
    el("div.head", {}, el("div", {}, el("h2", {}, "Chosen for you"), el("p", {}, "What you read counts."))), slot("home.grid", "grid", 4),
  ] };
}
