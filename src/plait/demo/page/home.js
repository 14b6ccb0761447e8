// The home page: five slots of Plait's, asked for together, and the shop's own shelves between them. What stands still is in
// `home.html`, from which the shop's server draws it, too, for those who come here first.
import { furnished, onFilled } from "./cards.js";

export function home() {
  const parts = document.getElementById("at-home").content.cloneNode(true);
  for (const place of parts.querySelectorAll("plait-placement")) furnished(place);
  return { title: "Gear for weather", parts: [parts] };
}

onFilled(({ place, items, fresh }) => {
  const note = document.getElementById("grid-note");
  if (place.id !== "home.grid" || !note) return;
  const personal = items.some((one) => one.because?.some((cause) => cause.source !== "catalog"));
  note.textContent = fresh ? `${fresh} of ${items.length} changed with what you just did.` : personal ? "Change your mind and it changes, too." : "Everybody’s favourites, until we know you.";
});
