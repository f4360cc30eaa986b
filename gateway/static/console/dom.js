// Elements, tables and numbers. Text becomes text nodes only: nothing that people wrote is read as HTML.
import { locale, t } from "./i18n.js";

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const number = (value, digits = 1) =>
  value === null || value === undefined ? "–" : new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value);

export const moment = (text) =>
  text ? new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(text)) : "–";

export const day = (text) =>
  text ? new Intl.DateTimeFormat(locale(), { dateStyle: "medium" }).format(new Date(text)) : "–";

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${number(seconds)} s`;
  if (seconds < 5400) return `${number(seconds / 60)} min`;
  return `${number(seconds / 3600)} h`;
}

// columns: {title, value(row) → text, number or node, number?: true}
export function table(caption, columns, rows, empty = t("Nothing here.")) {
  const head = h("tr", {}, columns.map((c) => h("th", { scope: "col", class: c.number && "number" }, c.title)));
  const body = rows.map((row) =>
    h("tr", {}, columns.map((c) => {
      const value = c.value(row);
      const shown = typeof value === "number" ? number(value) : value ?? "–";
      return h("td", { class: c.number && "number" }, typeof shown === "string" ? h("bdi", {}, shown) : shown);
    })));
  if (!rows.length) body.push(h("tr", {}, h("td", { colspan: columns.length, class: "quiet" }, empty)));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", {}, caption), h("thead", {}, head), h("tbody", {}, body)));
}

export const field = (label, control) => h("label", {}, label, control);

export function select(options, value, attributes = {}) {
  const control = h("select", attributes, options.map(([key, title]) => h("option", { value: key }, title)));
  control.value = value;
  return control;
}

export const note = (text, kind = "") => h("p", { class: `note ${kind}`, role: kind === "bad" ? "alert" : "status" }, text);
