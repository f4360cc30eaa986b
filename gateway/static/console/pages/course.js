// One course: from the course to its lessons, to its learners.
import { get } from "../api.js";
import { figures } from "../charts.js";
import { day, h, number, table } from "../dom.js";
import { t, titled } from "../i18n.js";
import { cards, period, person, reasons } from "./dashboards.js";
import { exportButton } from "./exports.js";

const percent = (value) => (value === null ? "–" : `${number(value)} %`);

export async function show({ signal, parameters, rest: [uuid] }) {
  const { bar, search } = period(parameters, `course/${uuid}`);
  const page = Number(parameters.get("page") || 1);
  search.set("page", page);
  const answer = await get(`/api/courses/${encodeURIComponent(uuid)}/analytics/?${search}`, signal);
  const turn = (to, title) => h("button", { onclick: () => { search.set("page", to); location.hash = `#/course/${uuid}?${search}`; } }, title);
  const query = {
    measures: ["enrollments.count", "enrollments.average_progress"], dimensions: ["enrollments.status"],
    filters: [{ member: "courses.uuid", operator: "equals", values: [uuid] }],
  };
  return h("div", {}, h("p", {}, h("strong", {}, h("bdi", {}, answer.course_title))), bar,
    await cards("course", answer.summary, answer.comparison, signal), exportButton(t("Export states of learners"), { query }),
    h("h2", {}, t("Charts")), figures(answer.charts),
    h("h2", {}, t("Lessons")), table(t("Who reached a lesson, and who completed it"), [
      { title: t("Lesson"), value: (row) => row.title }, { title: t("Reached"), number: true, value: (row) => row.reached },
      { title: t("Completed"), number: true, value: (row) => row.completed }, { title: t("Drop-off"), number: true, value: (row) => percent(row.drop_off) },
    ], answer.funnel),
    h("h2", {}, t("Questions")), table(t("How hard questions are, and how well they tell learners apart"), [
      { title: t("Quiz"), value: (row) => row.quiz_title }, { title: t("Question"), value: (row) => row.title }, { title: t("Answers"), number: true, value: (row) => row.answers },
      { title: t("Difficulty"), number: true, value: (row) => percent(row.difficulty) }, { title: t("Discrimination"), number: true, value: (row) => number(row.discrimination) },
    ], answer.questions),
    h("h2", {}, t("Learners at risk")), h("p", { class: "quiet" }, answer.at_risk_rule), table(t("Learners at risk"), [
      { title: t("Learner"), value: (row) => person(row.student.uuid) }, { title: t("Reasons"), value: (row) => reasons(row.reasons) },
      { title: t("Progress"), number: true, value: (row) => percent(row.progress) }, { title: t("Last active"), value: (row) => day(row.last_active) },
    ], answer.at_risk),
    h("h2", {}, t("Learners")), table(t("Everybody on the course"), [
      { title: t("Learner"), value: (row) => person(row.student.uuid) }, { title: t("State"), value: (row) => titled(row.status) },
      { title: t("Progress"), number: true, value: (row) => percent(row.progress) }, { title: t("Score"), number: true, value: (row) => percent(row.score) },
      { title: t("Minutes"), number: true, value: (row) => row.minutes }, { title: t("Last active"), value: (row) => day(row.last_active) },
    ], answer.students.results),
    h("div", { class: "bar" }, answer.students.previous && turn(page - 1, t("Previous page")), answer.students.next && turn(page + 1, t("Next page"))),
    h("h2", {}, t("Cohorts")), table(t("Of those who enrolled in a week, who was still active later"), [
      { title: t("Week"), value: (row) => day(row.week) }, { title: t("Enrolled"), number: true, value: (row) => row.enrolled },
      { title: t("Active in week 0, 1, 2, …"), value: (row) => row.retained.map((share) => percent(share)).join(" · ") },
    ], answer.cohorts));
}
