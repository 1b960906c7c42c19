"use strict";
// Three parts: the theme, the charts with their numbers as tables, the pictures with slider and zoom.

const root = document.documentElement;
const dark = window.matchMedia("(prefers-color-scheme: dark)");

/* the theme ------------------------------------------------------------------------------------------------------------- */

const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);

function setUpTheme() {
  const button = document.getElementById("theme");
  const tell = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Show the page light" : "Show the page dark");
    drawCharts();
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    tell();
  });
  dark.addEventListener("change", tell);
  tell();
}

/* the charts ------------------------------------------------------------------------------------------------------------ */

const specs = JSON.parse(document.getElementById("charts").textContent);

/** The colour that a variable of the style has in this theme. */
function colour(name) {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(--${name})`;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function chartStyle(width) {
  const [ink, faint, line] = ["ink", "faint", "line"].map(colour);
  return {
    background: null,
    font: getComputedStyle(document.body).fontFamily,
    view: { stroke: null },
    title: { color: ink, anchor: "start", fontSize: 14, fontWeight: 600, offset: 10, limit: 420 },
    axis: { labelColor: faint, titleColor: faint, gridColor: line, domainColor: line, tickColor: line,
      labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal",
      labelLimit: Math.max(130, width / 2) },
    axisX: { tickCount: 5, labelOverlap: true, labelSeparation: 8 },
    axisY: { tickCount: 6 },
    legend: { labelColor: ink, labelFontSize: 12, orient: "top", direction: "horizontal",
      columns: Math.max(1, Math.floor(width / 170)), labelLimit: 150 },
    range: { category: ["one", "two", "three", "four", "five", "six"].map(colour) },
    line: { strokeWidth: 1.75, color: colour("one") },
    point: { color: colour("one") },
    style: { guide: { stroke: faint, color: faint, strokeWidth: 1.5 }, random: { color: faint } },
  };
}

let drawing = Promise.resolve();

/** Draw every chart in the colours of the theme; a drawing that is under way is waited for. */
function drawCharts() {
  if (!window.vegaEmbed) return;
  drawing = drawing.then(async () => {
    const options = { mode: "vega-lite", renderer: "svg", actions: false,
      tooltip: { theme: isDark() ? "dark" : "light" } };
    for (const place of document.querySelectorAll("[data-charts]")) {
      const own = specs[place.dataset.charts];
      if (!place.querySelector(".chart")) place.replaceChildren(...own.map(chartPlace));
      const plots = place.querySelectorAll(".plot");
      for (const [index, spec] of own.entries()) {
        const config = chartStyle(plots[index].clientWidth);
        try {
          await vegaEmbed(plots[index], structuredClone(spec), { ...options, config });
        } catch (error) { // the others are drawn all the same
          console.error(spec.title, error);
          plots[index].textContent = `${spec.title}: this chart could not be drawn; its numbers stand below.`;
        }
      }
    }
    root.dataset.drawn = isDark() ? "dark" : "light";
  });
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Where a chart is drawn, and its numbers, which are made into a table when they are asked for. */
function chartPlace(spec) {
  const place = element("div", "chart");
  const numbers = element("details");
  numbers.append(element("summary", "", "Numbers"));
  numbers.querySelector("summary").setAttribute("aria-label", `Numbers of: ${spec.title}`);
  numbers.addEventListener("toggle", () => {
    if (numbers.open && !numbers.querySelector("table")) numbers.append(numbersTable(spec));
  });
  place.append(element("div", "plot"), numbers);
  return place;
}

function numbersTable(spec) {
  const columns = Object.entries(spec.usermeta.columns);
  const table = element("table");
  table.append(element("caption", "unseen", spec.title));
  const head = table.createTHead().insertRow();
  for (const [, title] of columns) {
    head.append(Object.assign(element("th", "", title), { scope: "col" }));
  }
  const body = table.createTBody();
  for (const row of spec.data.values) {
    const line = body.insertRow();
    for (const [field] of columns) line.insertCell().textContent = row[field] ?? "";
  }
  const scroll = element("div", "scroll");
  Object.assign(scroll, { tabIndex: 0, role: "region", ariaLabel: `${spec.title}, numbers` });
  scroll.append(table);
  return scroll;
}

/* the pictures ---------------------------------------------------------------------------------------------------------- */

const NEAREST = 16; // times the whole picture
const between = (low, value, high) => Math.min(Math.max(value, low), high);

/** One test image: all its panes show the same part, `zoom` times enlarged, around (x, y) in shares of the picture. */
class Shot {
  constructor(place) {
    this.place = place;
    this.zoom = 1;
    this.x = this.y = 0.5;
    this.fingers = new Map();
    const images = [...place.querySelectorAll(".panels img")];
    this.panels = Object.fromEntries(images.map((image) => [image.dataset.panel, image]));
    this.addTools();
    place.tabIndex = 0;
    place.setAttribute("role", "group");
    place.setAttribute("aria-label", `${place.dataset.name}: plus and minus zoom, arrows move, 0 shows the whole picture`);
    place.addEventListener("keydown", (event) => this.onKey(event));
    for (const pane of place.querySelectorAll(".pane")) this.listen(pane);
    this.show();
  }

  addTools() {
    const tools = document.getElementById("tools").content.cloneNode(true);
    this.output = tools.querySelector("output");
    this.slider = tools.querySelector("input");
    this.slider.setAttribute("aria-label", `Divider between left and right picture of ${this.place.dataset.name}`);
    this.over = tools.querySelector(".over");
    this.divider = tools.querySelector(".divider");
    const pane = tools.querySelector(".pane");
    pane.style.aspectRatio = this.place.querySelector(".pane").style.aspectRatio;
    for (const [side, layer, first] of [["left", this.over, "noisy"], ["right", tools.querySelector(".under"), "restored"]]) {
      const choice = tools.querySelector(`.${side}`);
      for (const [panel, image] of Object.entries(this.panels)) {
        const [name] = image.closest("figure").querySelector("figcaption").textContent.split(/[,:]/);
        choice.add(new Option(name, panel, panel === first, panel === first));
      }
      const put = () => {
        layer.replaceChildren(this.panels[choice.value].cloneNode());
        this.show();
      };
      choice.addEventListener("change", put);
      put();
    }
    this.slider.addEventListener("input", () => this.split(this.slider.valueAsNumber));
    this.divider.addEventListener("pointerdown", (event) => {
      event.stopPropagation();
      this.divider.setPointerCapture(event.pointerId);
    });
    this.divider.addEventListener("pointermove", (event) => {
      if (!this.divider.hasPointerCapture(event.pointerId)) return;
      const box = pane.getBoundingClientRect();
      this.split(between(0, (100 * (event.clientX - box.left)) / box.width, 100));
    });
    for (const button of tools.querySelectorAll("[data-zoom]")) {
      const times = { in: 1.5, out: 1 / 1.5, all: 0 }[button.dataset.zoom];
      button.addEventListener("click", () => this.enlarge(times));
    }
    this.place.prepend(tools);
    this.split(50);
  }

  split(percent) {
    this.slider.value = percent;
    this.over.style.clipPath = `inset(0 ${100 - percent}% 0 0)`;
    this.divider.style.left = `${percent}%`;
  }

  /** Zoom by a factor, 0 to the whole picture, so that the point at (u, v) of a pane stays where it is. */
  enlarge(times, u = 0.5, v = 0.5) {
    const zoom = between(1, this.zoom * times, NEAREST);
    this.x += (u - 0.5) * (1 / this.zoom - 1 / zoom);
    this.y += (v - 0.5) * (1 / this.zoom - 1 / zoom);
    this.zoom = zoom;
    this.show();
  }

  /** Move what is seen by shares of a pane. */
  move(dx, dy) {
    this.x -= dx / this.zoom;
    this.y -= dy / this.zoom;
    this.show();
  }

  show() {
    const half = 0.5 / this.zoom;
    this.x = between(half, this.x, 1 - half);
    this.y = between(half, this.y, 1 - half);
    const [left, top] = [this.x, this.y].map((middle) => 100 * (0.5 - middle * this.zoom));
    for (const image of this.place.querySelectorAll(".pane img")) {
      image.style.transform = `translate(${left}%, ${top}%) scale(${this.zoom})`;
    }
    this.place.classList.toggle("is-near", this.zoom > 1);
    if (this.output) this.output.textContent = `${Math.round(100 * this.zoom)} %`;
  }

  onKey(event) {
    if (event.target !== this.place || event.ctrlKey || event.metaKey || event.altKey) return;
    const [zooms, step] = [{ "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 0 }, 0.15];
    const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (event.key in zooms) this.enlarge(zooms[event.key]);
    else if (event.key in moves && this.zoom > 1) this.move(...moves[event.key]);
    else return;
    event.preventDefault();
  }

  /** Mouse, pen and fingers on a pane: one drags, two pinch; the wheel zooms with Ctrl, so that the page can be scrolled. */
  listen(pane) {
    const where = (event) => {
      const box = pane.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    pane.addEventListener("dblclick", (event) => this.enlarge(2, ...where(event)));
    pane.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.enlarge(Math.exp(-event.deltaY / 300), ...where(event));
    }, { passive: false });
    pane.addEventListener("dragstart", (event) => event.preventDefault());
    pane.addEventListener("pointerdown", (event) => {
      if (this.zoom > 1 && event.pointerType === "mouse") pane.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, where(event));
    });
    pane.addEventListener("pointermove", (event) => {
      const before = this.fingers.get(event.pointerId);
      if (!before) return;
      const now = where(event);
      const other = [...this.fingers].find(([id]) => id !== event.pointerId)?.[1];
      this.fingers.set(event.pointerId, now);
      if (!other) return this.move(now[0] - before[0], now[1] - before[1]);
      const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      if (apart(before) > 0) this.enlarge(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    });
    for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
      pane.addEventListener(end, (event) => this.fingers.delete(event.pointerId));
    }
  }
}

/** Many test images: one at a time, with a choice and two buttons. */
function setUpGallery(place) {
  const items = [...place.querySelectorAll(".item")];
  const choice = element("select");
  const put = (index) => {
    const item = items[(index + items.length) % items.length];
    for (const other of items) other.hidden = other !== item;
    choice.value = String(items.indexOf(item));
    const shot = item.querySelector(".shot");
    if (!shot.querySelector(".tools")) new Shot(shot); // when it is first seen, as each copies two pictures
  };
  choice.setAttribute("aria-label", "Test image");
  for (const [index, item] of items.entries()) choice.add(new Option(item.querySelector("h4").textContent, index));
  choice.addEventListener("change", () => put(Number(choice.value)));
  const chooser = element("p", "chooser");
  for (const [text, step] of [["Previous", -1], ["Next", 1]]) {
    const button = element("button", "", text);
    button.type = "button";
    button.addEventListener("click", () => put(Number(choice.value) + step));
    chooser.append(button);
  }
  chooser.firstChild.after(choice);
  place.prepend(chooser);
  put(0);
}

document.getElementById("unscripted").remove();
for (const place of document.querySelectorAll(".shot")) {
  if (!place.closest(".gallery")) new Shot(place);
}
for (const place of document.querySelectorAll(".gallery")) setUpGallery(place);
setUpTheme();
