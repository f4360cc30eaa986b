// The shell: who is signed in, where one is, and the page that belongs there.
import { login, logout, user } from "./api.js";
import { forget, onTheme } from "./charts.js";
import { field, h, note, select } from "./dom.js";
import { language, setLanguage, t } from "./i18n.js";
import * as course from "./pages/course.js";
import * as dashboards from "./pages/dashboards.js";
import * as operations from "./pages/operations.js";
import * as query from "./pages/query.js";

const RANK = ["student", "teacher", "moderator", "manager", "admin"];
const PAGES = [
  { path: "student", title: "My learning", from: 0, show: dashboards.student },
  { path: "teacher", title: "Teaching", from: 1, show: dashboards.teacher },
  { path: "platform", title: "Platform", from: 3, show: dashboards.platform },
  { path: "query", title: "Numbers", from: 1, show: query.show },
  { path: "operations", title: "Operations", from: 4, show: operations.show },
  { path: "course", title: "Course", from: 1, hidden: true, show: course.show },
];

let leave = null;
const rank = () => RANK.indexOf(user()?.role);
const home = () => ["student", "teacher", "teacher", "platform", "operations"][Math.max(0, rank())];

function languages() {
  const control = select([["en", "English"], ["ar", "العربية"]], language(), { "aria-label": t("Language") });
  control.addEventListener("change", () => { setLanguage(control.value); show(); });
  return control;
}

function showLogin(failure) {
  const email = h("input", { type: "email", name: "email", autocomplete: "username", required: true });
  const password = h("input", { type: "password", name: "password", autocomplete: "current-password", required: true });
  const otp = h("input", { name: "otp", inputmode: "numeric", autocomplete: "one-time-code" });
  const second = field(t("Code of your authenticator"), otp);
  second.hidden = failure?.code !== "otp_required";
  const form = h("form", {}, field(t("E-mail"), email), field(t("Password"), password), second,
    h("button", { class: "main" }, t("Sign in")), languages());
  const said = h("div", {}, failure && note(failure.message, "bad"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await login(email.value, password.value, otp.value.trim());
      location.hash = `#/${home()}`;
      show();
    } catch (error) {
      second.hidden = second.hidden && error.code !== "otp_required";
      said.replaceChildren(note(error.message, "bad"));
    }
  });
  document.body.replaceChildren(h("main", { class: "login" }, h("h1", {}, "Lectern"), said, form));
  email.focus();
}

function shell(active, content) {
  const links = PAGES.filter((page) => !page.hidden && rank() >= page.from).map((page) =>
    h("a", { href: `#/${page.path}`, "aria-current": page.path === active ? "page" : null }, t(page.title)));
  const out = h("button", { onclick: async () => { await logout(); location.hash = ""; showLogin(); } }, t("Sign out"));
  document.body.replaceChildren(
    h("a", { class: "skip", href: "#content" }, t("To the content")),
    h("header", {}, h("a", { class: "brand", href: `#/${home()}` }, "Lectern"), h("nav", { "aria-label": t("Pages") }, links),
      h("span", { class: "who" }, h("bdi", {}, user().email)), languages(), out),
    h("main", { id: "content", tabindex: "-1" }, content));
}

async function show() {
  document.documentElement.lang = language();
  document.documentElement.dir = language() === "ar" ? "rtl" : "ltr";
  leave?.abort();
  forget();
  if (!user()) return showLogin();
  leave = new AbortController();
  const signal = leave.signal;
  const [path, parameters = ""] = location.hash.replace(/^#\//, "").split("?");
  const [name, ...rest] = path.split("/");
  const page = PAGES.find((each) => each.path === name && rank() >= each.from) ?? PAGES.find((each) => each.path === home());
  const place = h("div", { "aria-live": "polite" }, h("p", { class: "quiet" }, t("Loading…")));
  shell(page.path, h("div", {}, h("h1", {}, t(page.title)), place));
  document.title = `${t(page.title)} · Lectern`;
  try {
    const content = await page.show({ signal, rest, parameters: new URLSearchParams(parameters) });
    if (!signal.aborted) { place.removeAttribute("aria-live"); place.replaceChildren(content); }
  } catch (error) {
    if (signal.aborted) return;
    if (!user()) return showLogin(error);
    place.replaceChildren(note(error.message, "bad"), error.requestId ? h("p", { class: "quiet" }, `${t("Request")} ${error.requestId}`) : "",
      h("button", { onclick: show }, t("Try again")));
  }
}

window.addEventListener("hashchange", () => { if (location.hash !== "#content") show(); });
window.addEventListener("signedout", () => showLogin());
onTheme(show);
show();
