// The tab of runs: filter, details with curves, select several and compare, continue, score, tag, delete.
import { onScheme } from "/shared/colours.js";
import { curve, short } from "./plot.js";

const $ = (id) => document.getElementById(id);
const SHOWN = ["train/return", "eval/return", "learn/loss", "time/steps_per_second"]; // curves that come first
let shared, listing = { runs: [] };
const rows = new Map(); // name -> { element, run }
const marked = new Set(); // names of the selected runs

export function begin(given) {
  shared = given;
  $("run-filter").addEventListener("input", filter);
  $("run-state").addEventListener("change", filter);
  $("do-compare").addEventListener("click", (event) => shared.once(event.currentTarget, compare));
  $("do-board").addEventListener("click", (event) => {
    shared.tell("TensorBoard starts ...");
    shared.once(event.currentTarget, () => shared.ask("tensorboard", [...marked]));
  });
  $("do-delete").addEventListener("click", async (event) => {
    const button = event.currentTarget, names = [...marked];
    if (!(await sure(`Move ${names.length === 1 ? names[0] : `${names.length} runs`} to the trash? It can be restored until the trash is emptied.`))) return;
    if (await shared.once(button, () => shared.ask("delete", names))) marked.clear();
    buttons();
  });
  $("do-restore").addEventListener("click", (event) => shared.once(event.currentTarget, () => shared.ask("restore")));
  onScheme(() => [...rows.values()].forEach(paint));
  addEventListener("resize", () => [...rows.values()].forEach(paint));
}

export function enter(name) {
  for (const row of rows.values()) paint(row);
  if (name && rows.has(name)) toggle(rows.get(name), true);
  else if (name) wanted = name;
}
let wanted = ""; // a run that is to be opened once it is listed

export function refresh(found) {
  listing = found;
  const names = new Set(found.runs.map((run) => run.name));
  for (const [name, row] of rows)
    if (!names.has(name)) {
      row.element.remove();
      rows.delete(name);
      marked.delete(name);
    }
  let before = null;
  for (const run of found.runs) {
    const row = rows.get(run.name) ?? made(run);
    row.run = run;
    const place = before ? before.nextSibling : $("run-list").firstChild;
    if (place !== row.element) $("run-list").insertBefore(row.element, place);
    put(row); // on the page already, so that its curve has a size
    before = row.element;
  }
  $("do-restore").hidden = !found.trash;
  $("do-restore").textContent = `Restore ${found.trash} from trash`;
  filter();
  buttons();
  if (wanted && rows.has(wanted)) toggle(rows.get(wanted), true), (wanted = "");
}

function made(run) {
  const element = $("run").content.firstElementChild.cloneNode(true);
  const row = { element, run, open: false, steps: -1 };
  rows.set(run.name, row);
  element.dataset.run = run.name;
  element.querySelector("input").setAttribute("aria-label", `Select ${run.name}`);
  element.querySelector("input").addEventListener("change", ({ target }) => {
    marked[target.checked ? "add" : "delete"](run.name);
    buttons();
  });
  element.querySelector(".name").addEventListener("click", () => toggle(row, !row.open));
  return row;
}

export const score = (run) => (run.score ? `${Number(run.score.value.toPrecision(4))}` : run.live?.["train/return"] !== undefined ? `${Number(run.live["train/return"].toPrecision(4))}` : "");

function put(row) {
  const { element, run } = row, find = (name) => element.querySelector(name);
  find(".name").textContent = run.name;
  find(".state").textContent = run.state;
  find(".state").className = `state ${run.state}`;
  find(".tags").replaceChildren(...run.tags.map((tag) => Object.assign(document.createElement("span"), { textContent: tag })));
  const under = document.createElement("small");
  under.textContent = run.fault || (run.score ? `${run.score.protocol}${run.score.games ? `, ${run.score.games} games` : ""}` : run.live?.["train/return"] !== undefined ? "in training" : "no score yet");
  find(".score").replaceChildren(score(run), under);
  find("input").checked = marked.has(run.name);
  const bar = find("progress"), share = run.budget ? run.steps / run.budget : 0;
  bar.value = share;
  bar.hidden = run.state !== "training" && run.state !== "unfinished";
  bar.setAttribute("aria-label", `progress of ${run.name}`);
  const minutes = run.minutes ? ` · ${run.minutes < 10 ? run.minutes.toFixed(1) : Math.round(run.minutes)} min` : "";
  find(".progress small").textContent = `${short(run.steps)}${run.budget && run.state !== "finished" && run.state !== "reference" ? ` of ${short(run.budget)}` : ""} steps${minutes} · ${run.size}`;
  find(".spark").setAttribute("aria-label", run.spark?.length ? `return in training, from ${short(run.spark[0][2])} to ${short(run.spark[run.spark.length - 1][2])}` : "no curve yet");
  if (row.steps !== run.steps || row.state !== run.state) {
    paint(row);
    if (row.open) detail(row);
  }
  row.steps = run.steps;
  row.state = run.state;
}

const paint = (row) => !$("panel-runs").hidden && curve(row.element.querySelector(".spark"), row.run.spark ?? [], { bare: true });

function filter() {
  const words = $("run-filter").value.toLowerCase().split(/\s+/).filter(Boolean), state = $("run-state").value;
  let left = 0;
  for (const { element, run } of rows.values()) {
    const text = [run.name, run.state, run.game, run.agent, ...run.tags].join(" ").toLowerCase();
    element.hidden = !words.every((word) => text.includes(word)) || (state && run.state !== state);
    left += !element.hidden;
  }
  $("no-runs").hidden = left > 0;
}

function buttons() {
  const chosen = [...marked].map((name) => rows.get(name)?.run).filter(Boolean);
  $("chosen").textContent = chosen.length ? `${chosen.length} selected` : "";
  $("do-compare").disabled = $("do-board").disabled = !chosen.length;
  $("do-delete").disabled = !chosen.length || chosen.some((run) => run.reference || run.state === "training");
}

export function sure(text) {
  $("sure").querySelector("p").textContent = text;
  $("sure").returnValue = "no";
  $("sure").showModal();
  return new Promise((done) => $("sure").addEventListener("close", () => done($("sure").returnValue === "yes"), { once: true }));
}

// Details of one run: what to do with it, its curves, its evaluations.
function toggle(row, open) {
  row.open = open;
  row.element.querySelector(".name").setAttribute("aria-expanded", open);
  row.element.querySelector(".detail").hidden = !open;
  if (open) detail(row);
}

async function detail(row) {
  const found = await shared.get(`run?name=${encodeURIComponent(row.run.name)}`);
  if (!found || !row.open) return;
  const box = row.element.querySelector(".detail");
  if (!box.firstChild) box.append(actions(row), make("div", "charts"), make("div", "scroll"), make("p", "quiet"));
  say(row, box.querySelector(".actions"));
  const tags = [...SHOWN, ...Object.keys(found.curves).filter((tag) => !tag.startsWith("clock/"))].filter((tag, i, all) => all.indexOf(tag) === i && found.curves[tag]?.length > 1).slice(0, 4);
  const charts = box.querySelector(".charts");
  if ([...charts.children].map((c) => c.dataset.tag).join() !== tags.join())
    charts.replaceChildren(...tags.map((tag) => {
      const figure = make("figure", "chart"), caption = make("figcaption"), canvas = make("canvas");
      figure.dataset.tag = tag;
      canvas.setAttribute("role", "img");
      figure.append(caption, canvas);
      return figure;
    }));
  for (const figure of charts.children) {
    const points = found.curves[figure.dataset.tag], last = points[points.length - 1][2];
    figure.querySelector("figcaption").replaceChildren(make("span", "", figure.dataset.tag), make("output", "", short(last)));
    figure.querySelector("canvas").setAttribute("aria-label", `${figure.dataset.tag} over steps, now ${short(last)}`);
    curve(figure.querySelector("canvas"), points);
  }
  const told = found.evaluations.slice().reverse();
  box.querySelector(".scroll").replaceChildren(...(told.length ? [table(["score", "median", "games", "protocol", "policy", "step", "when"], told.map((e) => [e.mean, e.median, e.episodes, e.under ? `${e.protocol} (${e.under})` : e.protocol, e.policy, e.step, e.time ?? ""]))] : []));
  box.querySelector(":scope > p").textContent = [`${found.config.command ?? ""}`, ...row.run.remarks].filter(Boolean).join(" — ");
  const videos = box.querySelector("[data-do=video]");
  videos.hidden = !found.videos.length;
  videos.onclick = () => window.open(`data/video?run=${encodeURIComponent(row.run.name)}&file=${encodeURIComponent(found.videos[0])}`, "_blank", "noopener");
}

const make = (kind, name = "", text = "") => Object.assign(document.createElement(kind), { className: name, textContent: text });

export function table(header, lines) {
  const made = make("table"), head = made.createTHead().insertRow();
  for (const cell of header) head.append(Object.assign(make("th", "", cell), { scope: "col" }));
  const body = made.createTBody();
  for (const line of lines) {
    const row = body.insertRow();
    for (const cell of line) row.insertCell().textContent = typeof cell === "number" ? Number(cell.toPrecision(5)).toLocaleString("en") : cell ?? "";
  }
  return made;
}

const DO = [
  ["watch", "Watch"], ["live", "Watch it learn"], ["stop", "Stop"], ["resume", "Continue"], ["evaluate", "Score 30 games"], ["tag", "Tag ..."], ["video", "Video"],
];
function actions(row) {
  const bar = make("div", "actions");
  for (const [name, text] of DO) {
    const button = make("button", "", text);
    button.dataset.do = name;
    if (name !== "video") button.addEventListener("click", () => shared.once(button, () => act(row.run, name)));
    bar.append(button);
  }
  return bar;
}

function say(row, bar) {
  const { run } = row, training = run.state === "training";
  const on = { watch: true, live: training, stop: training, resume: run.resumable && !training, evaluate: run.resumable && !training, tag: !run.reference };
  for (const [name, shown] of Object.entries(on)) bar.querySelector(`[data-do=${name}]`).hidden = !shown;
}

async function act(run, name) {
  if (name === "watch" || name === "live") {
    shared.tell("loading the agent ...");
    return shared.ask("visit", { mode: name, what: [run.name] });
  }
  if (name === "stop") return shared.ask("stop", { run: run.name });
  if (name === "evaluate") return (await shared.ask("evaluate", { run: run.name, episodes: 30 })) && shared.go("train");
  if (name === "tag") {
    const tag = prompt(`A tag for ${run.name} (a tag that it has already is taken away)`);
    return tag && shared.ask("tag", { run: run.name, tag, remove: run.tags.includes(tag) });
  }
  const more = run.state === "finished" ? { run: run.name, steps: 2 * run.steps } : { run: run.name };
  return (await shared.ask("resume", more)) && shared.go("train");
}

// The comparison of the selected runs: the tables and plots of `compare`.
async function compare() {
  shared.tell("comparing ...");
  const found = await shared.ask("compare", [...marked]);
  if (!found) return;
  shared.tell("");
  const box = $("comparison"), close = make("button", "", "Close");
  close.addEventListener("click", () => (box.hidden = true));
  const bar = make("div", "bar");
  bar.append(make("b", "", found.headline), make("span", "grow"), close);
  const picture = Object.assign(make("img"), { src: found.picture, alt: "Learning curves over steps and over time, and the score of each seed" });
  const parts = found.tables.flatMap((t) => {
    const scroll = make("div", "scroll");
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", t.title);
    scroll.append(table(t.header, t.rows));
    return [make("h3", "", t.title), scroll, make("p", "quiet", t.remark)];
  });
  const lists = found.lists.flatMap((l) => {
    const list = make("ul");
    list.append(...l.lines.map((line) => make("li", "", line)));
    return [make("h3", "", l.title), list];
  });
  box.replaceChildren(bar, picture, ...parts, ...lists);
  box.hidden = false;
  box.focus();
}
