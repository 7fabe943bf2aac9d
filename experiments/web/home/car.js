// The tab of the car: recordings come from it, trainings learn from them, networks go to it. Its other half is
// experiments/car/workshop.py; the car itself answers by experiments/car/depot.py.
import { curve, short } from "./plot.js";

const GAME = "car";
const $ = (id) => document.getElementById(id);
const make = (kind, name = "", text = "") => Object.assign(document.createElement(kind), { className: name, textContent: text });
const size = (bytes) => (bytes >= 2 ** 20 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${Math.ceil(bytes / 1024)} KiB`);
let shared, recipes = [], recordings = [], state = { car: null, fetches: [], models: [] };
let preview = { name: "", row: 0, number: 0 };
const lists = new Map(); // list -> key -> its item, so that a button keeps its focus

export function begin(given) {
  shared = given;
  window.joypadCar = () => state; // for tests and the curious
  $("car-form").addEventListener("submit", (event) => {
    event.preventDefault();
    shared.once(event.submitter, connect);
  });
  $("c-leave").addEventListener("click", () => shared.once($("c-leave"), async () => { await shared.ask("disconnect"); await look(); }));
  $("c-page").addEventListener("click", () => window.open(state.address, "_blank", "noopener"));
  $("car-train").addEventListener("submit", (event) => {
    event.preventDefault();
    shared.once(event.submitter, start);
  });
  $("c-recipe").addEventListener("change", note);
  $("crop-row").addEventListener("input", () => crop(preview.name, Number($("crop-row").value)));
}

export async function enter() {
  const [games, found] = await Promise.all([shared.get("games"), shared.get("recordings")]);
  recipes = games?.cards.find((card) => card.game === GAME)?.recipes ?? [];
  const before = $("c-recipe").value;
  $("c-recipe").replaceChildren(...recipes.map((one) => new Option(`${one.name} · ${one.agent}`, one.name)));
  if (recipes.some((one) => one.name === before)) $("c-recipe").value = before;
  recorded(found ?? []);
  note();
  await look();
}

export function refresh(_, shown) {
  if (shown === GAME && !document.hidden) look();
}

let looking = false;
async function look() {
  if (looking) return;
  looking = true;
  const running = state.fetches.some((one) => one.running);
  const found = await shared.get("car");
  looking = false;
  if (!found) return;
  state = found;
  if (running && !state.fetches.some((one) => one.running)) recorded((await shared.get("recordings")) ?? recordings);
  show();
  if (state.fetches.some((one) => one.running)) setTimeout(look, 300);
}

async function connect() {
  const done = await shared.ask("connect", $("c-address").value);
  if (done) $("c-address").value = "";
  await look();
}

function note() {
  const recipe = recipes.find((one) => one.name === $("c-recipe").value);
  $("c-note").textContent = recipe ? `${recipe.note}. ${short(recipe.steps)} updates.` : "";
}

function recorded(found) {
  recordings = found.filter((one) => one.kind === "tub");
  const chosen = new Set([...$("c-data").selectedOptions].map((option) => option.value));
  $("c-data").replaceChildren(...recordings.map((one) => new Option(one.name, one.name, false, chosen.has(one.name))));
}

async function start() {
  const value = { game: GAME, recipe: $("c-recipe").value, data: [...$("c-data").selectedOptions].map((option) => option.value) };
  if ($("c-steps").value) value.steps = Number($("c-steps").value);
  if ($("c-name").value.trim()) value.name = $("c-name").value.trim();
  if ($("c-init").value) value.init = $("c-init").value;
  await shared.ask("train", value);
}

function show() {
  const { car } = state;
  $("c-page").hidden = $("c-leave").hidden = !state.where;
  const camera = car?.camera ? `, camera ${car.camera.join("×")}` : "";
  $("c-state").textContent = state.fault || (car ? `${car.name} at ${state.where}: ${car.state}, ${car.network ? `driven by ${car.network}` : "no network"}${camera}` : "No car is connected. All but the car itself works without one.");
  $("c-state").className = state.fault ? "bad" : "";
  const { runs } = shared.listing(), before = $("c-init").value;
  const mine = runs.filter((run) => run.game === GAME && !run.reference && run.state !== "damaged");
  const starts = runs.filter((run) => ["car", "kart"].includes(run.game) && run.state !== "damaged" && run.state !== "training");
  $("c-init").replaceChildren(new Option("random weights", ""), ...starts.map((run) => new Option(run.name, run.name)));
  $("c-init").value = starts.some((run) => run.name === before) ? before : "";
  showRecordings(car);
  fill($("c-runs"), mine, (run) => run.name, makeRun, putRun);
  $("c-no-runs").hidden = mine.length > 0;
  const there = (car?.networks ?? []).filter((one) => !state.models.some((model) => model.name === one.name));
  fill($("c-models"), [...state.models, ...there.map((one) => ({ ...one, there: true }))], (one) => one.name, makeModel, putModel);
  $("c-no-models").hidden = state.models.length + there.length > 0;
}

// A list whose items stay where they are while their texts change.
function fill(list, wanted, key, build, put) {
  const kept = lists.get(list) ?? lists.set(list, new Map()).get(list);
  const keys = new Set(wanted.map(key));
  for (const [name, item] of kept) if (!keys.has(name)) item.element.remove(), kept.delete(name);
  wanted.forEach((one, i) => {
    const item = kept.get(key(one)) ?? kept.set(key(one), build(one)).get(key(one));
    if (list.children[i] !== item.element) list.insertBefore(item.element, list.children[i] ?? null);
    put(item, one);
  });
}

function item(name, actions) {
  const element = make("li"), about = make("span", "quiet about"), buttons = {};
  element.dataset.name = name;
  element.append(make("b", "", name), about);
  const made = { element, about, buttons };
  for (const [key, [text, act]] of Object.entries(actions)) {
    const button = make("button", "", text);
    button.dataset.do = key;
    button.setAttribute("aria-label", `${text}: ${name}`);
    button.addEventListener("click", () => shared.once(button, () => act(made)));
    buttons[key] = button;
    element.append(button);
  }
  return made;
}

function showRecordings(car) {
  const here = recordings.map((one) => ({ ...one, here: true }));
  const there = (car?.recordings ?? []).map((one) => ({ ...one, there: one.name, name: `${GAME}/${one.name}` }));
  const all = [...here];
  for (const one of there) {
    const mine = all.find((other) => other.name === one.name);
    if (mine) Object.assign(mine, { there: one.there, records: one.records });
    else all.push(one);
  }
  fill($("c-recordings"), all, (one) => one.name, makeRecording, putRecording);
  $("c-no-recordings").hidden = all.length > 0;
}

function makeRecording({ name }) {
  return item(name, {
    fetch: ["Fetch", async (made) => { await shared.ask("fetch", made.one.there); await look(); }],
    crop: ["What the network sees", () => crop(name, 0)],
    open: ["Look through", () => shared.ask("recording", name)],
  });
}

function putRecording(made, one) {
  made.one = one;
  const coming = state.fetches.find((other) => other.name === one.there);
  const facts = [one.here ? size(one.size) : "on the car", one.records !== undefined ? `${one.records.toLocaleString("en")} records on the car` : "", one.fault];
  if (coming?.running) facts.push(`${coming.done} of ${coming.of || "?"} files`);
  else if (coming?.text) facts.push(coming.text);
  made.about.textContent = facts.filter(Boolean).join(", ");
  made.about.classList.toggle("bad", Boolean(coming?.bad));
  made.buttons.fetch.hidden = !one.there;
  made.buttons.fetch.disabled = Boolean(coming?.running);
  made.buttons.crop.hidden = made.buttons.open.hidden = !one.here;
}

async function crop(recording, row) {
  preview = { name: recording, row, number: preview.number + 1 };
  const { number } = preview;
  const found = await shared.get(`crop?recording=${encodeURIComponent(recording)}&row=${row}`);
  if (!found || number !== preview.number) return;
  $("crop").hidden = false;
  $("crop-row").max = found.rows - 1;
  $("crop-row").value = found.row;
  $("crop-row").setAttribute("aria-valuetext", `picture ${found.row} of ${found.rows}, of ${recording}`);
  $("crop-picture").src = found.picture;
  $("crop-seen").hidden = !found.seen;
  if (found.seen) $("crop-seen").src = found.seen;
  $("crop-top").style.height = `${100 * found.top}%`;
  $("crop-bottom").style.height = `${100 * found.bottom}%`;
  $("crop-told").textContent = found.fault || `${recording}, ${found.row}: ${found.size.join("×")} pixels, of which the network sees ${found.sees.join("×")}; steering ${found.steer}`;
  $("crop-told").className = found.fault ? "bad" : "quiet";
}

function makeRun({ name }) {
  const made = item(name, {
    stop: ["Stop", () => shared.ask("stop", { run: name })],
    resume: ["Resume", () => shared.ask("resume", { run: name })],
    export: ["Export", () => shared.ask("export", { run: name, name: name.split("/").slice(1).join("-").slice(0, 60) })],
    curves: ["Curves", async () => shared.go("runs", name)],
  });
  made.canvas = make("canvas");
  made.canvas.setAttribute("role", "img");
  made.element.append(made.canvas);
  return made;
}

function putRun(made, run) {
  const loss = run.live?.["learn/loss"], job = shared.listing().jobs.find((one) => one.program === "export" && one.argv[0] === run.path);
  const facts = [run.state, `${run.steps.toLocaleString("en")}${run.budget ? ` of ${run.budget.toLocaleString("en")}` : ""} updates`];
  if (loss !== undefined) facts.push(`loss ${short(loss)}`);
  if (job?.running) facts.push("is being exported");
  else if (job?.code) facts.push(job.line);
  made.about.textContent = facts.join(", ");
  const points = run.loss ?? [];
  made.canvas.hidden = points.length < 2;
  if (points.length > 1) {
    made.canvas.setAttribute("aria-label", `loss of ${run.name} over updates, now ${short(points[points.length - 1][2])}`);
    curve(made.canvas, points);
  }
  const training = run.state === "training";
  made.buttons.stop.hidden = !training;
  made.buttons.resume.hidden = training || !run.resumable || run.state !== "unfinished";
  made.buttons.export.hidden = training || !run.resumable;
  made.buttons.export.disabled = Boolean(job?.running);
}

function makeModel({ name }) {
  return item(name, {
    deploy: ["Deploy to the car", async () => { await shared.ask("deploy", name); await look(); }],
    choose: ["Drive with it", async () => { await shared.ask("choose", name); await look(); }],
  });
}

function putModel(made, model) {
  const { car } = state;
  const onCar = Boolean(car?.networks.some((one) => one.name === model.name)), active = car?.active === model.name;
  const facts = model.fault ? [model.fault] : [`${model.run}${model.step ? `, step ${model.step.toLocaleString("en")}` : ""}`, model.kind.replace("_", " "), model.signs?.length ? "signs" : "", model.multiply_adds ? `${(model.multiply_adds / 1e6).toFixed(2)} M multiply-adds` : "", model.bytes ? size(model.bytes) : ""];
  if (active) facts.push("drives the car");
  else if (onCar) facts.push("on the car");
  made.about.textContent = facts.filter(Boolean).join(", ");
  made.about.classList.toggle("bad", Boolean(model.fault));
  made.buttons.deploy.hidden = !car || Boolean(model.there) || Boolean(model.fault);
  made.buttons.choose.hidden = !onCar || active;
}
