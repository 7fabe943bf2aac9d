// The numbers of a car's steering and motor: shown, tried, saved. See envs/car/calibration.py.

const PULSES = ["left", "centre", "right", "backward", "stopped", "forward"];
const $ = (id) => document.getElementById(id);

export function makeCalibration({ command, say }) {
  const inputs = {};
  for (const name of [...PULSES, "least"]) {
    const input = Object.assign(document.createElement("input"), { type: "number", step: name === "least" ? 0.01 : 5 });
    [input.min, input.max] = name === "least" ? [0, 0.5] : [500, 2500];
    const label = document.createElement("label");
    label.append(name, input);
    $("numbers").append(label);
    inputs[name] = input;
    input.onchange = () => $("lifted").checked && send("calibrate");
  }
  const all = () => [...Object.values(inputs), $("speeds"), $("try"), $("save")];

  async function load() {
    const reply = await fetch("data/calibration");
    if (!reply.ok) return;
    const values = await reply.json();
    for (const [name, input] of Object.entries(inputs)) input.value = values[name];
    $("speeds").value = values.speeds.map((pair) => pair.join(" ")).join("\n");
  }

  function send(name) {
    const values = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, Number(input.value)]));
    values.speeds = $("speeds").value.trim().split("\n").map((line) => line.trim().split(/[\s,;]+/).map(Number));
    if (values.speeds.some((pair) => pair.length !== 2 || pair.some(Number.isNaN))) return say("speeds: two numbers on each line");
    command(name, values);
  }

  function lift() {
    for (const element of all()) element.disabled = !$("lifted").checked;
  }
  $("numbers").onsubmit = (event) => event.preventDefault();
  $("lifted").onchange = lift;
  $("try").onclick = () => send("calibrate");
  $("save").onclick = () => send("save"); // what is refused is not saved
  $("calibration").ontoggle = () => $("calibration").open && load();
  lift();
}
