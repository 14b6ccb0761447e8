import "./drawn";
import "./elements";
import "./more";
import { on } from "./page";
import { init as begin } from "./plait";
import type { Options } from "./types";

/** Begin; a page that is only prepared in case somebody comes begins when they do. */
export const init = (options: Options) => {
  if ((document as any).prerendering) on(document, "prerenderingchange", () => begin(options));
  else begin(options);
};
export { api as plait } from "./plait";
export { consent, identify, ids, personalize, reset, track } from "./plait";
export type * from "./types";
