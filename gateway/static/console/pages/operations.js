// Operators: processes, lag and outbox as they change, dead letters, audit, rebuild, recent errors.
import { get, post } from "../api.js";
import { liveLine } from "../charts.js";
import { duration, field, h, moment, note, number, select, table } from "../dom.js";
import { t, titled } from "../i18n.js";
import { watch } from "./exports.js";

const SERVICES = ["identity", "catalog", "learning", "forum", "analytics", "notify", "support"];
const EVERY = 5000;
const PATIENCE = 5000;

const state = (text) => h("span", { class: `state ${{ running: "good", ok: "good", halted: "bad", silent: "bad", away: "bad", missing: "bad" }[text] ?? "some"}` }, titled(text));
const look = async (service, signal) => get(`/api/ops/${service}/`, signal).catch((error) => ({ service, failure: error.message, processes: [], waiting: [], links: {}, subscribes: [], publishes: [] }));
const lagOf = (one) => Math.max(0, ...one.processes.flatMap((p) => p.consumers.map((c) => c.lag_seconds)));

export async function show({ signal }) {
  const lag = liveLine(t("Consumer lag, seconds"), SERVICES);
  const outbox = liveLine(t("Age of the oldest event in the outbox, seconds"), SERVICES);
  const processes = h("div", {}), waiting = h("div", {}), errors = h("div", {}), links = h("p", {}), letters = h("div", {}), detail = h("div", {});
  let all = [];

  async function refresh() {
    all = await Promise.all(SERVICES.map((service) => look(service, signal)));
    if (signal.aborted) return;
    lag.add(all.map(lagOf));
    outbox.add(all.map((one) => one.outbox?.oldest_seconds ?? null));
    processes.replaceChildren(table(t("Processes"), [
      { title: t("Service"), value: (row) => row.service }, { title: t("Kind"), value: (row) => titled(row.kind) }, { title: t("State"), value: (row) => state(row.status) },
      { title: t("Release"), value: (row) => row.release }, { title: t("Since"), value: (row) => moment(row.started_at) },
      { title: t("Lag"), number: true, value: (row) => (row.consumers?.length ? row.consumers.map((c) => `${number(c.lag)} / ${duration(c.lag_seconds)}`).join(", ") : "–") },
      { title: t("Connections"), number: true, value: (row) => (row.connections ? `${number(row.connections.taken)} / ${number(row.connections.most)}` : "–") },
      { title: t("Sockets"), number: true, value: (row) => row.sockets ?? "–" },
      { title: t("Memory at most, MB"), number: true, value: (row) => (row.memory_peak_bytes ? Math.round(row.memory_peak_bytes / 1e6) : "–") },
    ], all.flatMap((one) => one.failure ? [{ service: one.service, kind: "api", status: "away" }] : one.processes.map((p) => ({ ...p, service: one.service })))));
    waiting.replaceChildren(table(t("What waits"), [
      { title: t("Service"), value: (row) => row.service }, { title: t("What"), value: (row) => row.what }, { title: t("How many"), number: true, value: (row) => row.count ?? "–" },
      { title: t("Oldest"), number: true, value: (row) => duration(row.age) },
    ], all.filter((one) => !one.failure).flatMap((one) => [
      { service: one.service, what: t("events in the outbox"), count: one.outbox.pending, age: one.outbox.oldest_seconds },
      { service: one.service, what: t("dead letters"), count: one.dead_letters.waiting, age: null },
      ...one.waiting.map((job) => ({ service: one.service, what: job.task, age: job.oldest_seconds })),
    ])));
    errors.replaceChildren(table(t("Recent errors"), [
      { title: t("When"), value: (row) => moment(row.at) }, { title: t("Service"), value: (row) => row.service }, { title: t("What"), value: (row) => row.event },
      { title: t("Error"), value: (row) => row.error ?? "–" }, { title: t("Request"), value: (row) => row.request_id ?? "–" },
    ], all.flatMap((one) => one.processes.flatMap((p) => p.errors.map((e) => ({ ...e, service: one.service })))).sort((a, b) => (a.at < b.at ? 1 : -1)).slice(0, 50)));
    const known = Object.assign({}, ...all.map((one) => one.links));
    links.replaceChildren(...Object.entries(known).flatMap(([name, url]) => [h("a", { href: url, rel: "noreferrer" }, name), " "]));
  }

  async function listLetters() {
    const found = await Promise.all(SERVICES.map(async (service) => (await get(`/api/ops/${service}/dead-letters/?page_size=100`, signal)).results.map((row) => ({ ...row, service }))));
    letters.replaceChildren(table(t("Dead letters"), [
      { title: t("Service"), value: (row) => row.service }, { title: t("Topic"), value: (row) => row.topic }, { title: t("Key"), value: (row) => row.key ?? "–" },
      { title: t("Reason"), value: (row) => titled(row.reason) }, { title: t("Waiting"), number: true, value: (row) => row.waiting }, { title: t("Since"), value: (row) => moment(row.since) },
      { title: t("Error"), value: (row) => row.error ?? "–" },
      { title: t("Do"), value: (row) => h("span", {}, h("button", { onclick: () => open(row) }, t("Look")), " ",
        row.key && h("button", { onclick: () => redrive(row, true) }, t("Try")), " ", row.key && h("button", { onclick: () => redrive(row, false) }, t("Apply again"))) },
    ], found.flat(), t("Every event has been applied.")));
  }

  async function open(row) {
    const letter = await get(`/api/ops/${row.service}/dead-letters/${row.letter}/`);
    let payload = letter.payload;
    try { payload = JSON.stringify(JSON.parse(payload), null, 2); } catch { /* shown as it came */ }
    detail.replaceChildren(h("h3", {}, `${letter.type ?? letter.topic} · ${letter.sequence ?? ""}`), note(letter.error ?? titled(letter.reason), "bad"), h("pre", { dir: "ltr", tabindex: "0" }, payload ?? t("nothing")));
  }

  async function redrive(row, dry) {
    try {
      const { results: [done] } = await post(`/api/ops/${row.service}/dead-letters/redrive/`, { topic: row.topic, key: row.key, dry_run: dry });
      const said = !done ? t("Nothing waits any more.") : done.result === "failed" ? done.error : `${titled(done.result)}: ${number(done.applied)}`;
      detail.replaceChildren(note(said, done?.result === "failed" ? "bad" : ""));
    } catch (error) {
      detail.replaceChildren(note(error.message, "bad"));
    }
    await listLetters();
  }

  await refresh();
  await listLetters();
  const timer = setInterval(() => { if (!document.hidden) refresh().catch(() => {}); }, EVERY);
  signal.addEventListener("abort", () => clearInterval(timer));
  return h("div", {}, links, h("div", { class: "charts" }, lag.element, outbox.element),
    h("h2", {}, t("Processes")), processes, h("h2", {}, t("What waits")), waiting,
    h("h2", {}, t("Dead letters")), letters, h("div", { role: "status" }, detail),
    h("h2", {}, t("Audit: published = applied + parked")), auditor(() => all, signal), h("h2", {}, t("Read models of analytics")), await rebuilder(signal),
    h("h2", {}, t("Recent errors")), errors, h("h2", {}, t("Acts of power")), acts(signal));
}

// Both halves are told by the services; they are put together here, key by key.
function auditor(all, signal) {
  const place = h("div", { role: "status" });
  const button = h("button", { class: "main" }, t("Compare now"));
  button.addEventListener("click", async () => {
    button.disabled = true;
    try { place.replaceChildren(...(await audit(all(), place, signal))); } catch (error) { place.replaceChildren(note(error.message, "bad")); }
    button.disabled = false;
  });
  return h("div", {}, h("div", { class: "bar" }, button), place);
}

async function audit(services, place, signal) {
  const pairs = services.flatMap((from) => from.publishes.map((topic) => ({ from: from.service, topic, to: services.filter((s) => s.subscribes.includes(topic)).map((s) => s.service) })));
  const bar = h("progress", { max: pairs.length, value: 0, "aria-label": t("Audit") });
  place.replaceChildren(bar);
  const balances = [];
  for (const [done, { from, topic, to }] of pairs.entries()) {
    const sums = new Map(to.map((service) => [service, { service, topic, published: 0, applied: 0, parked: 0, missing: [] }]));
    for (let after = ""; after !== null;) {
      const page = await get(`/api/ops/${from}/versions/?topic=${encodeURIComponent(topic)}&after=${encodeURIComponent(after)}`, signal);
      for (const sum of sums.values()) {
        const weighed = await weigh(sum.service, topic, page.versions);
        for (const name of ["published", "applied", "parked"]) sum[name] += weighed[name];
        sum.missing.push(...weighed.missing);
      }
      after = page.next;
    }
    balances.push(...sums.values());
    bar.value = done + 1;
  }
  const bad = balances.filter((balance) => balance.missing.length);
  return [
    note(`${number(balances.length - bad.length)} / ${number(balances.length)} ${t("balances hold")}`, bad.length ? "bad" : ""),
    table(t("Balances"), [
      { title: t("State"), value: (row) => state(row.missing.length ? "missing" : "ok") }, { title: t("Service"), value: (row) => row.service }, { title: t("Topic"), value: (row) => row.topic },
      { title: t("Published"), number: true, value: (row) => row.published }, { title: t("Applied"), number: true, value: (row) => row.applied }, { title: t("Parked"), number: true, value: (row) => row.parked },
      { title: t("Keys that differ"), value: (row) => row.missing.slice(0, 20).map((key) => key.key).join(" ") || "–" },
    ], balances),
  ];
}

// Events need a moment on their way: what is missing is looked at again before it is said to be.
async function weigh(service, topic, versions) {
  const ask = () => post(`/api/ops/${service}/balances/`, { topic, versions });
  let sum = await ask();
  for (const until = Date.now() + PATIENCE; sum.missing.length && Date.now() < until;) {
    await new Promise((done) => setTimeout(done, 500));
    sum = await ask();
  }
  return sum;
}

async function rebuilder(signal) {
  const place = h("div", { role: "status" });
  const list = h("div", {});
  const draw = async () => list.replaceChildren(table(t("Rebuilds"), [
    { title: t("When"), value: (row) => moment(row.created_at) }, { title: t("State"), value: (row) => state(row.status) }, { title: t("Percent"), number: true, value: (row) => row.percent },
    { title: t("Events"), number: true, value: (row) => row.events ?? "–" }, { title: t("Keys that differ"), value: (row) => row.differing.join(", ") || "–" },
  ], (await get("/api/ops/analytics/rebuilds/", signal)).results));
  await draw();
  const button = h("button", {}, t("Rebuild from the event log"));
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const job = await post("/api/ops/analytics/rebuilds/");
      const done = await watch(job, `/api/ops/analytics/rebuilds/${job.uuid}/`, place, t("Rebuilds"));
      place.replaceChildren(note(done.error ?? t("The digests are equal."), done.error ? "bad" : ""));
    } catch (error) {
      place.replaceChildren(note(error.message, "bad"));
    }
    button.disabled = false;
    await draw();
  });
  return h("div", {}, h("div", { class: "bar" }, button), place, list);
}

function acts(signal) {
  const service = select(SERVICES.map((name) => [name, name]), "identity");
  const list = h("div", {});
  const draw = async () => {
    const { results } = await get(`/api/ops/${service.value}/audit-log/`, signal);
    list.replaceChildren(table(t("Acts of power"), [
      { title: t("When"), value: (row) => moment(row.at) }, { title: t("Who"), value: (row) => row.actor ?? row.operator }, { title: t("What"), value: (row) => row.action },
      { title: t("Whom"), value: (row) => row.target }, { title: t("Reason"), value: (row) => row.reason || "–" }, { title: t("Request"), value: (row) => row.request_id || "–" },
    ], results));
  };
  service.addEventListener("change", draw);
  draw().catch(() => {});
  return h("div", {}, h("div", { class: "bar" }, field(t("Service"), service)), list);
}
