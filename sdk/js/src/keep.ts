// What stays on the device: an id in a cookie, a running number, and events that were not delivered yet.
import { random, safely } from "./page";
import type { Consent, Fact, Options } from "./types";

const NAME = "plait";
const YEAR = 31536000;

interface Kept { id: string; user?: string | undefined; consent?: Consent | undefined }

export let kept: Kept = { id: random() };
let lasting = false;
let domain = "";

/** Read what an earlier page kept; `may` says whether this one may keep anything. */
export const open = (options: Options, may: boolean) => {
  lasting = may;
  domain = options.domain ? ";domain=" + options.domain : "";
  safely(() => {
    const found = may && document.cookie.match(/(?:^|; )plait=([^;]+)/);
    const read = found && (JSON.parse(decodeURIComponent(found[1]!)) as Kept);
    if (read) kept = { ...read, id: read.id || kept.id };
  })();
  if (may) keep();
};

/** Write the cookie. It is one and not two, so that a server that renders the page knows the id and the consent at once. */
export const keep = safely(() => {
  if (lasting)
    document.cookie = `${NAME}=${encodeURIComponent(JSON.stringify(kept))};path=/;max-age=${YEAR};samesite=lax` + domain + (location.protocol == "https:" ? ";secure" : "");
});

/** Become somebody else: a new id, nobody known. What was said about consent stays said. */
export const renew = () => {
  kept = { id: random(), consent: kept.consent };
  keep();
};

/** Take everything off the device and keep nothing more. */
export const forget = () => {
  const consent = kept.consent;
  lasting = false;
  kept = { id: random(), consent };
  safely(() => {
    // The refusal itself must outlive the page, or the next one would ask and collect again.
    document.cookie = `${NAME}=${encodeURIComponent(JSON.stringify({ consent }))};path=/;max-age=${YEAR};samesite=lax` + domain;
    localStorage.removeItem(NAME);
  })();
  base?.then((db) => db.transaction(NAME, "readwrite").objectStore(NAME).clear(), () => {});
};

/** The next number of this device, so that the server can tell what never arrived. */
export const number = (): number | undefined =>
  lasting
    ? safely(() => {
        const next = +(localStorage.getItem(NAME) || 0) + 1;
        localStorage.setItem(NAME, "" + next);
        return next;
      })()
    : undefined;

// IndexedDB and not localStorage: Chromium writes the latter to disk seconds to a minute later, and a browser that is
// killed meanwhile takes it along.
let base: Promise<IDBDatabase> | undefined;

const database = () =>
  (base ||= new Promise((done, failed) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(NAME);
    asked.onsuccess = () => done(asked.result);
    asked.onerror = asked.onblocked = failed;
  }));

const nothing = () => {};

/** Keep the events of one page view until they are delivered; none: let go of them. */
export const stash = (view: string, facts: Fact[]) => {
  if (lasting)
    database()
      .then((db) => {
        const store = db.transaction(NAME, "readwrite").objectStore(NAME);
        if (facts.length) store.put({ at: Date.now(), facts }, view);
        else store.delete(view);
      })
      .catch(nothing);
};

/** What earlier pages could not deliver. Pages that still live keep their stash fresh and are left alone. */
export const leftovers = (found: (view: string, facts: Fact[]) => void) => {
  if (lasting)
    database()
      .then((db) => {
        const walk = db.transaction(NAME).objectStore(NAME).openCursor();
        walk.onsuccess = () => {
          const one = walk.result;
          if (!one) return;
          if (Math.abs(Date.now() - one.value.at) > 3000) found(one.key as string, one.value.facts);
          one.continue();
        };
      })
      .catch(nothing);
};
