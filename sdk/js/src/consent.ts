// What the visitor allows, from whoever asks them: the shop itself, Google's Consent Mode, a TCF banner, the browser.
import { forget, keep, kept } from "./keep";
import { safely } from "./page";
import type { Consent, Options } from "./types";

let needed = false;

/** Whether anything may be kept and sent. */
export const mayCollect = () => kept.consent?.collect ?? !needed;

/** Take in what was said. Returns only what is new. */
export const said = (told: Consent): Consent | undefined => {
  const fresh: Consent = {};
  for (const purpose of ["collect", "personalize", "link", "social"] as const) {
    const allowed = told[purpose];
    if (typeof allowed == "boolean" && kept.consent?.[purpose] !== allowed) fresh[purpose] = allowed;
  }
  if (!Object.keys(fresh).length) return undefined;
  kept.consent = { ...kept.consent, ...fresh };
  if (fresh.collect === false) forget();
  else keep();
  return fresh;
};

/** Follow the signals that are there; `tell` is called with what they allow, now and when it changes. */
export const listen = (options: Options, tell: (told: Consent) => void) => {
  needed = options.consent == "required";
  // Global Privacy Control forbids passing people on and putting them together; what a shop itself saw is its own.
  if ((navigator as any).globalPrivacyControl) tell({ link: false, social: false });
  const mode = safely((entry: any) => {
    const [what, , told] = entry;
    if (what != "consent") return;
    const read = (name: string) => (told[name] ? told[name] == "granted" : undefined);
    const found: Record<string, boolean | undefined> = { collect: read("analytics_storage"), personalize: read("personalization_storage") ?? read("ad_personalization") };
    tell(found as Consent);
  });
  const layer = ((window as any).dataLayer ||= []) as unknown[];
  layer.forEach(mode);
  const push = layer.push;
  layer.push = (...entries) => {
    entries.forEach(mode);
    return push.apply(layer, entries);
  };
  safely(() =>
    (window as any).__tcfapi?.("addEventListener", 2, (data: any, fine: boolean) => {
      if (!fine || data.eventStatus == "cmpuishown" || !data.gdprApplies) return;
      const given = data.purpose.consents;
      // 1 store on the device, 8 measure content; 5 and 6 choose content by a profile.
      tell({ collect: !!(given[1] && given[8]), personalize: !!(given[5] && given[6]) });
    }),
  )();
};

