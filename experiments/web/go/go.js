// The page of `python -m experiments.play go --web`: the board, what a person does, and what the player thinks.
import { colour, onScheme } from "/shared/colours.js";
import { connect } from "/shared/stream.js";
import { Board, nameOf } from "./board.js";

const $ = (id) => document.getElementById(id);
const board = new Board($("board"));
let view = null; // the newest state
let arrived = 0; // ms, when it did
let cells = []; // x of each move in the graph
let pointed = -1; // the candidate in the list that the pointer is on

const link = connect({
  onState: { table: show },
  onMessage: (message) => {
    if (message.type === "error") $("told").textContent = message.message;
  },
  onLink: (open) => {
    if (!open) $("state").textContent = "no connection";
  },
});
const command = (name, value = null) => link.send({ type: "command", name, value });
window.joypad = { link, command, board, state: () => view }; // for tests and the curious

const percent = (chance) => `${(100 * chance).toFixed(1)} %`;
const number = (n) => (n >= 10000 ? `${(n / 1000).toFixed(0)}k` : n >= 1000 ? `${(n / 1000).toFixed(1)}k` : `${n}`);

function show(state) {
  if (!view || view.size !== state.size || view.komi !== state.komi) { // the form begins with the game at hand
    $("new").size.value = state.size;
    $("new").komi.value = state.komi;
  }
  view = board.view = state;
  arrived = performance.now();
  const found = state.found, side = state.turn ? "White" : "Black";
  $("state").textContent = state.ended
    ? "the game is over"
    : state.looking_back ? "you look back" : state.thinking
      ? `${side} to move: ${state.player} thinks`
      : `${side} to move${state.mine ? ": you" : ""}`;
  $("told").textContent = state.message || state.ended || (state.passed ? `${state.turn ? "Black" : "White"} has passed.` : "");
  for (const [i, id] of ["black", "white"].entries()) {
    const who = state.names[i] || (state.human === "both" || state.human === id ? "you" : state.player);
    const more = i ? `, komi ${state.komi}` : state.handicap ? `, ${state.handicap} handicap` : "";
    $(id).textContent = $(id).title = who;
    $(id).parentElement.lastElementChild.textContent = `${state.captured[i]} captured${more}`;
  }
  tick();
  if (found.chance !== undefined) {
    $("bar").firstElementChild.style.width = `${100 * found.chance}%`;
    $("bar").setAttribute("aria-label", `Black wins with ${percent(found.chance)}`);
    const [black, white] = $("chances").children;
    black.textContent = `Black ${percent(found.chance)}`;
    white.textContent = `White ${percent(1 - found.chance)}`;
  }
  const score = found.lead === undefined ? "" : ` · expected score ${found.lead >= 0 ? "B" : "W"}+${Math.abs(found.lead).toFixed(1)}`;
  const visits = found.visits ? ` · ${number(found.visits)} visits` : "";
  $("figures").textContent = `move ${state.ply}${visits}${score}${state.result ? ` · result ${state.result}` : ""}`;
  const by = state.turn ? "Black" : "White", cost = state.loss;
  $("loss").classList.toggle("bad", cost >= 0.05);
  const points = state.points !== null && state.points > 0 ? ` and about ${state.points.toFixed(1)} points` : "";
  $("loss").textContent = cost === null ? "" : cost >= 0.01
    ? `The last move, ${by} ${nameOf(state.last, state.size)}, cost ${percent(cost)}${points}.`
    : `The last move, ${by} ${nameOf(state.last, state.size)}, cost nothing.`;
  $("told").hidden = state.looking_back && !$("told").textContent;
  $("past").hidden = !state.looking_back;
  $("past").firstElementChild.textContent = `You look back at move ${state.ply} of ${state.plies}.`;
  if (pending >= 0 && (state.board[pending] || !state.mine)) choose(-1);
  $("moves").tBodies[0].replaceChildren(...(found.moves || []).map(row));
  const shown = (found.moves || []).find((one) => one.action === pointed);
  if (shown) board.line = shown.actions;
  else foresee(board.hover);
  reviewed(state);
  $("analyse").setAttribute("aria-pressed", state.analysing);
  $("pass").disabled = !state.mine;
  $("resign").disabled = Boolean(state.ended || state.looking_back || state.human === "none");
  board.counted = state.ended ? found.ownership : null;
  $("undo").disabled = state.ply === 0;
  $("first").disabled = $("back").disabled = state.ply === 0;
  $("last").disabled = $("on").disabled = state.ply === state.plies;
  if (document.activeElement !== $("side")) $("side").value = state.human;
  if (document.activeElement !== $("level") && [...$("level").options].some((o) => Number(o.value) === state.seconds)) {
    $("level").value = [...$("level").options].find((o) => Number(o.value) === state.seconds).value;
  }
  board.draw();
  graph();
}

// Both clocks, as they are now: the time used, or what a time control leaves.
function tick() {
  if (!view) return;
  const { running, used, left, period, count } = view.clock, past = (performance.now() - arrived) / 1000;
  for (const [i, id] of ["black", "white"].entries()) {
    const clock = $(id).parentElement.querySelector("time"), more = running === i ? past : 0;
    let seconds = used[i] + more, periods = 0;
    if (left) {
      [seconds, periods] = [left[i].time - more, left[i].count];
      if (seconds <= 0 && !periods && count) [seconds, periods] = [seconds + period, count];
      while (seconds <= 0 && periods > 1) [seconds, periods] = [seconds + period, periods - 1];
    }
    const whole = Math.floor(Math.max(seconds, 0));
    clock.textContent = `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}${periods ? ` ×${periods}` : ""}`;
    clock.title = !left ? "time used" : periods ? `time left in this period; periods: ${periods} of ${period} s` : "main time left";
    clock.classList.toggle("running", running === i);
    clock.classList.toggle("short", Boolean(left) && running === i && seconds < 10 && periods <= 1 && !(count && !periods));
  }
}
setInterval(tick, 200);

// The moves that have cost most, and how far a review of the whole game has come.
function reviewed(state) {
  const { worst, done, asked } = state.review, runs = done < asked;
  $("review").setAttribute("aria-pressed", runs);
  $("review").firstChild.textContent = runs ? `Reviewing ${done} of ${asked} ` : "Review ";
  $("review").disabled = state.plies === 0;
  $("nothing").hidden = worst.length > 0;
  $("nothing").textContent = runs ? "No costly move so far." : asked ? "No move cost 5 % or more." : "Review looks at every position of the game.";
  $("worst").hidden = worst.length === 0;
  $("worst").tBodies[0].replaceChildren(...worst.map((move) => {
    const line = document.createElement("tr"), points = move.points === null ? "" : move.points.toFixed(1);
    const go_there = document.createElement("button");
    go_there.textContent = `${move.ply} ${move.colour ? "W" : "B"} ${move.move}`;
    go_there.title = "To the position before this move";
    go_there.onclick = () => go(move.ply - 1);
    line.insertCell().append(go_there);
    for (const text of [percent(move.chance), points, move.best]) line.insertCell().textContent = text;
    return line;
  }));
}

// Shows the line that follows a candidate move, where the pointer is on one.
function foresee(action) {
  const move = action >= 0 && board.overlay === "visits" && (view.found.moves || []).find((one) => one.action === action);
  board.line = move ? move.actions : null;
}

function row(move) {
  const line = document.createElement("tr");
  for (const text of [move.move, number(move.visits), percent(move.chance), move.line]) {
    line.insertCell().textContent = text;
  }
  line.lastChild.title = move.line;
  line.onmouseenter = line.onclick = () => { pointed = move.action; board.line = move.actions; board.draw(); };
  line.onmouseleave = () => { pointed = -1; board.line = null; board.draw(); };
  return line;
}

function graph() {
  const canvas = $("graph"), ratio = window.devicePixelRatio || 1;
  const width = (canvas.width = Math.round(canvas.clientWidth * ratio));
  const height = (canvas.height = Math.round(canvas.clientHeight * ratio));
  const g = canvas.getContext("2d"), pad = 6 * ratio;
  const x = (ply) => pad + ((width - 2 * pad) * ply) / Math.max(view.plies, 20);
  const y = (chance) => pad + (height - 2 * pad) * (1 - chance);
  cells = view.chances.map((_, ply) => x(ply) / ratio);
  g.strokeStyle = colour("--edge");
  g.lineWidth = ratio;
  for (const chance of [0, 0.5, 1]) {
    g.setLineDash(chance === 0.5 ? [4 * ratio, 4 * ratio] : []);
    g.beginPath();
    g.moveTo(pad, y(chance));
    g.lineTo(width - pad, y(chance));
    g.stroke();
  }
  g.setLineDash([]);
  const known = view.chances.map((chance, ply) => [ply, chance]).filter(([, chance]) => chance !== null);
  if (known.length) {
    g.beginPath();
    g.moveTo(x(known[0][0]), y(0.5));
    for (const [ply, chance] of known) g.lineTo(x(ply), y(chance));
    g.lineTo(x(known.at(-1)[0]), y(0.5));
    g.globalAlpha = 0.15;
    g.fillStyle = colour("--accent");
    g.fill();
    g.globalAlpha = 1;
    g.strokeStyle = colour("--accent");
    g.lineWidth = 2 * ratio;
    g.lineJoin = "round";
    g.beginPath();
    known.forEach(([ply, chance], i) => (i ? g.lineTo(x(ply), y(chance)) : g.moveTo(x(ply), y(chance))));
    g.stroke();
  }
  g.strokeStyle = colour("--quiet");
  g.lineWidth = ratio;
  g.beginPath();
  g.moveTo(x(view.ply), pad);
  g.lineTo(x(view.ply), height - pad);
  g.stroke();
  for (const move of view.review.worst) { // where the chances fell most
    g.fillStyle = colour("--bad");
    g.beginPath();
    g.arc(x(move.ply), y(view.chances[move.ply]), 3 * ratio, 0, 7);
    g.fill();
  }
  const here = view.chances[view.ply];
  if (here !== null && here !== undefined) {
    g.fillStyle = colour("--accent");
    g.beginPath();
    g.arc(x(view.ply), y(here), 4 * ratio, 0, 7);
    g.fill();
  }
}

const canvas = $("board");
canvas.addEventListener("mousemove", (event) => {
  const action = board.at(event);
  if (action !== board.hover) {
    board.hover = action;
    foresee(action);
    board.draw();
  }
});
canvas.addEventListener("mouseleave", () => { board.hover = -1; board.line = null; board.draw(); });
canvas.addEventListener("blur", () => { board.cursor = -1; board.draw(); });
// Where points are smaller than a finger, the first tap chooses and the second one, or the button, plays.
let pending = -1;
const fingers = matchMedia("(pointer: coarse)");
function choose(action) {
  pending = board.cursor = action;
  $("tapped").hidden = action < 0;
  if (action >= 0) $("confirm").textContent = `Play ${nameOf(action, view.size)}`;
  board.draw();
}
canvas.addEventListener("click", (event) => {
  const action = board.at(event);
  if (action < 0) return;
  if (fingers.matches && board.gap() < 30 && action !== pending && view.mine && !view.board[action]) return choose(action);
  choose(-1);
  command("play", action);
});
$("confirm").onclick = () => {
  const action = pending;
  choose(-1);
  if (action >= 0) command("play", action);
};
$("return").onclick = () => go(view.plies);
let sure = 0; // the timer that takes the question back
$("resign").onclick = () => {
  const asked = $("resign").classList.toggle("sure");
  $("resign").textContent = asked ? "Really resign?" : "Resign";
  clearTimeout(sure);
  if (asked) sure = setTimeout(() => $("resign").classList.contains("sure") && ($("resign").classList.remove("sure"), ($("resign").textContent = "Resign")), 4000);
  else command("resign");
};

const go = (ply) => view && command("go", ply);
$("pass").onclick = () => command("pass");
$("undo").onclick = () => command("undo");
$("first").onclick = () => go(0);
$("back").onclick = () => go(view.ply - 1);
$("on").onclick = () => go(view.ply + 1);
$("last").onclick = () => go(view.plies);
$("review").onclick = () => command("review", view.review.done >= view.review.asked);
$("analyse").onclick = () => command("analyse", !view.analysing);
$("overlay").onchange = () => { board.overlay = $("overlay").value; board.draw(); };
$("side").onchange = () => { command("side", $("side").value); $("side").blur(); };
$("level").onchange = () => { command("level", Number($("level").value)); $("level").blur(); };
$("graph").onclick = (event) => {
  if (!view) return;
  const at = event.offsetX;
  go(cells.reduce((best, x, ply) => (Math.abs(x - at) < Math.abs(cells[best] - at) ? ply : best), 0));
};
for (let size = 2; size <= 19; size++) $("new").size.add(new Option(`${size}×${size}`, size, size === 9, size === 9));
$("new").onsubmit = (event) => {
  event.preventDefault();
  const form = $("new");
  command("new", { size: Number(form.size.value), komi: Number(form.komi.value), handicap: Number(form.handicap.value) });
};
$("file").onchange = async () => {
  const [file] = $("file").files;
  $("file").value = "";
  if (!file) return;
  if (file.size > 90000) return ($("told").textContent = "The file is larger than 90 kB: give it to the program by --sgf instead.");
  const bytes = new Uint8Array(await file.arrayBuffer()); // its characters may be of any set: the program finds out
  command("load", btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")));
};

document.addEventListener("keydown", (event) => {
  if (!view || event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input, select, textarea")) return;
  const key = event.key, steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -view.size, ArrowDown: view.size };
  if (event.target === canvas && key in steps) {
    event.preventDefault();
    const middle = Math.floor(view.size / 2) * (view.size + 1), at = board.cursor;
    const column = at % view.size, edge = { ArrowLeft: column === 0, ArrowRight: column === view.size - 1 }[key];
    const next = at < 0 ? middle : at + steps[key];
    if (at < 0 || (!edge && next >= 0 && next < view.size ** 2)) board.cursor = next;
    board.draw();
  } else if (event.target === canvas && (key === "Enter" || key === " ")) {
    event.preventDefault();
    if (board.cursor >= 0) command("play", board.cursor);
  } else if (event.target.matches("button, a") && (key === "Enter" || key === " ")) return;
  else if (key === "p") command("pass");
  else if (key === "u") command("undo");
  else if (key === "a") command("analyse", !view.analysing);
  else if (key === "r") $("review").click();
  else if (key === "o") {
    $("overlay").selectedIndex = ($("overlay").selectedIndex + 1) % $("overlay").options.length;
    $("overlay").onchange();
  } else if (key === "ArrowLeft") go(view.ply - 1);
  else if (key === "ArrowRight") go(view.ply + 1);
});
new ResizeObserver(() => { if (view) { board.draw(); graph(); } }).observe(canvas);
onScheme(() => view && graph());
