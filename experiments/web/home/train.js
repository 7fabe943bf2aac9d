// The tab of training: a form, and every job that was started, with its live line.
import { curve, short } from "./plot.js";

const $ = (id) => document.getElementById(id);
const make = (kind, name = "", text = "") => Object.assign(document.createElement(kind), { className: name, textContent: text });
let shared, cards = [];
const jobs = new Map(); // job -> { element, open }

export function begin(given) {
  shared = given;
  $("t-game").addEventListener("change", recipes);
  $("t-recipe").addEventListener("change", note);
  $("train-form").addEventListener("submit", (event) => {
    event.preventDefault();
    shared.once(event.submitter ?? $("train-form").querySelector("button"), start);
  });
}

export async function enter(game) {
  if (game) $("t-game").value = game;
  if (!cards.length) cards = (await shared.get("games"))?.cards ?? [];
  recipes();
  starts();
  refresh(shared.listing(), "train");
}

const chosen = () => cards.find((card) => card.game === $("t-game").value.trim());
function recipes() {
  const found = chosen()?.recipes ?? [];
  const options = found.map((recipe) => new Option(`${recipe.name} · ${recipe.agent}`, recipe.name));
  options.push(new Option(found.length ? "none · plain PPO" : "default", found.length ? "none" : "default"));
  $("t-recipe").replaceChildren(...options);
  note();
  starts();
}

function note() {
  const recipe = chosen()?.recipes.find((one) => one.name === $("t-recipe").value);
  $("t-note").textContent = recipe ? `${recipe.note}. Its budget: ${short(recipe.steps)} steps.` : "";
}

function starts() {
  const before = $("t-init").value;
  const fitting = shared.listing().runs.filter((run) => run.game === $("t-game").value.trim() && run.state !== "damaged");
  $("t-init").replaceChildren(new Option("random weights", ""), ...fitting.map((run) => new Option(run.name, run.name)));
  $("t-init").value = fitting.some((run) => run.name === before) ? before : "";
}

async function start() {
  const amount = $("t-amount").value.trim(), unit = $("t-unit").value;
  const value = { game: $("t-game").value.trim(), recipe: $("t-recipe").value, seed: Number($("t-seed").value || 0) };
  if (amount) value[unit] = unit === "steps" ? Math.round(Number(amount)) : Number(amount);
  if ($("t-name").value.trim()) value.name = $("t-name").value.trim();
  if ($("t-init").value) value.init = $("t-init").value;
  await shared.ask("train", value);
}

export function refresh(listing, shown) {
  if (shown !== "train") return;
  const names = new Set(listing.jobs.map((job) => job.job));
  for (const [name, { element }] of jobs) if (!names.has(name)) element.remove(), jobs.delete(name);
  for (const job of [...listing.jobs].reverse()) {
    const kept = jobs.get(job.job) ?? made(job);
    put(kept, job, listing.runs.find((run) => run.name === job.name));
  }
  $("no-jobs").hidden = listing.jobs.length > 0;
}

function made(job) {
  const element = make("li", "card job"), head = make("header"), bar = make("div", "actions");
  head.append(make("b"), make("span", "state"), make("span", "quiet when"));
  const canvas = make("canvas");
  canvas.setAttribute("role", "img");
  element.append(head, make("pre"), canvas, bar);
  const kept = { element, run: null };
  element.dataset.job = job.job;
  const buttons = {
    live: ["Watch it learn", () => shared.ask("visit", { mode: "live", what: [kept.run.name] })],
    watch: ["Watch", () => shared.ask("visit", { mode: "watch", what: [kept.run.name] })],
    stop: ["Stop", () => shared.ask("stop", { job: job.job })],
    resume: ["Resume", () => shared.ask("resume", { run: kept.run.name })],
    details: ["Curves", async () => shared.go("runs", kept.run.name)],
    output: ["Output", () => output(kept, job.job)],
  };
  for (const [name, [text, action]] of Object.entries(buttons)) {
    const button = make("button", "", text);
    button.dataset.do = name;
    button.addEventListener("click", () => shared.once(button, action));
    bar.append(button);
  }
  jobs.set(job.job, kept);
  $("job-list").prepend(element);
  return kept;
}

async function output(kept, job) {
  kept.open = !kept.open;
  const found = kept.open ? await shared.get(`log?job=${encodeURIComponent(job)}`) : null;
  kept.element.querySelector("pre").textContent = found ? found.text : kept.line;
}

function put(kept, job, run) {
  kept.run = run;
  const { element } = kept, find = (name) => element.querySelector(name);
  find("b").textContent = run ? `${job.program} ${run.name}` : `${job.program} ${job.argv.filter((word) => !word.startsWith("--runs")).join(" ")}`;
  const unknown = job.code === null && !run; // a server before this one has started it
  const ended = job.code ? "failed" : run && run.state === "unfinished" && job.program === "train" ? "stopped" : unknown ? "ended" : "done";
  const state = job.running ? (job.program === "train" ? "training" : "running") : ended;
  find(".state").textContent = state;
  find(".state").className = `state ${job.running ? "training" : state === "failed" ? "damaged" : ""}`;
  find(".when").textContent = job.started ? new Date(job.started * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : "";
  kept.line = job.running && run && job.program === "train" ? live(run) : job.line;
  if (!kept.open) find("pre").textContent = kept.line;
  find("canvas").hidden = !run || job.program !== "train" || (run.spark ?? []).length < 2;
  find("canvas").setAttribute("aria-label", `return in training of ${run?.name ?? job.job}`);
  if (!find("canvas").hidden) curve(find("canvas"), run.spark);
  const training = job.program === "train";
  const on = { live: job.running && run && training, watch: !job.running && run && !job.code, stop: job.running, details: run, output: true };
  on.resume = !job.running && training && run?.resumable && run.state === "unfinished";
  for (const button of element.querySelectorAll("button")) button.hidden = !on[button.dataset.do];
}

// The live line of a training, from its newest figures.
function live(run) {
  const figures = run.live ?? {}, rate = figures["time/steps_per_second"], score = figures["train/return"];
  const left = rate && run.budget ? (run.budget - run.steps) / rate : null;
  const parts = [`${run.steps.toLocaleString("en")}${run.budget ? ` of ${run.budget.toLocaleString("en")}` : ""} steps`];
  if (rate) parts.push(`${Math.round(rate).toLocaleString("en")} steps/s`);
  parts.push(score === undefined ? "no game has ended yet" : `score ${Number(score.toPrecision(4))} (mean of 100 games)`);
  if (left !== null) parts.push(`${left > 90 ? `${Math.round(left / 60)} min` : `${Math.max(0, Math.round(left))} s`} left`);
  return parts.join("  |  ");
}
