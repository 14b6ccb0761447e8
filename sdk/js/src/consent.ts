// What the visitor allows, as the shop or the browser says it.
import { allow, forget, keep, kept } from "./keep";
import type { Consent, Purpose } from "./types";

let needed = false;
let shut = true;

/** Begin to take something in; or, where the server wants nothing of this page, no more. */
export const open = (is: boolean) => {
  shut = !is;
};

/** Nothing is kept and sent until somebody says that it may be. */
export const need = (needs = true) => {
  needed ||= needs;
  allow(mayCollect());
};

/** Whether anything may be kept and sent. */
export const mayCollect = () => !shut && (kept.consent?.collect ?? !needed);

/** Take in what was said. Returns only what is new. */
export const said = (told: Consent): Consent | undefined => {
  let fresh: Consent | undefined;
  // Global Privacy Control forbids passing people on and putting them together, whatever a page says; what a shop itself
  // saw is its own.
  if ((navigator as any).globalPrivacyControl) told = { ...told, link: false, social: false };
  for (const purpose in told) {
    const allowed = told[purpose as Purpose];
    if (!!allowed === allowed && kept.consent?.[purpose as Purpose] !== allowed) (fresh ||= {})[purpose as Purpose] = allowed;
  }
  if (fresh) {
    kept.consent = { ...kept.consent, ...fresh };
    if (fresh.collect === false) forget();
    else keep();
  }
  return fresh;
};
