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
    if (!open) $("state").textContent = "the program does not answer; trying again";
  },
});
const command = (name, value = null) => link.send({ type: "command", name, value });
window.joypad = { link, command, state: () => now }; // for tests and the curious

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
$("seed").addEventListener("change", (event) => command("seed", event.target.value));
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
const tellHeld = () => command("held", [...held]);
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
  if (!held.size) return;
  held.clear();
  tellHeld();
});

// A gamepad's left stick or cross, and its first button.
let sticks = "[]";
setInterval(() => {
  const pad = [...(navigator.getGamepads?.() ?? [])].find(Boolean);
  if (!pad || !playing()) return;
  const cross = (plus, minus) => (pad.buttons[plus]?.pressed ? 1 : 0) - (pad.buttons[minus]?.pressed ? 1 : 0);
  const values = [cross(15, 14) || pad.axes[0], cross(13, 12) || pad.axes[1], pad.buttons[0]?.pressed ? 1 : 0];
  const told = JSON.stringify(values.map((x) => Math.round(x * 100) / 100));
  if (told !== sticks) command("sticks", JSON.parse((sticks = told)));
}, 20);

// Buttons for fingers, one for each key that the game knows.
let padKeys = "";
function drawPad(keys) {
  if (padKeys === keys.join()) return;
  padKeys = keys.join();
  $("pad").hidden = !keys.length;
  $("pad").replaceChildren(
    ...keys.map((key) => {
      const button = document.createElement("button");
      button.textContent = ARROWS[key] ?? key;
      button.setAttribute("aria-label", key);
      const set = (down) => (event) => {
        event.preventDefault();
        if (down) held.add(key);
        else held.delete(key);
        tellHeld();
      };
      button.addEventListener("pointerdown", set(true));
      for (const up of ["pointerup", "pointercancel", "pointerleave"]) button.addEventListener(up, set(false));
      return button;
    })
  );
}

function setOptions(select, values, value) {
  if ([...select.options].map((o) => o.value).join() !== values.join())
    select.replaceChildren(...values.map((v) => new Option(v, v)));
  if (document.activeElement !== select) select.value = value;
}

const press = (name, on) => document.querySelector(`[data-command=${name}]`).setAttribute("aria-pressed", on);
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
  const { age, drawn } = link.figures;
  $("figures").textContent = `${drawn} pictures drawn, the newest was ${age.toFixed(0)} ms old`;
}

function drawSeat(panel, seat, i) {
  const put = (name, text) => (panel.querySelector(name).textContent = text);
  const stage = seat.stage === null ? "" : `${seat.stage} % of training · `;
  put(".label", seat.label);
  put(".about", `${stage}${seat.step < 0 ? "untrained" : `step ${seat.step.toLocaleString("en")}`} · ${seat.human ? "a person plays" : seat.policy}${seat.live ? " · live" : ""}`);
  put(".now", number(seat.score));
  const chance = seat.winrate === null ? "" : `winrate ${(100 * seat.winrate).toFixed(0)} % · `;
  put(".last", chance + (seat.games ? `last game ${number(seat.last_score)} · ${seat.games} played` : ""));
  const names = { values: "action values", probabilities: "probabilities", mean: "actions" };
  put(".kind", names[seat.bars] ?? "this agent does not tell why");
  drawBars(panel.querySelector(".bars"), seat);
  panel.querySelector(".seen").hidden = i > 0 || seen.width === 300;
  panel.querySelector(".numbers").hidden = !seat.numbers.length;
  put(".numbers p", seat.numbers.map(number).join("  "));
}

function drawBars(list, seat) {
  let order = seat.heights.map((_, action) => action);
  if (order.length > MOST) order = order.sort((a, b) => seat.heights[b] - seat.heights[a]).slice(0, MOST);
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
