// A recording in the browser: scrub, play, mark a stretch, delete it, take that back. See experiments/driving/page.py.
import { onScheme } from "/shared/colours.js";
import { connect } from "/shared/stream.js";
import { barsInWords, drawBars, drawLine, rowAt } from "./charts.js";

const $ = (id) => document.getElementById(id);
let data = { rows: 0, index: [], steer: [], pilot: [], lap: [], starts: [], stats: {}, facts: {} };
let row = 0, wanted = -1, loading = false, playing = false;
let mark = null; // [first row, last row]
let version = 0; // of the dataset: pictures of an older one are not shown

const link = connect({
  onMessage: (message) => {
    if (message.type === "changed") load();
    if (message.text) $("said").textContent = message.text;
  },
  onLink: (open) => ($("link").textContent = open ? "" : "the program has ended"),
});

async function load() {
  const reply = await fetch("data/about");
  if (!reply.ok) return ($("said").textContent = "no recording is open here");
  data = await reply.json();
  if (data.predicts && !data.pilot.length) data.pilot = data.index.map(() => null);
  version += 1;
  mark = null;
  $("title").textContent = data.title;
  $("place").max = Math.max(0, data.rows - 1);
  $("wanted").hidden = !data.pilot.some((value) => value !== null);
  list("warnings", data.warnings, "nothing was found");
  list("damaged", data.damaged, "none");
  $("bars").setAttribute("aria-label", barsInWords(data.stats.histogram));
  show(Math.min(row, data.rows - 1));
}

function list(id, lines, none) {
  $(id).replaceChildren(...(lines.length ? lines : [none]).map((text) => Object.assign(document.createElement("li"), { textContent: text })));
}

function show(next) {
  row = Math.max(0, Math.min(data.rows - 1, next));
  $("place").value = row;
  $("place").setAttribute("aria-valuetext", `record ${data.index[row]}, lap ${data.lap[row]}`);
  tell();
  wanted = row;
  if (!loading) picture();
}

function tell() {
  draw();
  const facts = { record: data.index[row], lap: data.lap[row], steering: signed(data.steer[row]) };
  if (data.pilot.length && data.pilot[row] !== null) facts["network"] = signed(data.pilot[row]);
  for (const [name, values] of Object.entries(data.facts)) if (values[row] !== null) facts[name] = values[row];
  if (mark) facts["marked"] = `${data.index[mark[0]]} to ${data.index[mark[1]]}, ${mark[1] - mark[0] + 1} records`;
  $("facts").replaceChildren(...Object.entries(facts).flat().map((text) => Object.assign(document.createElement("span"), { textContent: text })));
}

// One request at a time; of what was asked for meanwhile only the newest counts.
async function picture() {
  loading = true;
  while (wanted >= 0) {
    const which = wanted, of = version;
    wanted = -1;
    try {
      const reply = await fetch(`data/frame?row=${which}`);
      if (!reply.ok) throw new Error(await reply.text());
      const image = await createImageBitmap(await reply.blob());
      if (of === version) drawFrame(image, which);
      if (of === version && data.predicts && data.pilot[which] === null) await predict(which, of, image);
    } catch (fault) {
      $("said").textContent = `the picture of record ${data.index[which]} cannot be shown`;
    }
  }
  loading = false;
}

// What the network here wants for a picture whose record does not tell.
async function predict(which, of, image) {
  const reply = await fetch(`data/predicted?row=${which}`);
  if (!reply.ok || of !== version) return;
  data.pilot[which] = (await reply.json()).steer;
  $("wanted").hidden = false;
  drawFrame(image, which);
  if (row === which) tell();
}

function drawFrame(image, which) {
  const canvas = $("frame"), context = canvas.getContext("2d");
  const factor = Math.max(1, Math.floor(640 / image.width));
  canvas.width = image.width * factor;
  canvas.height = image.height * factor;
  canvas.style.aspectRatio = `${image.width} / ${image.height}`;
  context.imageSmoothingEnabled = false;
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  ray(context, data.pilot[which], 0.3, "#5aa9ff");
  ray(context, data.steer[which], 0.38, "#50dc6e");
  canvas.dataset.row = which;
}

function ray(context, steer, share, ink) {
  if (steer === null || steer === undefined) return;
  const { width, height } = context.canvas;
  const turn = (Math.PI / 3) * Math.max(-1, Math.min(1, steer));
  for (const [stroke, thick] of [["#000", 9], [ink, 5]]) {
    context.strokeStyle = stroke;
    context.lineWidth = thick;
    context.beginPath();
    context.moveTo(width / 2, height);
    context.lineTo(width / 2 + share * height * Math.sin(turn), height - share * height * Math.cos(turn));
    context.stroke();
  }
}

function draw() {
  drawLine($("line"), data, mark, row);
  drawBars($("bars"), data.stats.histogram || []);
}

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

function markFrom(r) {
  mark = [r, mark && mark[1] >= r ? mark[1] : r];
  show(row);
}
function markTo(r) {
  mark = [mark && mark[0] <= r ? mark[0] : r, r];
  show(row);
}
function markLap() {
  mark = [data.lap.indexOf(data.lap[row]), data.lap.lastIndexOf(data.lap[row])];
  show(row);
}
function remove() {
  if (!mark) return ($("said").textContent = "mark a stretch first: [ and ], or L for the lap");
  link.send({ type: "delete", first: data.index[mark[0]], last: data.index[mark[1]] });
}
function play(on) {
  playing = on;
  $("play").setAttribute("aria-pressed", on);
}

setInterval(() => {
  if (!playing) return;
  if (row >= data.rows - 1) play(false);
  else show(row + 1);
}, 50);

const actions = {
  play: () => play(!playing),
  back: () => show(row - 1),
  forth: () => show(row + 1),
  from: () => markFrom(row),
  to: () => markTo(row),
  lap: markLap,
  delete: remove,
  undo: () => link.send({ type: "undo" }),
};
const keys = { " ": "play", ArrowLeft: "back", ArrowRight: "forth", "[": "from", "]": "to", l: "lap", Delete: "delete", u: "undo" };
for (const [id, action] of Object.entries(actions)) $(id).onclick = action;
document.addEventListener("keydown", (event) => {
  const name = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!name || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.tagName === "BUTTON" && event.key === " ") return; // presses that button
  event.preventDefault();
  actions[name]();
});
$("place").oninput = () => show(Number($("place").value));
$("line").onclick = (event) => show(rowAt(event.offsetX, data.rows, $("line").clientWidth));
window.addEventListener("resize", draw);
onScheme(draw);
load();
