// The bag, the checkout, and the thanks.
import { slot } from "./cards.js";
import { again, plait, shelf } from "./desk.js";
import { el, icon, picture } from "./dom.js";
import { bag, order, orders, put, take, total } from "./keep.js";
import { money } from "./words.js";

const FREE = 80, POST = 6;
const delivery = () => (total() >= FREE || !total() ? 0 : POST);
const title = (line) => shelf.products.get(line.id).title;

function sums(lines, sum, post) {
  return el("dl.sums", {}, el("div", {}, el("dt", {}, `${lines} ${lines === 1 ? "thing" : "things"}`), el("dd", {}, money(sum))), el("div", {}, el("dt", {}, "Delivery"), el("dd", {}, post ? money(post) : "free")), el("div.whole", {}, el("dt", {}, "Together"), el("dd", {}, money(sum + post))));
}

const counted = (lines) => lines.reduce((sum, line) => sum + line.quantity, 0);

export function bagPage(go) {
  const lines = bag(), redraw = () => { go("/bag", { replace: true }); };
  const step = (name, line, work, label) => el("button.round", { type: "button", "aria-label": `${label} ${title(line)}`, onclick: () => { work(); redraw(); } }, icon(name));
  const row = (line) => {
    const one = shelf.products.get(line.id);
    return el("li.line-item", {}, el("a", { href: `/p/${one.id}`, tabindex: "-1", "aria-hidden": "true" }, picture(one.id)),
      el("div", {}, el("a.title", { href: `/p/${one.id}` }, one.title), el("small", {}, [one.kind, line.size && `size ${line.size}`, one.colour].filter(Boolean).join(" · ")),
        el("div.steps", {}, step("minus", line, () => take(line, 1), "One less of"), el("span", {}, String(line.quantity)), step("plus", line, () => put(one, line.size), "One more of"), el("button.quiet", { type: "button", onclick: () => { take(line); redraw(); } }, "Remove"))),
      el("b.price", {}, money(one.price * line.quantity)));
  };
  const left = FREE - total();
  return { title: "Your bag", parts: [
    el("div.head", {}, el("div", {}, el("h1", {}, "Your bag"))),
    lines.length ? el("div.till", {}, el("ul.lines", {}, lines.map(row)),
      el("aside.summary", { "aria-label": "Sum" }, el("p.free", {}, left > 0 ? `${money(left)} more and delivery is free.` : "Delivery is free.", el("i", { style: { "--part": `${Math.min(100, (100 * total()) / FREE)}%` } })), sums(counted(lines), total(), delivery()),
        el("a.button.ember", { href: "/checkout", id: "to-checkout", onclick: () => { for (const line of bag()) plait.checkout(line.id, { value: shelf.products.get(line.id).price * line.quantity }); } }, "To the checkout", icon("arrow"))))
      : el("p.empty", {}, "Nothing in it yet. What you put in counts as interest, and what you buy is not recommended again."),
    el("div.head", {}, el("div", {}, el("h2", {}, lines.length ? "Goes with what you chose" : "Chosen for you"))),
    lines.length ? slot("bag.related", "grid", 4, { item: lines.at(-1).id }) : slot("home.grid", "grid", 4),
  ] };
}

const field = (name, text, more = {}) => el(`label.field${more.wide ? ".wide-field" : ""}`, {}, el("span", {}, text), el("input", { name, required: true, maxlength: 120, ...more, wide: undefined, "aria-describedby": `wrong-${name}` }), wrong(name));
const wrong = (name) => el("span.wrong", { id: `wrong-${name}` });
const radio = (name, value, text, note, checked) => el("label.pick", {}, el("input", { type: "radio", name, value, checked }), el("span", {}, el("b", {}, text), el("small", {}, note)));

const MISSING = { name: "Who is it for?", email: "We send the confirmation there.", street: "Where shall it go?", postcode: "The rider needs it.", city: "Which town?", terms: "Please say that you know." };

/** What is wrong stands under its field, and goes as soon as it is right. The browser's own bubble would cover the next one. */
function tells(form) {
  const show = (input) => {
    const { valid, typeMismatch } = input.validity;
    input.setAttribute("aria-invalid", String(!valid));
    form.querySelector(`#wrong-${input.name}`).textContent = valid ? "" : typeMismatch ? "This is not an e-mail address: name@example.com" : MISSING[input.name];
  };
  form.addEventListener("invalid", (event) => {
    event.preventDefault();
    show(event.target);
    if (event.target === form.querySelector(":invalid:not(fieldset)")) event.target.focus();
  }, true);
  form.addEventListener("input", ({ target }) => { if (target.getAttribute("aria-invalid") === "true") show(target); });
}

export function checkout(go) {
  const lines = bag();
  if (!lines.length) return bagPage(go);
  const form = el("form.checkout", { name: "checkout", id: "checkout", novalidate: false },
    el("fieldset", {}, el("legend", {}, "Where to"), el("div.fields", {}, field("name", "Name", { autocomplete: "name", wide: true }), field("email", "E-mail", { type: "email", autocomplete: "email", wide: true }), field("street", "Street and number", { autocomplete: "street-address", wide: true }), field("postcode", "Postcode", { autocomplete: "postal-code", inputmode: "numeric" }), field("city", "City", { autocomplete: "address-level2" }))),
    el("fieldset", {}, el("legend", {}, "How"), radio("delivery", "rail", "Rail and cargo bike", "two days, free from €80", true), radio("delivery", "pickup", "Collect it in the shop", "from this afternoon, free", false)),
    el("fieldset", {}, el("legend", {}, "Payment"), radio("payment", "invoice", "Invoice, 30 days", "pay once it has seen rain", true), radio("payment", "hand", "On delivery", "cash or card at the door", false)),
    el("label.agree", {}, el("input", { type: "checkbox", name: "terms", required: true, "aria-describedby": "wrong-terms" }), el("span", {}, "I know that this shop does not exist and nothing will come.")), wrong("terms"),
    el("button.button.ember", { type: "submit" }, "Place the order", icon("check")));
  tells(form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    // plait.js tells the form at this very event; what was bought follows it.
    const placed = order(`S-${String(Date.now()).slice(-7)}`);
    go(`/thanks?order=${placed.number}`, { replace: true });
  });
  return { title: "Checkout", parts: [
    el("div.head", {}, el("div", {}, el("h1", {}, "Checkout"), el("p", {}, "Plait hears which fields you fill and how long it takes, never what you write."))),
    el("div.till", {}, form, el("aside.summary", { "aria-label": "Your order" }, el("ul.mini", {}, lines.map((line) => el("li", {}, picture(line.id), el("span", {}, title(line), el("small", {}, `${line.quantity} ${line.quantity === 1 ? "piece" : "pieces"}${line.size ? `, size ${line.size}` : ""}`)), el("b", {}, money(shelf.products.get(line.id).price * line.quantity))))), sums(counted(lines), total(), delivery()))),
  ] };
}

export function thanks(number) {
  const found = orders().find((one) => one.number === number);
  again();
  return { title: "Thank you", parts: [
    el("div.thanks", {}, el("span.badge", {}, icon("check")), el("h1", {}, "Thank you"), el("p", {}, found ? `Order ${found.number}: ${counted(found.lines)} ${counted(found.lines) === 1 ? "thing" : "things"}, ${money(found.total)}. Nothing was charged, for nothing will come.` : "Nothing was charged, for nothing will come."), found ? el("div.row", {}, found.lines.map((line) => picture(line.id))) : null, el("a.button.plain", { href: "/" }, "Back to the shop")),
    el("div.head", {}, el("div", {}, el("h2", {}, "For the next time"), el("p", {}, "What you bought is not among it."))), slot("home.grid", "grid", 4),
  ] };
}
