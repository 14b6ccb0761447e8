// <plait-placement id="home.hero" n="3"><template>…</template></plait-placement>: a slot of a page that fills itself.
//
// The template says what one item looks like; `data-field` names what goes where, always as text. All slots of a page ask
// together, so no item is shown twice. Until the answer is there empty copies of the template hold the place. A slot that the
// shop's server filled is left as it came: what it holds was decided already.
import { on, safely } from "./page";
import { personalize, track } from "./plait";
import type { Because, Chosen, Decision } from "./types";

const LONG_ENOUGH = 1000; // ms that half of an item is on screen before it was shown

const elements = new Set<HTMLElement>();
const drawn = new WeakSet<HTMLElement>(); // what stands in them is ours
let asking = 0;

const askSoon = () => {
  asking ||= setTimeout(
    safely(() => {
      asking = 0;
      const slots = [...elements];
      const token = slots.find((one) => one.dataset.token)?.dataset.token;
      personalize(
        slots.map((one) => ({ id: one.id, n: +(one.getAttribute("n") || 1), ...(one.getAttribute("item") && { item: one.getAttribute("item")! }) })),
        { details: true, explain: true, ...(token && { token }) },
      ).then(
        safely((answer: Decision) => slots.forEach((one) => fill(one, answer))),
        () => slots.forEach((one) => tell(one, "failed", {})),
      );
    }),
  );
};

const tell = (element: HTMLElement, what: string, detail: unknown) =>
  element.dispatchEvent(new CustomEvent("plait-" + what, { detail, bubbles: true }));

const held = (element: HTMLElement) => [...element.querySelectorAll<HTMLElement>("[data-plait-shown]")];

const copies = (element: HTMLElement, items: (Chosen | undefined)[], decision = "") => {
  for (const one of held(element)) one.remove();
  const template = element.querySelector("template");
  if (!template) return;
  for (const chosen of items) {
    const copy = template.content.cloneNode(true) as DocumentFragment;
    const root = copy.firstElementChild as HTMLElement | null;
    if (!root) return;
    root.dataset.plaitShown = decision;
    if (chosen) draw(root, chosen);
    else {
      // It takes the room that an item will take, and nobody reads it out.
      root.style.visibility = "hidden";
      root.setAttribute("aria-hidden", "true");
    }
    element.append(root);
  }
};

// http and https, or a place on this site: a link out of a catalog never runs a script.
const link = (text: string) => (/^https?:/.test(new URL(text, location.href).protocol) ? text : "");

const draw = (root: HTMLElement, chosen: Chosen) => {
  const known: Record<string, any> = { item: chosen.item, ...chosen.details?.["attributes" as never] as object, ...chosen.details };
  root.dataset.plaitItem = chosen.item;
  for (const place of [root, ...root.querySelectorAll<HTMLElement>("*")]) {
    const { field, href, src, alt } = place.dataset;
    const text = (name: string) => "" + (known[name] ?? "");
    if (field == "why") explain(place, chosen.because);
    else if (field) place.textContent = text(field);
    if (href && text(href)) place.setAttribute("href", link(text(href)));
    if (src && text(src)) place.setAttribute("src", link(text(src)));
    if (alt) place.setAttribute("alt", text(alt));
  }
};

/** Why something is shown, in a sentence for the one who sees it. An element may bring words of its own. */
const explain = (place: HTMLElement, because: Because[] = []) => {
  const words = (one: Because) =>
    (place.dataset[one.signal] || WORDS[one.signal] || "because of your interests").replace("{about}", (one.about || "").split("#")[0]!);
  const best = because.filter((one) => one.share > 0)[0];
  place.textContent = best ? words(best) : "";
  place.hidden = !best;
  // Everything that went into it, for those who want to know.
  place.title = because.map((one) => `${one.source} ${one.signal} ${one.about || ""} ${Math.round(one.share * 100)} %`).join("\n");
};

const WORDS: Record<string, string> = {
  trending: "popular now", view: "because you looked at {about}", dwell: "because you read about {about}",
  add: "goes with {about} in your cart", purchase: "goes with {about}, which you bought", like: "because you liked {about}",
  search: "because you searched for {about}", save: "because you saved {about}", follow: "from somebody you follow",
};

const fill = (element: HTMLElement, answer: Decision) => {
  const items = answer.placements[element.id]?.items || [];
  const there = held(element);
  // Where the shop's server guessed right, all stays as it is, and nothing flickers.
  if (!drawn.has(element) && there.length == items.length && there.every((one, n) => one.dataset.plaitItem == items[n]!.item))
    there.forEach((one, n) => {
      one.dataset.plaitShown = answer.decision;
      for (const place of one.querySelectorAll<HTMLElement>("[data-field=why]")) explain(place, items[n]!.because);
    });
  else copies(element, items, answer.decision);
  drawn.add(element);
  watch(element);
  tell(element, "filled", { decision: answer.decision, items });
};

const watch = (element: HTMLElement) => {
  for (const one of held(element)) shown.observe(one);
};

// What was really seen: half of it, for a second, in a tab that is in front.
const waits = new Map<Element, number>();
const shown = new IntersectionObserver(
  (records) => {
    for (const { target, intersectionRatio } of records) {
      clearTimeout(waits.get(target));
      if (intersectionRatio >= 0.5) wait(target as HTMLElement);
      else waits.delete(target);
    }
  },
  { threshold: 0.5 },
);

const wait = (element: HTMLElement) =>
  waits.set(
    element,
    setTimeout(
      safely(() => {
        if (document.hidden) return;
        shown.unobserve(element);
        waits.delete(element);
        track("shown", { about: { item: element.dataset.plaitItem! }, decision: element.dataset.plaitShown! });
      }),
      LONG_ENOUGH,
    ),
  );

on(document, "visibilitychange", () => {
  for (const [element, timer] of waits) {
    clearTimeout(timer);
    if (!document.hidden) wait(element as HTMLElement);
  }
});
on(document, "click", (event) => {
  const one = event.target.closest?.("[data-plait-shown]");
  // A button that is marked tells what it does by itself, or nothing.
  if (one?.dataset.plaitItem && !event.target.closest("[data-plait-track],[data-plait-off]")) track("click", { about: { item: one.dataset.plaitItem }, ...(one.dataset.plaitShown && { decision: one.dataset.plaitShown }) });
});

class Placement extends HTMLElement {
  connectedCallback() {
    // The parser may not have come to the template yet.
    setTimeout(
      safely(() => {
        if (!this.isConnected) return;
        elements.add(this);
        if (!drawn.has(this) && this.querySelector("[data-plait-shown^=d_]")) return watch(this);
        if (!held(this).length) copies(this, Array(+(this.getAttribute("n") || 1)).fill(undefined));
        askSoon();
      }),
    );
  }

  disconnectedCallback() {
    elements.delete(this);
  }

  /** Ask again: something happened that may change the answer. */
  refresh() {
    askSoon();
  }
}

safely(() => customElements.define("plait-placement", Placement))();
