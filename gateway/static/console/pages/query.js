// A query put together from the dictionary: its result as a table and a chart, and the query itself to take along.
import { call, get, post, user } from "../api.js";
import { figure } from "../charts.js";
import { field, h, moment, note, number, select, table } from "../dom.js";
import { t } from "../i18n.js";
import { metrics } from "./dashboards.js";
import { exportButton } from "./exports.js";

const PALETTE = ["#4f46e5", "#059669", "#d97706", "#dc2626", "#0891b2", "#7c3aed"];
const MOST_POINTS = 60;

function picker(title, members, chosen, changed) {
  const boxes = members.map((entry) => {
    const box = h("input", { type: "checkbox", value: entry.name });
    box.checked = chosen.has(entry.name);
    box.addEventListener("change", () => { box.checked ? chosen.add(entry.name) : chosen.delete(entry.name); changed(); });
    return h("label", { class: "check", title: entry.description }, box, `${entry.title} (${entry.dataset})`);
  });
  return h("fieldset", {}, h("legend", {}, title), h("div", { class: "picker", tabindex: "0", role: "group", "aria-label": title }, boxes));
}

export async function show({ signal }) {
  const known = await metrics(signal);
  const byName = new Map(known.map((entry) => [entry.name, entry]));
  const measures = new Set(["enrollments.count"]);
  const dimensions = new Set(["courses.title"]);
  const granularity = select([["", t("no time")], ...["day", "week", "month", "quarter", "year"].map((g) => [g, t(g)])], "");
  const limit = h("input", { type: "number", min: 1, max: 10000, value: "100" });
  const pickers = h("div", {});
  const text = h("textarea", { spellcheck: "false", "aria-label": t("The query as JSON"), dir: "ltr" });
  const result = h("div", { role: "region", "aria-label": t("Result") });

  const build = () => ({
    measures: [...measures], dimensions: [...dimensions],
    ...(granularity.value ? { timeDimensions: [{ dimension: "time.at", granularity: granularity.value }] } : {}),
    limit: Number(limit.value), timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  });
  const changed = () => { text.value = JSON.stringify(build(), null, 2); choose(); };
  const query = () => JSON.parse(text.value);

  // Only dimensions that every chosen measure can be asked for by.
  function choose() {
    const shared = known.filter((entry) => entry.kind === "dimension" && entry.name !== "time.at" &&
      [...measures].every((name) => byName.get(name)?.dimensions.includes(entry.name)));
    for (const name of dimensions) if (!shared.some((entry) => entry.name === name)) dimensions.delete(name);
    const focused = document.activeElement?.value;
    pickers.replaceChildren(picker(t("Measures"), known.filter((entry) => entry.kind === "measure"), measures, changed), picker(t("By"), shared, dimensions, changed));
    if (focused) pickers.querySelector(`input[value="${CSS.escape(focused)}"]`)?.focus();
  }
  granularity.addEventListener("change", changed);
  limit.addEventListener("change", changed);

  const curl = () => `curl -X POST ${location.origin}/api/analytics/query/ -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '${JSON.stringify(query()).replaceAll("'", "'\\''")}'`;
  const sql = () => query().measures.map((name) => byName.get(name)?.sql).filter(Boolean).join(";\n");
  const copied = h("span", { class: "quiet", role: "status" });
  const copy = (title, make) => h("button", { type: "button", onclick: async () => {
    try { await navigator.clipboard.writeText(make()); copied.textContent = t("Copied."); } catch (error) { copied.textContent = error.message; }
  } }, title);

  async function run() {
    result.replaceChildren(h("p", { class: "quiet" }, t("Loading…")));
    try {
      const answer = await call("POST", "/api/analytics/query/", query(), signal);
      result.replaceChildren(...shown(answer));
    } catch (error) {
      if (!signal.aborted) result.replaceChildren(note(error.message, "bad"));
    }
  }

  function shown(answer) {
    const found = { ...answer.annotation.timeDimensions, ...answer.annotation.dimensions, ...answer.annotation.measures };
    const columns = Object.entries(found).map(([name, about]) => ({
      title: about.unit ? `${about.title} (${about.unit})` : about.title, number: name in answer.annotation.measures,
      value: (row) => (typeof row[name] === "number" ? number(row[name], 2) : row[name] === null ? "–" : String(row[name])),
    }));
    const parts = [h("p", { class: "quiet" }, `${number(answer.rows)} ${t("rows")} · ${t("As of")} ${moment(answer.as_of)}`)];
    if (answer.suppressed) parts.push(note(`${number(answer.suppressed)} ${t("rows are about fewer than five people: their numbers are not shown.")}`));
    const labels = Object.keys({ ...answer.annotation.timeDimensions, ...answer.annotation.dimensions });
    if (labels.length && answer.data.length && answer.data.length <= MOST_POINTS) {
      parts.push(figure({
        type: Object.keys(answer.annotation.timeDimensions).length ? "line" : "bar", title: t("Result"),
        data: {
          labels: answer.data.map((row) => labels.map((name) => String(row[name] ?? "–")).join(" · ")),
          datasets: Object.entries(answer.annotation.measures).map(([name, about], i) => ({
            label: about.title, data: answer.data.map((row) => row[name]), backgroundColor: PALETTE[i % 6], borderColor: PALETTE[i % 6],
          })),
        },
      }));
    }
    parts.push(table(t("Result"), columns, answer.data));
    return parts;
  }

  changed();
  return h("div", {},
    pickers, h("div", { class: "bar" }, field(t("Time by"), granularity), field(t("Most rows"), limit)),
    h("details", {}, h("summary", {}, t("The query as JSON")), text),
    h("div", { class: "bar" }, h("button", { class: "main", type: "button", onclick: run }, t("Ask")), copy(t("Copy JSON"), () => text.value), copy(t("Copy SQL"), sql), copy(t("Copy curl"), curl), copied),
    exportButton(t("Export"), () => ({ query: query() })), result, await reports(query, signal));
}

// Saved as a report, where this suite has them: the same query, mailed by a schedule.
async function reports(query, signal) {
  const saved = await get("/api/analytics/reports/", signal).catch(() => null);
  if (saved === null) return "";
  const name = h("input", { required: true, maxlength: 200 });
  const cron = h("input", { value: "0 7 * * 1", required: true, dir: "ltr" });
  const format = select([["pdf", "PDF"], ["csv", "CSV"], ["xlsx", "XLSX"], ["html", "HTML"]], "pdf");
  const said = h("div", {});
  const form = h("form", { class: "bar" }, field(t("Name"), name), field(t("When (cron)"), cron), field(t("Format"), format), h("button", {}, t("Save as report")));
  const list = h("div", {});
  const draw = (rows) => list.replaceChildren(table(t("Reports"), [
    { title: t("Name"), value: (row) => row.name }, { title: t("Format"), value: (row) => row.format.toUpperCase() },
    { title: t("When (cron)"), value: (row) => row.schedule?.cron ?? "–" }, { title: t("Next"), value: (row) => moment(row.next_run_at) },
  ], rows));
  draw(saved.results);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
      await post("/api/analytics/reports/", { name: name.value, query: query(), format: format.value, schedule: { cron: cron.value, time_zone: zone }, recipients: [user().uuid] });
      draw((await get("/api/analytics/reports/")).results);
      said.replaceChildren(note(t("Saved.")));
    } catch (error) {
      said.replaceChildren(note(error.message, "bad"));
    }
  });
  return h("section", {}, h("h2", {}, t("Reports")), form, said, list);
}
