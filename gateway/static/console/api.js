// The public API with the user's own login. Tokens live as long as the tab does.
import { t } from "./i18n.js";

const KEY = "lectern.session";
let session = JSON.parse(sessionStorage.getItem(KEY) || "null");
let renewal = null;

export class Problem extends Error {
  constructor(body, status) {
    super(body.detail || `${t("The server answered")} ${status}`);
    Object.assign(this, { code: body.code, status, requestId: body.request_id });
  }
}

export const user = () => session?.user ?? null;

function keep(next) {
  session = next;
  if (next) sessionStorage.setItem(KEY, JSON.stringify(next));
  else sessionStorage.removeItem(KEY);
}

async function send(method, path, body, token, signal) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  const url = path.startsWith("http") ? new URL(path).pathname + new URL(path).search : path;
  return fetch(url, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
}

async function renew() {
  renewal ??= (async () => {
    const answer = await send("POST", "/api/accounts/refresh/", { refresh: session.refresh });
    if (answer.ok) keep({ ...session, ...(await answer.json()) });
    else if (answer.status < 500 && answer.status !== 429) keep(null);
    return answer.ok;
  })().finally(() => { renewal = null; });
  return renewal;
}

export async function call(method, path, body, signal) {
  let answer = await send(method, path, body, session?.access, signal);
  if (answer.status === 401 && session && (await renew())) answer = await send(method, path, body, session.access, signal);
  if (!answer.ok) {
    const problem = new Problem(await answer.json().catch(() => ({})), answer.status);
    if (answer.status === 401 && !session) window.dispatchEvent(new Event("signedout"));
    throw problem;
  }
  return answer.json();
}

export const get = (path, signal) => call("GET", path, undefined, signal);
export const post = (path, body = {}) => call("POST", path, body);

export async function file(url) {
  const answer = await send("GET", url, undefined, session.access);
  if (!answer.ok) throw new Problem(await answer.json().catch(() => ({})), answer.status);
  return answer.blob();
}

export async function login(email, password, otp) {
  const answer = await send("POST", "/api/accounts/login/", { email, password, ...(otp ? { otp } : {}) });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(body, answer.status);
  keep(body);
}

export async function logout() {
  await call("POST", "/api/accounts/logout/", {}).catch(() => {});
  keep(null);
}

// Names of people, each asked for once.
const names = new Map();
export function nameOf(uuid) {
  if (!names.has(uuid)) {
    names.set(uuid, get(`/api/accounts/users/${uuid}/`).then(
      (card) => [card.first_name, card.last_name].filter(Boolean).join(" ") || uuid, () => uuid));
  }
  return names.get(uuid);
}
