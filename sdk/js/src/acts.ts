// What people do besides looking: clicks that were marked, links away, searches, forms. Never what they type.
import { about } from "./sections";
import { near, now, on, seconds, target, told } from "./page";
import type { About, More, Signal } from "./types";

export type Track = (signal: Signal, more?: More) => void;

interface Form { about: About; began: number; names: string[]; wrong: string[]; last?: string }
let forms = new Map<HTMLFormElement, Form>();

const named = (field: any): string => ("" + (field.name || field.id || field.type)).slice(0, 99);

// About the page where it was begun: within an app the next page is there before anybody knows that it was given up.
const said = (form: HTMLFormElement, held: Form): More => ({
  about: held.about,
  properties: {
    form: form.getAttribute("name") || form.id,
    seconds: seconds(now() - held.began),
    field_names: held.names,
    invalid_fields: held.wrong,
    last_field: held.last,
  },
});

// Hidden fields, buttons of all kinds (submit, reset, image) and fieldsets are nobody's answer.
const typed = (field: any) => field.name !== undefined && !/^(hid|sub|but|res|ima|fie)/.test(field.type);

/** Forms that were begun and not sent are given up. */
export const giveUp = (track: Track) => {
  for (const [form, held] of forms) track("form_abandon", said(form, held));
  forms = new Map();
};

/** Watch for acts. */
export const watchActs = (track: Track) => {
  on(document, "click", (event) => {
    const at = target(event);
    const marked = near(at, "[data-plait-track]");
    if (!marked) return;
    const value = told(marked, "value");
    track((told(marked, "track") || "click") as Signal, { about: about(marked), name: told(marked, "name")!, value: (value && +value) as number });
  });
  const sent = (event: Event) => {
    const form = target(event) as HTMLFormElement;
    const held = forms.get(form);
    if (held) track("form_submit", said(form, held));
    forms.delete(form);
  };
  const begun = (event: Event) => {
    const field = target(event) as HTMLInputElement;
    const form = field.form;
    if (!form || !typed(field) || near(form, "[data-plait-off]")) return undefined;
    let held = forms.get(form);
    if (!held) {
      forms.set(form, (held = { about: about(form), began: now(), names: [], wrong: [] }));
      track("form_start", said(form, held));
      // What happens in a shadow stays there.
      on(form.getRootNode(), "submit", sent);
    }
    held.last = named(field);
    return held;
  };
  on(document, "input change invalid", (event) => {
    const held = begun(event);
    const name = named(target(event));
    const list = held && (event.type == "invalid" ? held.wrong : held.names);
    if (list && !list.includes(name) && list.length < 99) list.push(name);
  });
};
