// What the visitor allows, as the shop or the browser says it.
import { forget, keep, kept } from "./keep";
import type { Consent, Options, Purpose } from "./types";

let needed = false;

/** Whether anything may be kept and sent. */
export const mayCollect = () => kept.consent?.collect ?? !needed;

/** Take in what was said. Returns only what is new. */
export const said = (told: Consent): Consent | undefined => {
  const fresh: Consent = {};
  let any = false;
  for (const purpose in told) {
    const allowed = told[purpose as Purpose];
    if (typeof allowed == "boolean" && kept.consent?.[purpose as Purpose] !== allowed) any = true, (fresh[purpose as Purpose] = allowed);
  }
  if (!any) return undefined;
  kept.consent = { ...kept.consent, ...fresh };
  if (fresh.collect === false) forget();
  else keep();
  return fresh;
};

/** Take the operator's rule and the browser's word. */
export const listen = (options: Options, tell: (told: Consent) => void) => {
  needed = options.consent == "required";
  // Global Privacy Control forbids passing people on and putting them together; what a shop itself saw is its own.
  if ((navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl) tell({ link: false, social: false });
};
