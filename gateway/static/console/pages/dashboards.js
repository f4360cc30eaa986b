// The dashboards of learners, teachers and managers: numbers, charts, and the tables behind them.
import { get, nameOf } from "../api.js";
import { figures } from "../charts.js";
import { day, field, h, moment, number, table } from "../dom.js";
import { t, titled } from "../i18n.js";
import { exportButton } from "./exports.js";

const DAYS = [7, 30, 90, 365];
const iso = (date) => new Date(date.getTime() - date.getTimezoneOffset() * 60000).toISOString().slice(0, 10);

let dictionary = null;
export const metrics = async (signal) => (dictionary ??= (await get("/api/analytics/metrics/", signal)).results);

export function period(parameters, path) {
  const to = parameters.get("to") || iso(new Date());
  const from = parameters.get("from") || iso(new Date(Date.now() - 29 * 86400000));
  const compare = parameters.get("compare") === "previous";
  const first = h("input", { type: "date", value: from, max: to });
  const last = h("input", { type: "date", value: to, min: from });
  const check = h("input", { type: "checkbox" });
  check.checked = compare;
  const go = (a, b) => {
    const next = new URLSearchParams({ from: a, to: b });
    if (check.checked) next.set("compare", "previous");
    location.hash = `#/${path}?${next}`;
  };
  for (const control of [first, last, check]) control.addEventListener("change", () => go(first.value, last.value));
  const quick = DAYS.map((days) => h("button", { type: "button", onclick: () => go(iso(new Date(Date.now() - (days - 1) * 86400000)), iso(new Date())) }, `${number(days)} ${t("days")}`));
  const bar = h("form", { class: "bar", "aria-label": t("Period"), onsubmit: (event) => event.preventDefault() },
    field(t("From"), first), field(t("To"), last), h("label", { class: "check" }, check, t("Compare with the period before")), quick);
  return { bar, search: new URLSearchParams({ from, to, ...(compare ? { compare: "previous" } : {}) }) };
}

function card(name, value, compared, meaning) {
  const change = compared && compared.change !== null
    ? h("div", { class: "change" }, `${compared.change > 0 ? "▲" : compared.change < 0 ? "▼" : "="} ${number(Math.abs(compared.change))} · ${t("before")} ${number(compared.previous)}`)
    : compared && h("div", { class: "change" }, t("not known before"));
  const explained = meaning && h("details", {}, h("summary", {}, t("What is this?")),
    h("p", {}, meaning.description, " ", meaning.caveats.join(" ")), h("code", {}, meaning.name));
  return h("div", { class: "card" }, h("div", { class: "name" }, titled(name)), h("div", { class: "value" }, number(value)), change, explained);
}

export async function cards(dashboard, summary, comparison, signal) {
  const known = await metrics(signal);
  const meaning = (name) => known.find((entry) => entry.shown_as.includes(`${dashboard}.${name}`));
  return h("div", { class: "cards" }, Object.entries(summary).map(([name, value]) => card(name, value, comparison?.[name], meaning(name))));
}

const asOf = (answer) => h("p", { class: "quiet" }, `${t("As of")} ${moment(answer.as_of)}`);
const toCourse = (row) => h("a", { href: `#/course/${row.course_uuid}` }, h("bdi", {}, row.course_title ?? t("Untitled")));

export function person(uuid) {
  const name = h("bdi", {}, "…");
  nameOf(uuid).then((text) => { name.textContent = text; });
  return name;
}

export const reasons = (codes) => codes.map((code) => titled(code)).join(", ");

export async function student({ signal, parameters }) {
  const { bar, search } = period(parameters, "student");
  const answer = await get(`/api/core/analytics/student/?${search}`, signal);
  return h("div", {}, bar, await cards("student", answer.summary, answer.comparison, signal), asOf(answer), h("h2", {}, t("Charts")), figures(answer.charts),
    h("h2", {}, t("Courses")), table(t("Progress by course"), [
      { title: t("Course"), value: (row) => row.course_title }, { title: t("Progress"), number: true, value: (row) => `${number(row.progress)} %` },
      { title: t("Lessons"), number: true, value: (row) => `${number(row.completed_lessons)} / ${number(row.total_lessons)}` },
      { title: t("State"), value: (row) => titled(row.status) }, { title: t("Last active"), value: (row) => day(row.last_accessed) },
    ], answer.course_progress));
}

export async function teacher({ signal, parameters }) {
  const { bar, search } = period(parameters, "teacher");
  const answer = await get(`/api/core/analytics/teacher/?${search}`, signal);
  const compared = search.has("compare") ? answer.comparison : null;
  return h("div", {}, bar, await cards("teacher", answer.summary, compared, signal), asOf(answer), h("h2", {}, t("Charts")), figures(answer.charts),
    h("h2", {}, t("Courses")), table(t("How courses are doing"), [
      { title: t("Course"), value: toCourse }, { title: t("Learners"), number: true, value: (row) => row.students },
      { title: t("Progress"), number: true, value: (row) => `${number(row.avg_progress)} %` },
      { title: t("Completion rate"), number: true, value: (row) => `${number(row.completion_rate)} %` },
      { title: t("Rating"), number: true, value: (row) => row.rating }, { title: t("Engagement"), number: true, value: (row) => row.engagement_score },
    ], answer.course_performance),
    h("h2", {}, t("Learners at risk")), h("p", { class: "quiet" }, answer.at_risk.rule), table(t("Learners at risk"), [
      { title: t("Learner"), value: (row) => person(row.student) },
      { title: t("Course"), value: (row) => toCourse({ ...row, course_title: answer.course_performance.find((c) => c.course_uuid === row.course_uuid)?.course_title }) },
      { title: t("Reasons"), value: (row) => reasons(row.reasons) }, { title: t("Progress"), number: true, value: (row) => `${number(row.progress)} %` },
      { title: t("Last active"), value: (row) => day(row.last_active) },
    ], answer.at_risk.learners));
}

export async function platform({ signal, parameters }) {
  const { bar, search } = period(parameters, "platform");
  const answer = await get(`/api/core/analytics/platform/?${search}`, signal);
  return h("div", {}, bar, await cards("platform", answer.platform_stats, answer.comparison, signal), asOf(answer),
    exportButton(t("Export courses"), { dataset: "courses" }), h("h2", {}, t("Charts")), figures(answer.charts),
    h("h2", {}, t("Categories")), table(t("Courses by category"), [
      { title: t("Category"), value: (row) => row.category }, { title: t("Courses"), number: true, value: (row) => row.courses },
      { title: t("Enrolments"), number: true, value: (row) => row.enrollments }, { title: t("Progress"), number: true, value: (row) => `${number(row.avg_progress)} %` },
      { title: t("Completion rate"), number: true, value: (row) => `${number(row.completion_rate)} %` },
    ], answer.category_insights),
    h("h2", {}, t("Support")), table(t("Tickets by priority"), [
      { title: t("Priority"), value: (row) => titled(row.priority) }, { title: t("Open"), number: true, value: (row) => row.open },
      { title: t("Tickets"), number: true, value: (row) => row.tickets },
    ], answer.support_load.by_priority));
}
