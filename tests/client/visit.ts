// Drives the code of docs/front-end.md against a running suite: LECTERN_URL and MAIL_URL say where.
import assert from "node:assert/strict";
import { WebSocket as NodeSocket } from "ws";
import { draw, type ChartObject } from "./charts.js";
import { CallFailed, unwrap } from "./errors.js";
import { QuizAttempt, type Given } from "./quiz.js";
import { Session, type Store, type Tokens } from "./session.js";
import { follow, type Frame } from "./sockets.js";

const url = process.env.LECTERN_URL!;
const mail = process.env.MAIL_URL!;
globalThis.WebSocket ??= NodeSocket as unknown as typeof WebSocket;

const PASSWORD = "Learn-together-1";
const email = `front.end.${Date.now()}@lectern.example`;

class Shared implements Store {
  tokens: Tokens | null = null;
  load = () => this.tokens;
  save = (tokens: Tokens | null) => void (this.tokens = tokens);
}

async function eventually<Value>(probe: () => Promise<Value | undefined> | Value | undefined): Promise<Value> {
  for (const until = Date.now() + 20_000; Date.now() < until; await new Promise((go) => setTimeout(go, 50))) {
    const value = await probe();
    if (value) return value;
  }
  throw new Error("not within 20 s");
}

async function register(session: Session, email: string, role: "student" | "teacher"): Promise<void> {
  const body = { email, password: PASSWORD, first_name: "Ada", last_name: "Front", role };
  unwrap(await session.api.POST("/api/accounts/register/", { body }));
  const code = await eventually(async () => {
    const mails = (await (await fetch(`${mail}/api/messages`)).json()) as { to: unknown; text: string }[];
    return mails.find((each) => JSON.stringify(each.to).includes(email))?.text.match(/\b\d{6}\b/)?.[0];
  });
  unwrap(await session.api.POST("/api/accounts/verify-email/", { body: { email, verification_code: code } }));
}

const store = new Shared();
const first = new Session(url, store);
const second = new Session(url, store); // the other tab

// errors
const refused = await first.login(email, "wrong").catch((error: unknown) => error);
assert(refused instanceof CallFailed);
assert.equal(refused.problem.status, 401);
await register(first, email, "student");
const form = await first.api
  .POST("/api/accounts/register/", {
    body: { email: "none", password: "short", first_name: "A", last_name: "B", role: "student" },
  })
  .then(unwrap)
  .catch((error: unknown) => error);
assert(form instanceof CallFailed);
assert.equal(form.problem.status, 422);
assert(form.field("email"));

// two tabs with a dead access token refresh at once: both go on, with the same pair
const user = await first.login(email, PASSWORD);
assert.equal(user.email, email);
const before = store.tokens!;
store.save({ ...before, access: `${before.access.slice(0, -8)}AAAAAAAA` });
const [one, two] = await Promise.all([first, second].map((tab) => tab.api.GET("/api/accounts/users/me/")));
assert.equal(unwrap(one!).uuid, user.uuid);
assert.equal(unwrap(two!).uuid, user.uuid);
assert.notEqual(store.tokens!.refresh, before.refresh);

// a write that was read once already is repeated whole after a refresh
store.save({ ...store.tokens!, access: `${store.tokens!.access.slice(0, -8)}AAAAAAAA` });
const changed = unwrap(await second.api.PATCH("/api/accounts/users/me/", { body: { bio: "Curious." } }));
assert.equal(changed.profile.bio, "Curious.");

// a socket is ready, tells the number of unread notifications, and ends with the session
const frames: Frame[] = [];
const stop = follow(first, "/ws/notifications/", (frame) => frames.push(frame));
await eventually(() => frames.find((frame) => frame.type === "ready"));
await eventually(() => frames.find((frame) => frame.type === "unread_count"));
stop();

// a quiz: taken up again by the other tab, saved as one goes, handed in twice with one result
const teaching = new Session(url, new Shared());
await register(teaching, `teacher.${email}`, "teacher");
await teaching.login(`teacher.${email}`, PASSWORD);
const description = "A course that is long enough to say what it is about, and no more than that.";
const course = unwrap(await teaching.api.POST("/api/courses/", { body: { title: "Graphs", description } })).uuid;
const module = unwrap(await teaching.api.POST("/api/modules/", { body: { course, title: "One" } }));
const lesson = { module: module.uuid, title: "First", content_type: "text" as const, text_content: "Read." };
const inCourse = { params: { path: { uuid: course } } };
unwrap(await teaching.api.POST("/api/courses/{course}/lessons/", { params: { path: { course } }, body: lesson }));
unwrap(await teaching.api.POST("/api/courses/{uuid}/publish/", inCourse));
const quiz = await eventually(async () => {
  const body = { course, title: "Check", time_limit_seconds: 600 };
  return (await teaching.api.POST("/api/quizzes/", { body })).data;
});
const inQuiz = { params: { path: { uuid: quiz.uuid } } };
for (const body of [
  { kind: "ordering" as const, text: "Sort", items: ["edge", "path", "graph"] },
  { kind: "true_false" as const, text: "Is it?", correct: true },
])
  unwrap(await teaching.api.POST("/api/quizzes/{uuid}/questions/", { ...inQuiz, body }));
unwrap(await teaching.api.POST("/api/quizzes/{uuid}/publish/", inQuiz));
await eventually(async () => (await first.api.POST("/api/courses/{uuid}/enroll/", { ...inCourse, body: {} })).data);
const attempt = await QuizAttempt.start(first, quiz.uuid);
const elsewhere = await QuizAttempt.start(second, quiz.uuid);
assert.equal(elsewhere.attempt.uuid, attempt.attempt.uuid);
assert(attempt.secondsLeft! > 590);
const [ordering, truth] = attempt.attempt.questions;
const wanted: Given = ["edge", "path", "graph"].map((text) => ordering!.items!.find((item) => item.text === text)!.uuid);
void attempt.give(truth!.uuid, false);
void attempt.give(ordering!.uuid, wanted);
await attempt.give(truth!.uuid, true);
const results = await Promise.all([attempt.submit(), elsewhere.submit()]);
assert.deepEqual(results.map((each) => [each.status, each.percentage]), [["graded", 100], ["graded", 100]]);

// Chart.js draws every chart of every dashboard as it comes
const subject = "Where are the charts?";
const ticket = { subject, description: "They are to be drawn with what the API answers.", category: "technical" };
unwrap(await first.api.POST("/api/core/support-tickets/", { body: ticket }));
const inLesson = async () => {
  const lessons = unwrap(await first.api.GET("/api/courses/{course}/lessons/", { params: { path: { course } } }));
  const path = { course, lesson: lessons.results[0]!.uuid };
  return (await first.api.POST("/api/courses/{course}/lessons/{lesson}/complete/", { params: { path } })).data;
};
await eventually(inLesson);
const manager = new Session(url, new Shared());
await manager.login(process.env.ADMIN_EMAIL!, process.env.ADMIN_PASSWORD!);
let drawn = 0;
for (const [name, read] of Object.entries({
  student: async () => unwrap(await first.api.GET("/api/core/analytics/student/")).charts,
  teacher: async () => unwrap(await teaching.api.GET("/api/core/analytics/teacher/")).charts,
  course: async () => unwrap(await teaching.api.GET("/api/courses/{uuid}/analytics/", inCourse)).charts,
  platform: async () => unwrap(await manager.api.GET("/api/core/analytics/platform/")).charts,
})) {
  const charts = await eventually(async () => {
    const found: Record<string, ChartObject> = await read();
    return Object.values(found).every((chart) => chart.data.labels.length > 0) ? found : undefined;
  });
  assert(Object.keys(charts).length >= 3, name);
  for (const chart of Object.values(charts)) drawn += draw(chart) > 0 ? 1 : 0;
}
assert(drawn >= 14);
console.log(`Chart.js draws ${drawn} charts of the dashboards`);

// logged out in one tab is logged out in the other
await first.logout();
assert.equal((await second.api.GET("/api/accounts/users/me/")).response.status, 401);
console.log("the front end's page holds");
process.exit(0);
