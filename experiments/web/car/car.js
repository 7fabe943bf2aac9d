// The car in the browser: see, hold to drive, arm, stop, record. The other half is experiments/car/page.py.
import { cleared, colour } from "/shared/colours.js";
import { connect } from "/shared/stream.js";
import { makeCalibration } from "./calibration.js";
import { makeHands } from "./hands.js";

const HEARTBEAT = 40; // ms
const $ = (id) => document.getElementById(id);
const command = (name, value = null) => link.send({ type: "command", name, value });
let now = {}; // newest state of the car
let you = null; // this browser, as the car calls it
let beat = 0; // number of the last heartbeat
let trip = null; // ms from a heartbeat until the wheels have felt it
let own = { steer: 0, throttle: 0 };
const sent = new Map(); // number of a heartbeat -> when it was sent

const say = (text) => ($("said").textContent = text);
const drives = () => now.operator === you && ["armed", "late"].includes(now.state);
const hands = makeHands({ steer: $("steer"), throttle: $("throttle"), onGamepadGone: () => command("leave", "gamepad") });
makeCalibration({ command, say });

const link = connect({
  pictures: { main: $("main") },
  onState: { now: show },
  onMessage: hear,
  onLink: (open) => {
    if (open) return;
    $("state").textContent = "no link";
    $("state").dataset.state = "late";
  },
});
window.car = { figures: link.figures, trips: [] }; // for whoever measures

function hear(message) {
  if (message.type === "modes") {
    you = message.you;
    $("modes").replaceChildren(...Object.entries(message.modes).map(([name, about]) => {
      const button = Object.assign(document.createElement("button"), { textContent: name, title: about });
      button.dataset.mode = name;
      button.onclick = () => command("mode", name);
      return button;
    }));
  } else if (message.type === "felt") {
    if (!sent.has(message.n)) return;
    trip = performance.now() - sent.get(message.n);
    window.car.trips.push(trip);
    if (window.car.trips.length > 2000) window.car.trips.shift();
    for (const n of sent.keys()) if (n <= message.n) sent.delete(n);
  } else if (message.type === "saved") say(`saved: ${message.path}`);
  else if (message.type === "opened") location.href = "/tub/";
  else if (message.type === "error") say(message.message);
}

// A page that nobody sees holds nothing: its silence alone would stop the car as well.
setInterval(() => {
  if (document.hidden) return;
  own = hands.read();
  beat += 1;
  sent.set(beat, performance.now());
  if (sent.size > 100) sent.delete(sent.keys().next().value);
  command("hands", { n: beat, ...own });
  drawWheels();
}, HEARTBEAT);
document.addEventListener("visibilitychange", () => document.hidden && drives() && command("leave", "hidden"));

$("stop").onclick = () => command("stop", "page");
$("arm").onclick = () => {
  say("");
  command(drives() ? "disarm" : "arm");
};
$("record").onclick = () => command("record", !now.recording);
$("cap").oninput = () => command("cap", Number($("cap").value));
$("cap").onpointerup = () => $("cap").blur(); // the arrows drive again
addEventListener("keydown", (event) => {
  const name = { " ": "stop", Escape: "stop", Enter: "arm", r: "record", R: "record" }[event.key];
  if (!name || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const at = event.target;
  if (event.key === " " && at.matches("textarea")) return; // anywhere else a space stops, whatever has the focus
  if (name !== "stop" && at.matches("textarea, input:not([type=checkbox], [type=range])")) return;
  if (name === "arm" && at.closest("button, summary, a")) return; // presses that
  event.preventDefault();
  if (name === "stop") command("stop", "key");
  else $(name).click();
}, true);

const STATES = { starting: "starting", disarmed: "disarmed", armed: "armed", late: "late", latched: "stopped", ended: "ended" };

function show(state) {
  now = state;
  $("state").textContent = STATES[state.state];
  $("state").dataset.state = state.state;
  $("told").textContent = state.halted ? "at a stop sign" : state.told;
  $("arm").firstChild.textContent = drives() ? "Disarm " : "Arm ";
  $("seat").textContent = state.operator === null || state.operator === you ? "" : "somebody else drives; you watch";
  $("record").setAttribute("aria-pressed", state.recording);
  for (const button of $("modes").children) {
    button.setAttribute("aria-pressed", button.dataset.mode === state.mode);
    button.disabled = button.dataset.mode !== "manual" && state.network === null;
    if (button.dataset.mode === state.mode) $("mode").textContent = button.title;
  }
  $("cap").max = state.most;
  if (document.activeElement !== $("cap")) $("cap").value = state.cap;
  $("capped").textContent = `${Math.round(100 * state.cap)} %`;
  $("stops").textContent = state.stops;
  const causes = Object.entries(state.causes).map(([cause, count]) => `${count} × ${cause}`);
  if ($("causes").textContent !== causes.join("")) $("causes").replaceChildren(...causes.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  figures(state);
  drawWheels();
}

function figures(state) {
  const ms = (value) => (value === null || value === undefined ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`);
  const share = (value) => `${value < 0 ? "−" : ""}${Math.abs(100 * value).toFixed(0)} %`;
  const rows = [
    ["age at the car", ms(state.age), state.age === null || state.age > 150],
    ["age here", ms(link.figures.age), link.figures.age > 300],
    ["pictures a second", state.rate.toFixed(1), state.rate < 10],
    ["from hand to wheels", ms(drives() ? trip : null), trip > 200],
    ["steering, throttle", `${share(state.steer)}, ${share(state.throttle)}`, false],
  ];
  if (state.pilot) rows.push(["network", `${share(state.pilot.steer ?? 0)}, ${drive(state.pilot)}`, state.pilot.steer === null], ["network's time", ms(state.pilot.ms), state.pilot.ms > 50]);
  if (state.pilot && state.pilot.sign !== "none") rows.push(["sign", `${state.pilot.sign} ${share(state.pilot.certain)}`, false]);
  if (state.recording || state.records) rows.push(["records", state.records.toLocaleString("en") + (state.lost ? `, ${state.lost} lost` : ""), state.lost > 0]);
  if (state.disk) rows.push(["recording", state.disk, true]);
  if (state.network_fault) rows.push(["network", state.network_fault, true]);
  if (state.camera) rows.push(["camera", state.camera, true]);
  $("figures").replaceChildren(...rows.flatMap(([name, value, bad]) => [
    Object.assign(document.createElement("dt"), { textContent: name }),
    Object.assign(document.createElement("dd"), { textContent: value, className: bad ? "bad" : "" }),
  ]));
}

const drive = (pilot) => (pilot.drive === null ? "–" : pilot.kind === "throttle" ? `${Math.round(100 * pilot.drive)} %` : `${pilot.drive.toFixed(1)} m/s`);

function drawWheels() {
  const { context, width, height } = cleared($("wheels"));
  const ray = (steer, share, ink) => {
    const turn = (Math.PI / 3) * Math.max(-1, Math.min(1, steer));
    for (const [stroke, thick] of [["#000a", 9], [ink, 5]]) {
      context.strokeStyle = stroke;
      context.lineWidth = thick;
      context.lineCap = "round";
      context.beginPath();
      context.moveTo(width / 2, height - 4);
      context.lineTo(width / 2 + share * height * Math.sin(turn), height - 4 - share * height * Math.cos(turn));
      context.stroke();
    }
  };
  if (now.pilot && now.pilot.steer !== null) ray(now.pilot.steer, 0.3, colour("--accent"));
  ray(own.steer, 0.38, colour("--good"));
}

async function list() {
  const reply = await fetch("data/recordings");
  const found = reply.ok ? await reply.json() : [];
  $("recordings").replaceChildren(...found.map(({ name, records, fault }) => {
    const row = document.createElement("li"), button = Object.assign(document.createElement("button"), { textContent: name });
    button.onclick = () => command("open", name);
    row.append(button, fault ?? `${records.toLocaleString("en")} records`);
    return row;
  }));
  if (!found.length) $("recordings").textContent = "none yet";
}
$("library").ontoggle = () => $("library").open && list();
