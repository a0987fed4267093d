"use strict";

const root = document.documentElement;
addEventListener("error", (event) => { root.dataset.error = event.message; });
root.classList.add("js");

const AT_ONCE = 24; // cards that are printed, and that show without this script
const percent = (fraction) => (100 * fraction).toFixed(1);

function made(name, text = "", className = "") {
  const element = document.createElement(name);
  element.textContent = text;
  element.className = className;
  return element;
}

// Absent values (null, NaN) stand last in either direction.
function compare(a, b, sign) {
  const known = (value) => value !== null && !Number.isNaN(value);
  if (!known(a) || !known(b)) return known(b) - known(a);
  if (typeof a === "string") return sign * a.localeCompare(b, undefined, { numeric: true });
  return sign * (a - b);
}

/* tables */

function makeSortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = made("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortTable(table, head, column));
    head.append(button);
  });
}

function sortTable(table, head, column) {
  const first = column === 0 ? "ascending" : "descending";
  const other = column === 0 ? "descending" : "ascending";
  const order = head.ariaSort === first ? other : first;
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const value = (row) => column === 0 ? row.cells[0].textContent : Number.parseFloat(row.cells[column].dataset.value);
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => compare(value(a), value(b), order === "ascending" ? 1 : -1));
  table.tBodies[0].append(...rows);
}

/* curves */

function probeCurves(chunk) {
  const { x, y, lines } = JSON.parse(chunk.textContent);
  const frame = chunk.parentElement.querySelector(".frame");
  const svg = frame.querySelector("svg");
  const tip = frame.appendChild(made("div", "", "tip"));
  const probe = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "g"));
  const drawn = (name, attributes) => {
    const shape = probe.appendChild(document.createElementNS("http://www.w3.org/2000/svg", name));
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
  };
  const hide = () => { tip.hidden = true; probe.replaceChildren(); };
  const show = (event) => {
    const box = svg.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const nearest = (points, at) => points.reduce((a, b) => Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a);
    const at = nearest(lines.flatMap((line) => line.points), x[0] + share * (x[1] - x[0]))[0];
    const across = `${100 * (at - x[0]) / (x[1] - x[0])}%`;
    hide();
    drawn("line", { class: "probe", x1: across, x2: across, y2: "100%" });
    tip.replaceChildren(made("div", `threshold ${+at.toPrecision(4)}`));
    for (const line of lines) {
      const miou = nearest(line.points, at)[1];
      drawn("circle", { class: line.key, cx: across, cy: `${100 * (1 - miou / y)}%`, r: 4 });
      const row = tip.appendChild(made("div"));
      const name = row.appendChild(made("span"));
      name.append(made("i", "", `key ${line.key}`), line.name);
      row.append(made("b", percent(miou)));
    }
    tip.hidden = false;
      const left = box.left - frame.getBoundingClientRect().left;
    const place = left + share * box.width;
    tip.style.left = `${share > 0.5 ? place - tip.offsetWidth - 14 : place + 14}px`;
  };
  hide();
  frame.addEventListener("pointermove", show);
  frame.addEventListener("pointerdown", show);
  frame.addEventListener("pointerleave", hide);
}

/* gallery */

function reveal(card) {
  const chunk = card.element.querySelector("script");
  if (!chunk) return;
  const images = card.element.querySelectorAll(".well img");
  JSON.parse(chunk.textContent).forEach((source, place) => {
    images[place].decoding = "async";
    images[place].src = source;
  });
  chunk.remove();
}

function readCards(grid) {
  return [...grid.querySelectorAll(".card")].map((element) => ({
    element,
    id: element.dataset.id,
    classes: JSON.parse(element.dataset.classes),
    ious: JSON.parse(element.dataset.ious),
  }));
}

function fillClasses(select, cards) {
  const counts = new Map();
  for (const name of cards.flatMap((card) => card.classes)) counts.set(name, (counts.get(name) ?? 0) + 1);
  select.options[0].text = `all (${cards.length})`;
  for (const name of [...counts.keys()].sort((a, b) => compare(a, b, 1))) {
    select.add(new Option(`${name} (${counts.get(name)})`, name));
  }
  select.parentElement.hidden = counts.size === 0;
}

function fillOrders(form, cards) {
  const names = [...cards[0].element.querySelectorAll("figcaption span")].map((name) => name.textContent);
  names.forEach((name, place) => {
    if (cards.some((card) => card.ious[place] !== null)) form.by.add(new Option(name, place + 1));
  });
  if (form.by.options.length === 0) for (const option of [...form.sort.options].slice(2)) option.remove();
  const listed = cards.every((card, place) => place === 0 || compare(cards[place - 1].id, card.id, 1) <= 0);
  if (listed) form.sort.options[0].remove();
}

function arranged(cards, form) {
  const wanted = form.find.value.toLowerCase();
  const chosen = cards.filter((card) =>
    (!form.class.value || card.classes.includes(form.class.value)) && card.id.toLowerCase().includes(wanted));
  const place = Number(form.by.value || 1) - 1;
  if (form.sort.value === "id") chosen.sort((a, b) => compare(a.id, b.id, 1));
  if (form.sort.value === "worst") chosen.sort((a, b) => compare(a.ious[place], b.ious[place], 1));
  if (form.sort.value === "best") chosen.sort((a, b) => compare(a.ious[place], b.ious[place], -1));
  return chosen;
}

function makeGallery(grid) {
  const form = document.querySelector(".controls");
  const cards = readCards(grid);
  const byElement = new Map(cards.map((card) => [card.element, card]));
  const viewer = makeViewer(document.getElementById("viewer"));
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) reveal(byElement.get(entry.target));
  }, { rootMargin: "800px 0px" });
  let shown = [];

  const arrange = () => {
    shown = arranged(cards, form);
    const visible = new Set(shown);
    for (const card of cards) card.element.hidden = !visible.has(card);
    shown.forEach((card, place) => card.element.classList.toggle("first", place < AT_ONCE));
    grid.append(...shown.map((card) => card.element));
    form.querySelector("output").textContent =
      shown.length === cards.length ? `${cards.length} images` : `${shown.length} of ${cards.length} images`;
    form.by.parentElement.hidden = form.by.options.length < 2 || !["worst", "best"].includes(form.sort.value);
  };
  const fromAddress = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const name of ["class", "sort", "by"]) {
      form[name].value = asked.get(name) ?? "";
      if (form[name].selectedIndex < 0) form[name].selectedIndex = 0;
    }
    form.find.value = asked.get("find") ?? "";
    arrange();
  };
  const toAddress = () => {
    const asked = new URLSearchParams();
    for (const name of ["class", "sort", "by", "find"]) {
      const control = form[name];
      const usual = control.options ? control.selectedIndex <= 0 : !control.value;
      if (!usual) asked.set(name, control.value);
    }
    history.replaceState(null, "", `#${asked}`);
    arrange();
  };

  fillClasses(form.class, cards);
  fillOrders(form, cards);
  form.hidden = false;
  form.addEventListener("input", toAddress);
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", fromAddress);
  addEventListener("beforeprint", () => shown.slice(0, AT_ONCE).forEach(reveal));
  grid.addEventListener("click", (event) => {
    const tag = event.target.closest(".tags a");
    const card = event.target.closest(".card");
    if (tag) {
      event.preventDefault();
      form.class.value = tag.textContent;
      toAddress();
      form.scrollIntoView();
    } else if (card && event.target.closest("h3 button, .well")) viewer(shown, shown.indexOf(byElement.get(card)));
  });
  fromAddress();
  for (const card of cards) observer.observe(card.element);
}

function makeViewer(dialog) {
  const stage = dialog.querySelector(".stage");
  let shown = [];
  let place = 0;

  const show = () => {
    const card = shown[place];
    reveal(card);
    const strip = card.element.querySelector(".strip").cloneNode(true);
    const count = strip.children.length;
    const across = count < 4 ? count : Math.min(4, Math.ceil(count / 2));
    stage.replaceChildren(strip);
    stage.style.setProperty("--across", across);
    stage.style.setProperty("--down", Math.ceil(count / across));
    dialog.querySelector("h2").textContent = card.id;
    dialog.querySelector("p").textContent = [card.classes.join(", "), `${place + 1} of ${shown.length}`].filter(Boolean).join(" · ");
  };
  const step = (by) => {
    place = (place + by + shown.length) % shown.length;
    show();
  };

  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    step(event.key === "ArrowLeft" ? -1 : 1);
  });
  dialog.addEventListener("click", (event) => {
    const button = event.target.closest("[data-step]");
    if (event.target === dialog || button?.dataset.step === "0") dialog.close();
    else if (button) step(Number(button.dataset.step));
  });
  return (cards, start) => {
    shown = cards;
    place = start;
    show();
    dialog.showModal();
  };
}

for (const table of document.querySelectorAll("table.classes, table.methods")) makeSortable(table);
for (const chunk of document.querySelectorAll("#curves")) probeCurves(chunk);
addEventListener("DOMContentLoaded", () => {
  const grid = document.getElementById("cards");
  if (grid) makeGallery(grid);
  root.dataset.ready = "yes";
});
