// What the visitor put aside in this browser: the bag, what was saved, and orders. The shop's, not Plait's.
import { plait, shelf, shop, state } from "./desk.js";

const empty = () => ({ bag: [], saved: [], orders: [] });
let mine = empty();
const listeners = new Set();
export function onKept(heard) { listeners.add(heard); }

const name = () => `skerry.${state.session?.user ?? "new"}`;

/** Read what is this visitor's. */
export function reopen() {
  try { mine = { ...empty(), ...JSON.parse(localStorage.getItem(name()) ?? "{}") }; } catch { mine = empty(); }
  mine.bag = mine.bag.filter((line) => shelf.products.has(line.id));
  for (const heard of listeners) heard();
}

function write() {
  try { localStorage.setItem(name(), JSON.stringify(mine)); } catch { /* a browser that keeps nothing */ }
  for (const heard of listeners) heard();
}

/** Signing in takes the bag along. */
export function carry(before) {
  mine.bag = [...before, ...mine.bag.filter((line) => !before.some((one) => one.id === line.id && one.size === line.size))];
  write();
}

export const bag = () => mine.bag;
export const orders = () => mine.orders;
export const savedOnes = () => mine.saved;
export const isSaved = (id) => mine.saved.includes(id);
export const count = () => mine.bag.reduce((sum, line) => sum + line.quantity, 0);
export const total = () => mine.bag.reduce((sum, line) => sum + line.quantity * shelf.products.get(line.id).price, 0);

export function put(product, size, quantity = 1) {
  const line = mine.bag.find((one) => one.id === product.id && one.size === size);
  if (line) line.quantity += quantity;
  else mine.bag.push({ id: product.id, size, quantity });
  plait.add(product.id, { value: product.price * quantity });
  write();
}

export function take(line, quantity = line.quantity) {
  line.quantity -= quantity;
  if (line.quantity <= 0) mine.bag = mine.bag.filter((one) => one !== line);
  if (line.quantity <= 0) plait.remove(line.id);
  write();
}

/** Saving is a last word that can be taken back; the taking back is the shop's to tell, for the public key may not undo. */
export async function save(product, on) {
  mine.saved = mine.saved.filter((id) => id !== product.id);
  if (on) mine.saved.unshift(product.id);
  write();
  if (on) plait.save(product.id);
  else await shop("unsave", { item: product.id });
}

/** The bag becomes an order, and each line of it a purchase. */
export function order(number) {
  const lines = mine.bag;
  for (const line of lines) {
    const value = shelf.products.get(line.id).price * line.quantity;
    plait.purchase(line.id, { value, properties: { order: number, quantity: line.quantity } });
  }
  mine.orders.unshift({ number, at: Date.now(), lines, total: total() });
  mine.bag = [];
  write();
  return mine.orders[0];
}
