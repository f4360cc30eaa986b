// Chart.js objects as the API gives them, with the page's colours, and their numbers as a table.
import { h, table } from "./dom.js";
import { locale, rtl, t, titled } from "./i18n.js";

const live = new Set();
const dark = matchMedia("(prefers-color-scheme: dark)");
const still = matchMedia("(prefers-reduced-motion: reduce)");

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function options(type) {
  const text = colour("--quiet");
  const grid = { color: colour("--line") };
  const round = ["pie", "doughnut", "polarArea", "radar"].includes(type);
  return {
    responsive: true, maintainAspectRatio: false, locale: locale(), animation: still.matches ? false : { duration: 300 },
    plugins: { legend: { rtl: rtl(), labels: { color: text } }, tooltip: { rtl: rtl() } },
    scales: round ? {} : {
      x: { reverse: rtl(), ticks: { color: text, maxRotation: 40 }, grid },
      y: { position: rtl() ? "right" : "left", beginAtZero: true, ticks: { color: text }, grid },
    },
  };
}

// A canvas is drawn when it has its place and so its size.
function whenPlaced(canvas, draw, frames = 600) {
  requestAnimationFrame(() => (canvas.isConnected ? draw() : frames && whenPlaced(canvas, draw, frames - 1)));
}

const word = (label) => (/^[a-z_]+$/.test(label) ? titled(label) : t(label));

export function figure(chart) {
  const title = t(chart.title);
  const canvas = h("canvas", { role: "img", "aria-label": title });
  const datasets = chart.data.datasets.map((set) => ({ ...set, label: t(set.label) }));
  const body = h("div", { class: "canvas" }, canvas);
  const rows = chart.data.labels.map((label, i) => ({ label, values: datasets.map((set) => set.data[i]) }));
  const columns = [
    { title: t("Of"), value: (row) => word(row.label) },
    ...datasets.map((set, i) => ({ title: set.label, number: true, value: (row) => row.values[i] })),
  ];
  const numbers = h("details", {}, h("summary", {}, t("As a table")));
  numbers.addEventListener("toggle", () => {
    if (numbers.children.length === 1) numbers.append(table(title, columns, rows));
  }, { once: true });
  const labels = chart.data.labels.map(word);
  whenPlaced(canvas, () => live.add(new Chart(canvas, { type: chart.type, data: { labels, datasets }, options: options(chart.type) })));
  return h("figure", {}, h("figcaption", {}, title), body, numbers);
}

export const figures = (charts) => h("div", { class: "charts" }, Object.values(charts).map(figure));

export function forget() {
  for (const chart of live) chart.destroy();
  live.clear();
}

// A line of the last minutes, fed as time goes by.
export function liveLine(title, labels) {
  const canvas = h("canvas", { role: "img", "aria-label": title });
  const palette = ["#4f46e5", "#059669", "#d97706", "#dc2626", "#0891b2", "#7c3aed", "#64748b"];
  const data = { labels: [], datasets: labels.map((label, i) => ({ label, data: [], borderColor: palette[i % 7], backgroundColor: palette[i % 7], pointRadius: 2, borderWidth: 2 })) };
  let chart = null;
  whenPlaced(canvas, () => live.add(chart = new Chart(canvas, { type: "line", data, options: { ...options("line"), animation: false } })));
  const add = (values) => {
    data.labels.push(new Intl.DateTimeFormat(locale(), { timeStyle: "medium" }).format(new Date()));
    values.forEach((value, i) => data.datasets[i].data.push(value));
    if (data.labels.length > 60) { data.labels.shift(); data.datasets.forEach((set) => set.data.shift()); }
    chart?.update();
  };
  return { add, element: h("figure", {}, h("figcaption", {}, title), h("div", { class: "canvas" }, canvas)) };
}

export const onTheme = (again) => dark.addEventListener("change", again);
