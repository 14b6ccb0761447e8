// What people do besides looking: clicks that were marked, links away, searches, forms. Never what they type.
import { about } from "./sections";
import { near, on, safely, target, told } from "./page";
import type { More, Signal } from "./types";

export type Track = (signal: Signal, more?: More) => void;

const SHARES = /^mailto:\?|facebook\.com\/sharer|(twitter|x)\.com\/intent|wa\.me\/\?|t\.me\/share|linkedin\.com\/share|pinterest\.\w+\/pin\/create/;

interface Form { began: number; names: string[]; wrong: string[]; last?: string }
let forms = new Map<HTMLFormElement, Form>();

const named = (field: any): string => ("" + (field.name || field.id || field.type || "")).slice(0, 64);

const said = (form: HTMLFormElement, held: Form): More => {
  const what = about(form);
  return {
    about: what,
    properties: {
      form: form.getAttribute("name") || form.id || "",
      seconds: Math.round((performance.now() - held.began) / 100) / 10,
      fields_total: [...form.elements].filter(typed).length,
      fields_completed: held.names.length,
      field_names: held.names,
      invalid_fields: held.wrong,
      last_field: held.last || "",
    },
  };
};

// Buttons and hidden fields are nobody's answer.
const typed = (field: any) => field.name !== undefined && !/hidden|submit|button|reset|image|fieldset/.test(field.type);

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
    if (marked) {
      const value = told(marked, "value");
      track((told(marked, "track") || "click") as Signal, {
        about: about(marked),
        ...(told(marked, "name") && { name: told(marked, "name")! }),
        ...(value && { value: +value }),
      });
      return;
    }
    const link = near(at, "a[href]") as HTMLAnchorElement | null;
    if (!link) return;
    if (SHARES.test(link.href)) track("share", { about: about(link), name: link.hostname || "mail" });
    else if (link.hostname && link.hostname != location.hostname) track("click", { about: { url: link.href.split("#")[0]! }, name: "outbound" });
  });
  const begun = (event: Event) => {
    const field = target(event) as HTMLInputElement;
    const form = field.form;
    if (!form || !typed(field) || form.hasAttribute("data-plait-off")) return undefined;
    let held = forms.get(form);
    if (!held) {
      forms.set(form, (held = { began: performance.now(), names: [], wrong: [] }));
      track("form_start", { about: about(form), properties: { form: form.getAttribute("name") || form.id || "" } });
    }
    held.last = named(field);
    return held;
  };
  const once = (list: string[], name: string) => {
    if (name && !list.includes(name) && list.length < 99) list.push(name);
  };
  on(document, "input change", (event) => {
    const held = begun(event);
    if (held) once(held.names, named(target(event)));
  });
  on(document, "invalid", (event) => {
    const held = begun(event);
    if (held) once(held.wrong, named(target(event)));
  });
  on(document, "submit", (event) => {
    const form = target(event) as HTMLFormElement;
    const held = forms.get(form);
    if (held) track("form_submit", said(form, held));
    forms.delete(form);
  });
};

/** What was searched for, if the address of this page says so. */
export const searched = safely((names: string): string | undefined => {
  const asked = new URLSearchParams(location.search);
  for (const name of names.split(",")) {
    const found = asked.get(name.trim());
    if (found) return found.slice(0, 200);
  }
  return undefined;
});
