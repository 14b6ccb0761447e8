// What stays on the device: an id in a cookie, a running number, and events that were not delivered yet.
import type { Clock } from "./clocks";
import { options, random, safely } from "./page";
import type { Consent, Fact } from "./types";

const NAME = "plait";

interface Kept { id: string; user?: string | undefined; consent?: Consent | undefined }

export let kept: Kept = { id: random() };
let lasting = false;

/** What the cookie says: an earlier page kept it, or another tab. */
export const read = safely((): Partial<Kept> | undefined => {
  const found = document.cookie.match(/\bplait=([^;]+)/);
  return found && !options.cookieless ? JSON.parse(decodeURIComponent(found[1]!)) : undefined;
});

/** Be who the cookie says. */
export const become = (who: Partial<Kept> | undefined) => {
  kept = { ...kept, ...who };
};

/** Say whether this page may keep anything. */
export const allow = (may: boolean) => {
  lasting = may && !options.cookieless;
};

// It is one cookie and not two, so that a server that renders the page knows the id and the consent at once.
const write = safely((told: Partial<Kept>) => {
  document.cookie = `${NAME}=${encodeURIComponent(JSON.stringify(told))};path=/;max-age=31536000;samesite=lax${options.domain ? ";domain=" + options.domain : ""}${location.protocol == "https:" ? ";secure" : ""}`;
});

/** Keep who this is and what they allow. */
export const keep = () => lasting && write(kept);

/** Become somebody else: a new id, nobody known. What was said about consent stays said. */
export const renew = () => {
  kept = { id: random(), consent: kept.consent };
  keep();
};

/** Take everything off the device and keep nothing more; but the refusal must outlive the page, or the next one would collect
 * again. */
export const forget = () => {
  renew();
  if (lasting) {
    write({ consent: kept.consent });
    safely(() => delete localStorage[NAME])();
    store("readwrite", (kept) => kept.clear());
  }
  lasting = false;
};

/** Give the next numbers of this device, so that the server can tell what never arrived; one write for all of them. */
export const numbered = (facts: Fact[]) => {
  const fresh = facts.filter((one) => !one.context?.seq);
  if (lasting && fresh.length)
    safely(() => {
      let last = localStorage[NAME] | 0;
      localStorage[NAME] = last + fresh.length;
      for (const one of fresh) one.context = { ...one.context, seq: ++last };
    })();
  return facts;
};

// IndexedDB and not localStorage: Chromium writes the latter to disk seconds to a minute later, and a browser that is
// killed meanwhile takes it along.
let base: Promise<IDBDatabase> | undefined;

const store = (mode: IDBTransactionMode, work: (store: IDBObjectStore) => void) => {
  if (lasting)
    (base ||= new Promise((done) => {
      // Where it cannot be opened nothing is kept, and nobody waits for it.
      const asked = indexedDB.open(NAME + options.key);
      asked.onupgradeneeded = () => asked.result.createObjectStore(NAME);
      asked.onsuccess = () => done(asked.result);
    }))
      .then((db) => {
        const going = db.transaction(NAME, mode);
        work(going.objectStore(NAME));
        // Else the browser would ask us once more before it keeps anything, and a page that goes does not answer.
        going.commit();
      })
      .catch(() => {});
};

/** What one page view has not delivered: events, and of its clocks those that have something to tell or tick. */
export interface Rest { facts: Fact[]; clocks: Clock[]; said: Pick<Fact, "who" | "counter"> }

/** Keep what is left of a page view; without: let go of it. Clocks and not the events they make, which would cost twice as much each second. */
export const stash = (view: string, rest?: Rest) =>
  store("readwrite", (kept) => (rest ? kept.put({ view, rest, at: Date.now() }, view) : kept.delete(view)));

/** What earlier pages could not deliver. Pages that still live keep their stash fresh and are left alone. */
export const leftovers = (found: (view: string, rest: Rest, at: number) => void) =>
  store("readonly", (kept) => {
    const asked = kept.getAll();
    asked.onsuccess = () => {
      for (const { view, rest, at } of asked.result) if (Math.abs(Date.now() - at) > 3000) found(view, rest, at);
    };
  });
