// The visitor's accounts on networks, as far as this demo plays them.
import { again, connect, like, offers, state } from "./desk.js";
import { el, face, icon, sheet, toast } from "./dom.js";
import { network } from "./words.js";

export async function attempt(work) {
  try { return await work; } catch (error) { toast(error.message); return null; }
}

export async function connectAccount() {
  const found = await attempt(offers());
  if (!found) return;
  const box = sheet("Whose account is yours?", el("p.say", {}, "In a real shop you would sign in with the network and be asked whether the shop may use what you like there. Here you borrow an account that already liked some posts: watch the page before and after."),
    el("div.people", {}, found.map((one, number) => el("button", { type: "button", onclick: async () => { box.close(); if (await attempt(connect(one.account))) toast("Linked, with consent: their likes count now"); again(); } },
      face("", (number % 6) + 1), el("span", {}, el("b", {}, `A ${one.taste} on ${network(one.account)}`), el("small", {}, `reacted to ${one.posts} posts`)), icon("link")))));
}

export async function likePost(post, on) {
  if (!state.session.accounts.length) { await connectAccount(); return false; }
  return Boolean(await attempt(like(post.id, on)));
}
