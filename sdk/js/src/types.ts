// The words that go over the wire; docs/reference/plait-js.md says what they mean.

export type Signal =
  | "view" | "dwell" | "search" | "add" | "remove" | "checkout" | "purchase" | "form_start" | "form_submit" | "form_abandon"
  | "click" | "share" | "save" | "rate" | "play" | "session" | "identify" | "trait" | "consent" | "shown" | "other";

export type Purpose = "collect" | "personalize" | "link" | "social";
export type Consent = Partial<Record<Purpose, boolean>>;

export interface About { item?: string; section?: string; post?: string; topic?: string; url?: string; query?: string }

/** One fact, as `POST /v1/events` takes it. */
export interface Fact {
  id: string;
  signal: Signal;
  at: number;
  who: string[];
  about?: About;
  value?: number;
  counter?: { view: string; started_at: number; epoch: number };
  name?: string;
  decision?: string;
  consent?: Consent;
  traits?: Record<string, unknown>;
  context?: Record<string, unknown>;
  properties?: Record<string, unknown>;
}

/** What a call may say about an event besides its signal. */
export type More = Partial<Pick<Fact, "about" | "value" | "name" | "decision" | "consent" | "traits" | "properties">>;

export interface Options {
  /** The write key. */
  key: string;
  /** Where Plait is; the tag takes it from where the script came from. */
  url: string;
  /** `required`: nothing is stored or sent before `plait.consent({collect: true})`. */
  consent?: "required" | "given";
  /** Nothing is kept on the device; a visit is one page load. */
  cookieless?: boolean;
  /** Domain of the cookie, for several subdomains that are one shop. */
  domain?: string;
  /** Measure inside a frame as well. */
  frame?: boolean;
  /** Learn sections from headings, `section` and `article`. */
  learn?: boolean;
  /** Read e-commerce events of GA4 from `dataLayer`. */
  ga4?: boolean;
  /** Names of query parameters that hold what somebody searched for. */
  search?: string;
}

/** What to fill: `item` is what it is related to, in place of the page's; `exclude` what is left out. */
export interface Asked { id: string; n?: number; item?: string; exclude?: string[] }
export interface How { token?: string; explain?: boolean; details?: boolean; exclude?: string[] }
export interface Because { source: string; signal: string; share: number; contribution: number; about?: string }
export interface Chosen {
  item: string;
  score?: number;
  because?: Because[];
  details?: Record<string, unknown>;
}
export interface Decision {
  decision: string;
  placements: Record<string, { arm: string; items: Chosen[] }>;
  took_ms?: number;
  /** The answer could not be recorded. */
  degraded?: boolean;
}
