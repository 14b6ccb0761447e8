// When a page within an app is there. Its address changes before, with or after what is drawn, and nobody says when.
//
// It is there once its title, or what it is about, is another than that of the page before and stood still for a moment; at
// last after a second, for then nothing of that changes. Its time counts from the address on, however late it is known what
// it was spent on.
import { mayCollect } from "./consent";
import { safely, wall } from "./page";
import { api } from "./plait";
import { more, page, rename, whole, zero } from "./sections";
import { fact, push, source } from "./send";
import type { Fact } from "./types";

const EACH = 100; // ms between two looks
const STILL = 3; // looks

let draft: Fact | undefined; // the view that waits
let began = 0;
let timer = 0;
let before = ""; // what the last page said of itself
let says = "";
let still = 0;
let patience = 1000; // ms

const mark = ({ item, topic }: NonNullable<Fact["about"]>) => document.title + "\n" + item + "\n" + topic;

const look = () => {
  const about = page();
  const now = mark(about);
  still = now == says ? still + 1 : 0;
  says = now;
  draft = fact("view", { about, at: began, context: more.circumstances?.() || {} });
};

const wait = safely(() => {
  look();
  if ((says != before && still >= STILL) || wall() - began > patience) arrive();
  else timer = setTimeout(wait, EACH);
});

const arrive = (gone?: boolean) => {
  const view = draft;
  clearTimeout(timer);
  draft = undefined;
  if (!view || !mayCollect()) return;
  // Who left before it was drawn never saw it.
  if (gone && says == before) return zero();
  rename(view.about!, gone);
  before = says;
  push(view);
};

more.waits = (what) => {
  if (what == 2) return arrive(true);
  began = wall();
  says = "";
  if (what) wait();
  else before = mark(page());
  return what;
};

const { tell, stand } = source;
source.tell = () => {
  // What is sent or asked from a page that is drawn counts its view.
  if (draft) look();
  if (says != before) arrive();
  return draft ? [] : tell();
};
source.stand = () => {
  // Each second. A title may count messages; that makes no other page.
  if (!draft && whole) before = mark(whole.about);
  return draft ? { ...stand(), clocks: [] } : stand();
};

/** What this address shows is drawn. An app that says so once is waited for. */
api.page = () => {
  patience = 10_000;
  if (draft) look();
  arrive();
};
