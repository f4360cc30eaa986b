// An export with its progress, and its file when it is written.
import { file, get, post } from "../api.js";
import { field, h, note, number, select } from "../dom.js";
import { t } from "../i18n.js";

const FORMATS = ["csv", "xlsx", "ndjson", "parquet"].map((name) => [name, name.toUpperCase()]);
const rest = (ms) => new Promise((done) => setTimeout(done, ms));

export async function watch(job, path, place, title) {
  const bar = h("progress", { max: 100, value: job.percent, "aria-label": title });
  const text = h("span", { class: "quiet" });
  place.replaceChildren(bar, " ", text);
  for (let wait = 200; place.isConnected && ["queued", "running"].includes(job.status); wait = Math.min(wait * 1.5, 3000)) {
    await rest(wait);
    job = await get(path);
    bar.value = job.percent;
    text.textContent = `${number(job.percent)} %`;
  }
  return job;
}

export function exportButton(title, asked) {
  const format = select(FORMATS, "csv", { "aria-label": t("Format") });
  const place = h("span", { role: "status" });
  const button = h("button", { type: "button" }, title);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const body = typeof asked === "function" ? asked() : asked;
      const job = await post("/api/analytics/exports/", { ...body, format: format.value });
      const path = `/api/jobs/analytics/${job.uuid}/`;
      const done = await watch(job, path, place, title);
      if (done.status === "done") {
        const link = h("a", { href: URL.createObjectURL(await file(done.result_url)), download: `lectern.${done.format}` },
          `${t("Download")} (${number(done.manifest.rows)} ${t("rows")})`);
        place.replaceChildren(link);
        link.focus();
      } else place.replaceChildren(note(done.error ?? done.status, "bad"));
    } catch (error) {
      place.replaceChildren(note(error.message, "bad"));
    } finally {
      button.disabled = false;
    }
  });
  return h("div", { class: "bar" }, field(t("Format"), format), button, place);
}
