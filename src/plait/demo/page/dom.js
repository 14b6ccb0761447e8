// Elements from data. Text is only ever text: nothing here parses markup.
const SVG = "http://www.w3.org/2000/svg";

/** `el("button.save", { type: "button", onclick }, "text", child)`. */
export function el(what, props = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const made = document.createElement(tag || "div");
  if (classes.length) made.className = classes.join(" ");
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(made.dataset, value);
    else if (name === "style") for (const [key, what] of Object.entries(value)) made.style.setProperty(key, what);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((one) => one !== null && one !== undefined && one !== false));
  return made;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg"), use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export const picture = (id, view) => el("img", { src: `/pictures/${encodeURIComponent(id)}${view ? `/${view}` : ""}.svg`, alt: "", width: 400, height: 400 });
export const land = (id) => el("img.land", { src: `/scenes/${encodeURIComponent(id)}.svg`, alt: "", width: 1600, height: 900 });

/** Stars out of five, with the number for those who listen. */
export function stars(value, count) {
  return rate(el("span.stars", { role: "img" }, el("i"), count === undefined ? null : el("small", {}, `${value.toFixed(1)} (${count})`)), value);
}

export function rate(made, value) {
  made.setAttribute("aria-label", `${value} of 5 stars`);
  made.firstElementChild.style.setProperty("--full", `${(value / 5) * 100}%`);
  return made;
}

/** A dialog over the page. */
export function sheet(title, ...children) {
  const box = document.getElementById("sheet");
  const close = el("button.round", { type: "button", "aria-label": "Close", onclick: () => box.close() }, icon("close"));
  box.setAttribute("aria-label", title);
  box.replaceChildren(el("div.sheet-in", {}, el("div.sheet-head", {}, el("h2", {}, title), close), ...children.filter(Boolean)));
  box.onclick = (event) => { if (event.target === box) box.close(); };
  if (!box.open) box.showModal();
  return box;
}

let quiet = 0;
export function toast(text) {
  const box = document.getElementById("toast");
  box.textContent = text;
  box.classList.add("on");
  clearTimeout(quiet);
  quiet = setTimeout(() => box.classList.remove("on"), 3_000);
}

/** Somebody's initials in a circle. */
export function face(name, number = 0) {
  const initials = name ? name.split(/\s+/).slice(0, 2).map((word) => word[0]).join("") : icon("user");
  return el(`span.face.f${number}`, { "aria-hidden": "true" }, initials);
}
