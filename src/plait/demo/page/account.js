// The account: signing in, what is linked, what is allowed, what was ordered.
import { again, agree, become, forget, profile, kept, signIn, signOut, state } from "./desk.js";
import { el, face, icon, picture, sheet, toast } from "./dom.js";
import { bag, carry, orders } from "./keep.js";
import { attempt, connectAccount } from "./social.js";
import { money, network } from "./words.js";

export const PURPOSES = [
  ["collect", "Remember what I do here", "Pages, sections and for how long, what goes into the bag. Off: nothing new is collected, and this browser keeps no id."],
  ["personalize", "Choose my page for me", "Off: everybody’s favourites, whatever is known."],
  ["social", "Use what I do on networks", "Likes and comments count as interest. Off: that source is left out of the sum."],
  ["link", "Know that my accounts are me", "Off: each account stands alone, and nothing is joined."],
];
const DEFAULTS = { collect: true, personalize: true, social: false, link: false };

function allowed(purpose, known) {
  const own = kept().consent?.[purpose];
  if (purpose === "collect" && typeof own === "boolean") return own; // the device's own word, even where nothing else is kept
  const said = known?.consents?.[purpose];
  if (typeof said === "boolean") return said;
  if (said && typeof said === "object") return Boolean(said.granted ?? said["*"] ?? Object.values(said).every(Boolean));
  return own ?? DEFAULTS[purpose];
}

/** A switch for each purpose; `redraw` once one was turned. */
export function switches(known, redraw) {
  return PURPOSES.map(([purpose, title, text]) => {
    const on = allowed(purpose, known);
    return el("button.switch", { type: "button", role: "switch", "aria-checked": String(on), dataset: { purpose }, onclick: async (event) => {
      event.currentTarget.setAttribute("aria-checked", String(!on));
      await attempt(agree(purpose, !on));
      toast(on ? `Off: ${title.toLowerCase()}` : `On: ${title.toLowerCase()}`);
      again();
      setTimeout(redraw, 350);
    } }, el("span", {}, el("b", {}, title), el("small", {}, text)), el("i"));
  });
}

/** Whose eyes to look through. */
export function visitors() {
  const { session } = state;
  const choose = async (guest) => { box.close(); await attempt(become(guest)); };
  const row = (guest, name, line, number) => el("button", { type: "button", "aria-current": (session.guest ?? (session.user ? "" : "new")) === guest && "true", onclick: () => choose(guest) }, face(guest === "new" ? "" : name, number), el("span", {}, el("b", {}, name), el("small", {}, line)));
  const box = sheet("Look through other eyes", el("p.say", {}, "The same shop, another person. Each has a history here, on the networks, or both."), el("div.people", {}, session.guests.map((one, number) => row(one.guest, one.name, one.line, number + 1)), row("new", "Someone new", "No history at all: see how fast the page learns", 0)));
}

function signInForm() {
  const wrong = el("p.wrong", { role: "alert" });
  const form = el("form.sign-in", { name: "sign-in", id: "sign-in" },
    el("label.field", {}, el("span", {}, "Name"), el("input", { name: "name", autocomplete: "name", required: true, maxlength: 60 })),
    el("label.field", {}, el("span", {}, "E-mail"), el("input", { name: "email", type: "email", autocomplete: "email", required: true, maxlength: 200 })),
    wrong, el("button.button.ember", { type: "submit" }, "Sign in"), el("p.say", {}, "No password: it is a demo on your own machine. The same address is the same customer on every device."));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const told = new FormData(form), before = [...bag()];
    try {
      await signIn(told.get("name"), told.get("email"));
      carry(before);
      toast("Signed in: what this device did is yours now");
    } catch (error) { wrong.textContent = error.message; }
  });
  return form;
}

export async function account(redraw) {
  const { session } = state, known = await profile().catch(() => null);
  const ids = (known?.identifiers ?? []).map((one) => el("li", {}, icon(network(one) ? "link" : one.startsWith("anonymous:") ? "eye" : "user"), el("code", {}, one.length > 40 ? `${one.slice(0, 36)}…` : one), el("small", {}, network(one) ? `account on ${network(one)}` : one.startsWith("anonymous:") ? "a browser" : "customer")));
  const hello = session.user
    ? el("section.panel-card.hello", {}, face(session.name, session.guests.findIndex((one) => one.guest === session.guest) + 1), el("div", {}, el("h2", {}, session.name), el("p", {}, session.guest ? session.line : "Signed in. This device and you are one person to the shop.")), el("button.button.plain", { type: "button", id: "sign-out", onclick: () => attempt(signOut()) }, "Sign out"))
    : el("section.panel-card", {}, el("h2", {}, "Sign in"), el("p.say", {}, "What you looked at on this device comes along, and so does your bag."), signInForm());
  return { title: "Account", parts: [
    el("div.head", {}, el("div", {}, el("h1", {}, session.user ? `Hello, ${session.name.split(" ")[0]}` : "Account"))),
    el("div.account", {},
      el("div", {}, hello,
        el("section.panel-card", {}, el("h2", {}, "One person, these identifiers"), ids.length ? el("ul.ids", {}, ids) : el("p.say", {}, "Nothing is known of this browser."), session.guest ? null : el("button.button.plain", { type: "button", onclick: connectAccount }, icon("link"), "Connect a social account")),
        el("section.panel-card", {}, el("h2", {}, "Orders"), orders().length ? el("ul.orders", {}, orders().map((one) => el("li", {}, el("div", {}, el("b", {}, one.number), el("small", {}, new Date(one.at).toLocaleDateString("en-IE", { day: "numeric", month: "long" }))), el("span.row", {}, one.lines.slice(0, 4).map((line) => picture(line.id))), el("b", {}, money(one.total))))) : el("p.say", {}, "None yet."))),
      el("div", {}, el("section.panel-card", { id: "privacy" }, el("h2", {}, "Privacy choices"), el("p.say", {}, "Each holds from the next request on."), switches(known, redraw)),
        el("section.panel-card", {}, el("h2", {}, "More"), el("button.button.plain", { type: "button", onclick: visitors }, icon("eye"), "Look through other eyes"), session.guest ? null : el("button.button.plain.danger", { type: "button", id: "forget", onclick: async () => { await attempt(forget()); toast("Forgotten: state, log and all"); } }, icon("close"), "Forget me"))),
    )] };
}
