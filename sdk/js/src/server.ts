// The npm module where there is no page, as while a server renders one: the same names, which do nothing.
import type * as browser from "./module";

const nothing = () => {};
const nobody = () => ({ anonymous: "", view: "" });
// Not refused: of a promise that nobody waits for, Node would make the end of the process.
const empty = async () => ({ decision: "", placements: {} });

const api: { [name in keyof typeof browser.plait]: (...told: any[]) => any } = {
  track: nothing, identify: nothing, reset: nothing, consent: nothing, personalize: empty, flush: nothing, ids: nobody, scan: nothing,
  search: nothing, page: nothing, add: nothing, remove: nothing, checkout: nothing, purchase: nothing, save: nothing, share: nothing,
  click: nothing, shown: nothing,
};

export const init: typeof browser.init = nothing;
export const plait: typeof browser.plait = api;
export const { consent, identify, ids, personalize, reset, track }: typeof browser.plait = plait;
export type * from "./types";
