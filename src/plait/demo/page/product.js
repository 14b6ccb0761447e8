// A product's page. Each section is measured by itself: [data-plait-section].
import { slot } from "./cards.js";
import { again, shelf, shop } from "./desk.js";
import { el, icon, picture, stars, toast } from "./dom.js";
import { isSaved, put, save } from "./keep.js";
import { ago, money, specification } from "./words.js";

const VIEWS = { studio: "On its own", outdoors: "Out there", detail: "Close by", sketch: "As drawn" };

export async function product(id) {
  const one = shelf.products.get(id);
  if (!one) return null;
  const more = await shop(`products/${encodeURIComponent(id)}`);
  const slug = shelf.departments.find(({ name }) => name === one.department)?.slug;
  return {
    title: one.title, item: id,
    parts: [
      el("nav.crumbs", { "aria-label": "Where you are" }, el("a", { href: "/" }, "Home"), " / ", el("a", { href: `/c/${slug}` }, one.department), ` / ${one.kind}`),
      el("div.product", {}, gallery(one, more), buy(one, more)),
      el("div.parts", {}, more.sections.filter((part) => part.id !== "gallery").map((part) => section(part, one, more))),
      el("div.head", {}, el("div", {}, el("h2", {}, "Goes with it"), el("p", {}, "Chosen for this page, and for you."))), slot("item.related", "grid", 4, { item: id }),
    ],
  };
}

function gallery(one, { views }) {
  const large = picture(one.id, "studio");
  large.alt = `${one.title}, in ${one.colour}`;
  const choose = (view) => {
    large.src = `/pictures/${encodeURIComponent(one.id)}/${view}.svg`;
    for (const press of presses) press.setAttribute("aria-pressed", String(press.value === view));
  };
  const presses = views.map((view) => el("button", { type: "button", value: view, "aria-pressed": String(view === "studio"), "aria-label": VIEWS[view], onclick: () => choose(view) }, picture(one.id, view)));
  return el("section.gallery", { dataset: { plaitSection: "gallery" }, "aria-label": "Pictures" }, el("div.large", {}, large), el("div.thumbs", {}, presses));
}

function buy(one, { sizes }) {
  const name = `size-${one.id}`, middle = sizes[Math.floor(sizes.length / 2)];
  const keep = el("button.button.plain", { type: "button" }, icon("heart"), el("span"));
  const show = () => { keep.setAttribute("aria-pressed", String(isSaved(one.id))); keep.lastChild.textContent = isSaved(one.id) ? "Saved" : "Save"; };
  keep.onclick = () => { save(one, !isSaved(one.id)).finally(again); show(); };
  show();
  const add = el("button.button.ember", { type: "button", id: "add", disabled: !one.available, onclick: () => {
    put(one, document.querySelector(`input[name="${name}"]:checked`)?.value);
    toast(`${one.title} is in your bag`);
    again();
  } }, icon("bag"), one.available ? "Add to bag" : "Back in three weeks");
  return el("div.buybox", {},
    el("span.label", {}, one.kind), el("h1", {}, one.title), el("a.rated", { href: "#reviews" }, stars(one.stars, one.ratings)),
    el("p.lead", {}, one.story), el("b.price", {}, money(one.price)), el("span.tax", {}, "with tax, delivery free from €80"),
    el("div.choice", {}, el("span.name", {}, "Colour"), el("i.swatch", { style: { "--colour": shelf.colours[one.colour] } }), one.colour.replace(/^./, (letter) => letter.toUpperCase())),
    sizes.length ? el("fieldset.choice.sizes", { "data-plait-off": true }, el("legend", {}, "Size", el("a", { href: "#size-guide" }, "Size guide")), sizes.map((size) => el("label", {}, el("input", { type: "radio", name, value: size, checked: size === middle }), el("span", {}, size)))) : null,
    el("div.buy", {}, add, keep),
    el("ul.notes", {}, el("li", {}, icon(one.available ? "check" : "clock"), one.available ? "In stock, with you in two days" : "Sold out, back in three weeks"), el("li", {}, icon("back"), "60 days to change your mind"), el("li", {}, icon("mend"), "Mended in our workshop, for ever")),
    el("div.chips", {}, one.topics.map((topic) => el("a.chip", { href: `/c/${topic}` }, topic.replace("-", " ")))));
}

const BODIES = {
  specs: (part, one, more) => table(Object.entries(more.attributes).map(specification).concat([["Colour", one.colour[0].toUpperCase() + one.colour.slice(1)]])),
  "size-guide": (part, one, { guide }) => [el("p", {}, guide.note), el("div.wide", { tabindex: "0", role: "region", "aria-label": "Sizes" }, el("table.sizes-table", {}, el("thead", {}, el("tr", {}, guide.head.map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, guide.rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), rest.map((cell) => el("td", {}, cell)))))))],
  reviews: (part, one, more) => [el("div.rating", {}, el("div", {}, el("b", {}, more.stars.toFixed(1)), stars(more.stars), el("small", {}, `${more.ratings} ratings`)), el("ul", {}, more.spread.map((count, number) => el("li", {}, `${5 - number}`, el("i", { style: { "--part": `${(100 * count) / more.ratings}%` } }), el("small", {}, String(count)))))),
    el("div.reviews", {}, more.reviews.map((review) => el("blockquote", {}, el("header", {}, stars(review.stars), el("b", {}, review.name), el("small", {}, `${review.activity.replace("-", " ")} · ${ago(review.days_ago)}`)), el("p", {}, review.text))))],
  questions: (part, one, { questions }) => el("dl.questions", {}, questions.map((one) => el("div", {}, el("dt", {}, one.question, el("small", {}, `asked by ${one.name}`)), el("dd", {}, one.answer)))),
};

const table = (rows) => el("table.specs", {}, el("tbody", {}, rows.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value)))));

function section(part, one, more) {
  const body = BODIES[part.id]?.(part, one, more) ?? el("p", {}, part.text);
  return el("section.part", { id: part.id, dataset: { plaitSection: part.id } }, el("h2", {}, part.title), el("div.part-body", {}, body));
}
