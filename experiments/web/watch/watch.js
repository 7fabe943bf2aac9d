// The page of `python -m experiments.watch`: the picture, what a person does, and why the agent acts.
import { connect } from "/shared/stream.js";

const $ = (id) => document.getElementById(id);
const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 0];
const MOST = 9; // bars that are shown of many actions
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", " ": "space", Enter: "return" };
const ARROWS = { left: "←", right: "→", up: "↑", down: "↓" };

const seats = []; // the panels of each agent
const seen = document.createElement("canvas"); // becomes part of the first agent's panels
let now = null; // the newest state
let shortcuts = {}; // key -> command

const link = connect({
  pictures: { main: $("main"), seen },
  onState: { now: show, curves: (all) => all.forEach((rows, i) => seats[i] && drawCurves(seats[i], rows)) },
  onMessage: (message) => {
    if (message.type === "hello") greet(message.commands);
    if (message.type === "told") $("told").textContent = message.text;
    if (message.type === "error") $("told").textContent = message.message;
  },
  onLink: (open) => {
    if (!open) $("state").textContent = "no connection";
    else if (drove) tellHeld(); // what was let go meanwhile
  },
});
const command = (name, value = null) => link.send({ type: "command", name, value });
window.joypad = { link, command, show, state: () => now }; // for tests and the curious

function greet(commands) {
  shortcuts = Object.fromEntries(commands.map(({ name, key }) => [key, name]));
  shortcuts["="] = "faster";
  $("help").replaceChildren(
    ...commands.map(({ key, about }) => {
      const item = document.createElement("li");
      const cap = document.createElement("kbd");
      cap.textContent = key;
      item.append(cap, ` ${about}`);
      return item;
    })
  );
}

for (const button of document.querySelectorAll("[data-command]"))
  button.addEventListener("click", () => command(button.dataset.command));
for (const speed of SPEEDS) $("speed").append(new Option(speed ? `${speed}×` : "unlimited", speed));
$("speed").addEventListener("change", (event) => command("speed", Number(event.target.value)));
$("overlay").addEventListener("change", (event) => command("overlay", event.target.value));
$("seed").addEventListener("change", ({ target }) => {
  const seed = target.value.trim() === "" ? NaN : Number(target.value);
  if (Number.isInteger(seed) && seed >= 0 && seed < 2 ** 31) return command("seed", seed);
  $("told").textContent = "A seed is a whole number from 0 to 2147483647.";
  if (now) target.value = now.seed;
});
for (const button of document.querySelectorAll("[data-policy]"))
  button.addEventListener("click", () => command("policy", button.dataset.policy));
$("more").open = matchMedia("(min-width: 801px)").matches; // a phone has the keys of the game first
$("main").addEventListener("click", (event) => {
  if (!now?.seats[0].box) return;
  const box = $("main").getBoundingClientRect();
  // object-fit: contain leaves a margin on two sides
  const scale = Math.min(box.width / $("main").width, box.height / $("main").height);
  const left = box.left + (box.width - scale * $("main").width) / 2;
  const top = box.top + (box.height - scale * $("main").height) / 2;
  command("click", [(event.clientX - left) / scale, (event.clientY - top) / scale]);
});

// Keys: the game's while a person plays, otherwise the player's.
const held = new Set();
const fingers = new Map(); // pointer -> the key that it is on
let drove = false; // has this page held a key?
function tellHeld() {
  drove = true;
  command("held", [...new Set([...held, ...fingers.values()])].slice(0, 16));
}
const nameOf = (event) => KEYS[event.key] ?? event.key.toLowerCase();
const playing = () => now?.seats.find((seat) => seat.human);

addEventListener("keydown", (event) => {
  const field = event.target.closest("input, select, button, summary");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = nameOf(event);
  const mine = now?.seats.some((seat) => seat.keys.includes(key));
  if (field && !(mine && field.tagName === "BUTTON")) {
    if (field.tagName !== "BUTTON" || key === "space" || key === "return") return;
  }
  if (mine) {
    event.preventDefault();
    if (!held.has(key)) {
      held.add(key);
      tellHeld();
    }
  } else if (shortcuts[key] && !event.repeat) {
    event.preventDefault();
    command(shortcuts[key]);
  }
});
addEventListener("keyup", (event) => {
  if (held.delete(nameOf(event))) tellHeld();
});
addEventListener("blur", () => {
  if (!held.size && !fingers.size) return;
  held.clear();
  fingers.clear();
  light();
  tellHeld();
});

// A gamepad's left stick or cross, its first button, and its triggers.
let sticks = "[]";
setInterval(() => {
  const pad = [...(navigator.getGamepads?.() ?? [])].find(Boolean);
  if (!pad || !playing()) return void (sticks = "[]");
  const cross = (plus, minus) => (pad.buttons[plus]?.pressed ? 1 : 0) - (pad.buttons[minus]?.pressed ? 1 : 0);
  const values = [cross(15, 14) || (pad.axes[0] ?? 0), cross(13, 12) || (pad.axes[1] ?? 0), pad.buttons[0]?.pressed ? 1 : 0];
  values.push(pad.buttons[7]?.value ?? 0, pad.buttons[6]?.value ?? 0);
  const told = JSON.stringify(values.map((x) => Math.round(x * 100) / 100));
  if (told !== sticks) command("sticks", JSON.parse((sticks = told)));
}, 20);

// Buttons for thumbs, one for each key that the game knows: steering at the left, everything else at the right.
const LEFT = ["left", "right", "a", "d"];
const RIGHT = ["up", "down", "space", "return"];
let padKeys = "";
function drawPad(keys) {
  if (padKeys === keys.join()) return;
  padKeys = keys.join();
  fingers.clear();
  const right = keys.filter((key) => !LEFT.includes(key)).sort((a, b) => rank(a) - rank(b));
  $("left").replaceChildren(...LEFT.filter((key) => keys.includes(key)).map(padButton));
  $("right").replaceChildren(...right.map(padButton));
}
const rank = (key) => (RIGHT.includes(key) ? RIGHT.indexOf(key) : RIGHT.length);

function padButton(key) {
  const button = document.createElement("button");
  button.textContent = ARROWS[key] ?? key;
  button.dataset.key = key;
  button.setAttribute("aria-label", key);
  button.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    finger(event.pointerId, key);
  });
  // A thumb slides from one key to the next without being lifted.
  button.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const under = document.elementFromPoint(event.clientX, event.clientY)?.closest(".pad button");
    if (under && under.dataset.key !== fingers.get(event.pointerId)) finger(event.pointerId, under.dataset.key);
  });
  for (const up of ["pointerup", "pointercancel", "lostpointercapture"])
    button.addEventListener(up, (event) => finger(event.pointerId, null));
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  return button;
}

function finger(pointer, key) {
  if (key === null && !fingers.delete(pointer)) return;
  if (key !== null) fingers.set(pointer, key);
  light();
  tellHeld();
}
function light() {
  const on = new Set(fingers.values());
  for (const button of document.querySelectorAll(".pad button")) button.classList.toggle("down", on.has(button.dataset.key));
}

function setOptions(select, values, value) {
  if ([...select.options].map((o) => o.value).join() !== values.join())
    select.replaceChildren(...values.map((v) => new Option(v, v)));
  if (document.activeElement !== select) select.value = value;
}

const press = (name, on) => document.querySelector(`[data-command=${name}]`).setAttribute("aria-pressed", on);
const points = (x) => (x === null || x === undefined ? "" : Number(x.toFixed(3)).toString()); // every digit of a score
const number = (x) => (x === null || x === undefined ? "" : Number(x.toPrecision(4)).toString());

function show(state) {
  now = state;
  $("game").textContent = state.game;
  const speed = state.paused ? "paused" : state.speed ? `${state.speed}×` : "unlimited";
  const first = state.seats[0];
  $("state").textContent = `seed ${state.seed} · ${speed}${first.waits ? " · your move" : ""}`;
  press("pause", state.paused);
  press("take", first.human);
  press("panels", state.panels);
  for (const button of document.querySelectorAll("[data-policy]"))
    button.setAttribute("aria-pressed", first.policy === button.dataset.policy);
  document.body.classList.toggle("playing", Boolean(playing()));
  $("untrained").hidden = first.trained || first.human;
  document.body.classList.toggle("untrained", !$("untrained").hidden);
  $("untrained").querySelector("b").textContent =
    first.label === "random" ? "No trained agent plays here: the moves are random." : `No trained agent plays here, but the game's own player: ${first.label}.`;
  $("untrained").querySelector("code").textContent = `python -m experiments.train ${state.game}`;
  document.querySelector("[data-command=take]").textContent = first.human ? "Hand back" : "Take over";
  if (document.activeElement !== $("speed")) $("speed").value = String(state.speed);
  if (document.activeElement !== $("seed")) $("seed").value = state.seed;
  setOptions($("overlay"), first.overlays, first.overlay);
  $("overlay").disabled = first.overlays.length < 2;
  drawPad(playing()?.keys ?? []);
  $("panels").hidden = !state.panels;
  $("stage").classList.toggle("two", state.seats.length > 1);
  while (seats.length < state.seats.length) {
    const panel = $("seat").content.firstElementChild.cloneNode(true);
    if (!seats.length) {
      const old = panel.querySelector(".seen canvas");
      for (const { name, value } of old.attributes) seen.setAttribute(name, value);
      old.replaceWith(seen);
    }
    seats.push(panel);
    $("panels").append(panel);
  }
  state.seats.forEach((seat, i) => drawSeat(seats[i], seat, i));
}

function drawSeat(panel, seat, i) {
  const put = (name, text) => (panel.querySelector(name).textContent = text);
  const stage = seat.stage === null ? "" : `${seat.stage} % of training · `;
  put(".label", seat.label);
  if (seat.scripted && !seat.human) put(".about", "a scripted player");
  else put(".about", `${stage}${seat.step < 0 ? "untrained" : `step ${seat.step.toLocaleString("en")}`} · ${seat.human ? "a person plays" : seat.policy}${seat.live ? " · live" : ""}`);
  put(".now", points(seat.score));
  const chance = seat.winrate === null ? "" : `winrate ${(100 * seat.winrate).toFixed(0)} % · `;
  put(".last", chance + (seat.games ? `last game ${points(seat.last_score)} · ${seat.games} played` : ""));
  const names = { values: "action values", probabilities: "probabilities", mean: "actions" };
  put(".kind", names[seat.bars] ?? (!seat.trained ? "" : "this agent does not tell why"));
  drawBars(panel.querySelector(".bars"), seat);
  panel.querySelector(".seen").hidden = i > 0 || seen.width === 300;
  panel.querySelector(".numbers").hidden = !seat.numbers.length;
  put(".numbers p", seat.numbers.map(number).join("  "));
}

function drawBars(list, seat) {
  let order = seat.heights.map((_, action) => action);
  if (order.length > MOST) {
    const higher = (a, b) => seat.heights[b] - seat.heights[a];
    order = order.sort((a, b) => (b === seat.chosen) - (a === seat.chosen) || higher(a, b)).slice(0, MOST).sort(higher);
  }
  const low = seat.bars === "probabilities" ? 0 : seat.bars === "mean" ? -1 : Math.min(...seat.heights);
  const high = seat.bars === "values" ? Math.max(...seat.heights) : 1;
  while (list.children.length < order.length) {
    const row = document.createElement("li");
    row.innerHTML = '<span class="name"></span><span class="track"><span class="fill"></span></span><span class="height"></span>';
    list.append(row);
  }
  while (list.children.length > order.length) list.lastChild.remove();
  order.forEach((action, i) => {
    const row = list.children[i];
    const height = seat.heights[action] ?? 0;
    const share = high > low ? (Math.min(Math.max(height, low), high) - low) / (high - low) : 1;
    row.classList.toggle("chosen", action === seat.chosen);
    row.children[0].textContent = seat.actions[action];
    row.querySelector(".fill").style.width = `${100 * share}%`;
    row.children[2].textContent = number(height);
  });
}

function drawCurves(panel, rows) {
  for (const curve of panel.querySelectorAll(".curve")) {
    const values = (rows[curve.dataset.name] ?? []).filter((v) => v !== null);
    curve.hidden = !values.length;
    if (!values.length) continue;
    curve.querySelector("output").textContent = number(values.at(-1));
    const canvas = curve.querySelector("canvas");
    const scale = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    const [low, high] = [Math.min(...values), Math.max(...values)];
    pen.clearRect(0, 0, width, height);
    pen.strokeStyle = getComputedStyle(canvas).color;
    pen.lineWidth = 2 * scale;
    pen.beginPath();
    values.forEach((value, i) => {
      const x = (i / Math.max(1, values.length - 1)) * width;
      const y = height - 3 - ((value - low) / (high - low || 1)) * (height - 6);
      if (i) pen.lineTo(x, y);
      else pen.moveTo(x, y);
    });
    pen.stroke();
  }
}
