// The page we live in: its clock, its events, and what it lets us keep. Nothing here may throw into it.

import type { Options } from "./types";

/** What the shop asked for. */
export let options: Options;
export const take = (given: Options) => {
  options = given;
};

/** Milliseconds that only grow, whatever happens to the computer's clock. */
export const now = () => performance.now();

const origin = Date.now() - now();
/** Milliseconds since the epoch as the device saw them when the page came; a clock set meanwhile changes nothing. */
export const wall = () => Math.round(origin + now());

export const seconds = (ms: number) => (ms | 0) / 1000;

/** `work`, but what goes wrong in it stays in it. */
export const safely = <T extends unknown[], R>(work: (...told: T) => R) => (...told: T): R | undefined => {
  try {
    return work(...told);
  } catch {
    return undefined;
  }
};

/** Listen without ever holding up a scroll or a tap, also to what does not bubble. */
export const on = (target: EventTarget, names: string, heard: (event: any) => void) => {
  for (const name of names.split(" ")) target.addEventListener(name, safely(heard), { capture: true, passive: true });
};

/** 160 random bits as some thirty letters; nobody can guess an id. */
export const random = () => Array.from(crypto.getRandomValues(new Uint32Array(5)), (one) => one.toString(36)).join("");

/** Under the nearest ancestor (or the element itself) that has it, also out of a shadow. */
export const near = (element: Element | null | undefined, selector: string): HTMLElement | null =>
  element ? element.closest<HTMLElement>(selector) || near((element.getRootNode() as ShadowRoot).host, selector) : null;

export const told = (element: Element | null, name: string) => element?.getAttribute("data-plait-" + name) || undefined;

/** The element an event began at, also inside an open shadow. */
export const target = (event: Event) => event.composedPath()[0] as Element;

/** Where we are; what stands behind the `#` is a place on the page, and the server takes no longer ones. */
export const here = () => location.href.split("#")[0]!.slice(0, 1024);
