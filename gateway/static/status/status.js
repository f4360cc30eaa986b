// Shows /api/status/ (now) and /api/status/history/ (90 days). Either may fail without the other.
"use strict";

const NAMES = {
  gateway: "The platform as a whole", identity: "Accounts and signing in", catalog: "Courses and search",
  learning: "Lessons, quizzes, certificates", forum: "Discussions and chat", analytics: "Dashboards",
  notify: "Notifications and mail", support: "Help desk",
};
const WORDS = {ok: ["good", "works"], unavailable: ["some", "is interrupted"], down: ["bad", "does not answer"]};
const HOUR = 60; // checks of an hour: one a minute
const byId = (id) => document.getElementById(id);

function element(name, kind, text) {
  const made = document.createElement(name);
  made.className = kind;
  if (text) made.textContent = text;
  return made;
}

async function ask(path) {
  const answer = await fetch(path, {signal: AbortSignal.timeout(8000), credentials: "omit"});
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function part(name) {
  let item = byId(`part-${name}`);
  if (item) return item;
  item = element("li", "");
  item.id = `part-${name}`;
  const head = element("div", "name");
  head.append(element("span", "title", NAMES[name] || name), element("span", "state none", "not known"));
  item.append(head, element("div", "past"));
  byId("parts").append(item);
  return item;
}

function showState(name, state) {
  const [kind, words] = WORDS[state] || ["none", "not known"];
  const shown = part(name).querySelector(".state");
  shown.className = `state ${kind}`;
  shown.textContent = words;
}

function showNow(services) {
  const states = Object.entries(services);
  showState("gateway", "ok");
  for (const [name, state] of states) showState(name, state);
  const broken = states.filter(([, state]) => state !== "ok").map(([name]) => NAMES[name] || name);
  const banner = byId("now");
  banner.className = `banner ${broken.length ? "some" : "good"}`;
  banner.textContent = broken.length ? `Interrupted: ${broken.join("; ")}` : "Everything works.";
}

function kindOf(day) {
  if (!day || !day.checks) return "none";
  const missed = day.checks - day.good;
  return missed === 0 ? "good" : missed <= HOUR ? "some" : "bad";
}

function lastDays(count) {
  const now = Date.now();
  return Array.from({length: count}, (_, i) =>
    new Date(now - (count - 1 - i) * 86400000).toISOString().slice(0, 10));
}

function showPast(component, count) {
  const known = new Map(component.history.map((day) => [day.day, day]));
  const past = part(component.name).querySelector(".past");
  const bars = element("div", "days");
  const said = component.uptime === null ? "not measured yet" : `${component.uptime} % of the time`;
  bars.setAttribute("role", "img");
  bars.setAttribute("aria-label", `In the last ${count} days: ${said}`);
  const list = element("ul", "");
  for (const day of lastDays(count)) {
    const facts = known.get(day);
    const kind = kindOf(facts);
    const bar = element("span", `day ${kind}`);
    bar.title = facts ? `${day}: interrupted for ${facts.checks - facts.good} min` : `${day}: not measured`;
    bars.append(bar);
    if (kind === "some" || kind === "bad") list.prepend(element("li", "", bar.title));
  }
  past.replaceChildren(bars, element("div", "quiet", `${count} days: ${said}`));
  if (list.children.length) {
    const details = element("details", "");
    const days = list.children.length === 1 ? "1 day" : `${list.children.length} days`;
    details.append(element("summary", "", `${days} with interruptions`), list);
    past.append(details);
  }
}

async function refresh() {
  const now = ask("/api/status/").then(({services}) => {
    showNow(services);
    byId("asked").textContent = `Asked at ${new Date().toLocaleTimeString()}; again every minute.`;
  }).catch(() => {
    byId("now").className = "banner bad";
    byId("now").textContent = "The platform cannot be reached from here.";
    showState("gateway", "down");
    for (const name of Object.keys(NAMES).slice(1)) showState(name, "");
  });
  const past = ask("/api/status/history/").then(({days, components}) => {
    for (const component of components) showPast(component, days);
    byId("past").textContent = "";
  }).catch(() => {
    byId("past").textContent = "The history cannot be shown at the moment.";
  });
  await Promise.all([now, past]);
}

for (const name of Object.keys(NAMES)) part(name);
refresh();
setInterval(refresh, 60000);
