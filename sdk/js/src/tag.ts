// The script tag: reads its settings from the tag, and takes up the calls that came before it was there.
import { on, safely } from "./page";
import { api, init } from "./plait";
import type { Options } from "./types";

type Call = [name: keyof typeof api, ...told: any[]];

/** Begin with the attributes of the tag that loaded us. While the page is only prepared in case somebody comes, and until all of it
 * is there to say what it is about, nothing is begun, and calls wait where they waited before. */
export const start = safely((script: HTMLScriptElement) => {
  const early = (window as any).plait;
  if (early?.ids) return; // there by another tag, and once is enough
  const waits = (document as any).prerendering ? "prerenderingchange" : document.readyState == "loading" && "DOMContentLoaded";
  if (waits) return on(document, waits, () => start(script));
  const told: Record<string, string> = { url: new URL(script.src).origin };
  for (const name in script.dataset) told[name] = script.dataset[name] || "yes";
  const plait = (name: Call[0], ...rest: any[]) => safely(api[name] as any)(...rest);
  (window as any).plait = Object.assign(plait, api);
  init(told as unknown as Options);
  for (const call of (early?.q || []) as Call[]) plait(...call);
  return undefined;
});
