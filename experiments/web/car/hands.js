// A person's hands on keys, touch or gamepad: what is held now. Whatever is let go of, or loses the window, is neutral.
//
//   const hands = makeHands({ steer: element, throttle: element, onGamepadGone });
//   hands.read()      // { steer, throttle }, each -1 to 1; to be called at every heartbeat

const TURN = 3.5, BACK = 6, FASTER = 4; // change of a key's steering and throttle, per second
const DEAD = 0.06; // rest zone of a gamepad's stick
const KEYS = { ArrowLeft: "left", a: "left", ArrowRight: "right", d: "right", ArrowUp: "up", w: "up", ArrowDown: "down", s: "down" };
const clamp = (value) => Math.max(-1, Math.min(1, value));

export function makeHands({ steer, throttle, onGamepadGone }) {
  const down = new Set();
  const held = { steer: 0, throttle: 0 }; // by keys
  const dragged = { steer: null, throttle: null }; // by fingers
  let pad = null; // number of the gamepad that drives
  let then = performance.now();

  const nameOf = (event) => KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  addEventListener("keydown", (event) => {
    const name = nameOf(event);
    if (!name || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    event.preventDefault();
    down.add(name);
  });
  addEventListener("keyup", (event) => down.delete(nameOf(event)));

  function release() {
    down.clear();
    held.steer = held.throttle = 0;
    for (const [name, element] of [["steer", steer], ["throttle", throttle]]) drag(name, element, null);
  }
  addEventListener("blur", release);
  document.addEventListener("visibilitychange", release);

  function drag(name, element, value) {
    dragged[name] = value;
    element.classList.toggle("held", value !== null);
    place(name, element, value ?? 0);
  }
  // The knob is where the control is, whoever holds it.
  function place(name, element, value) {
    element.setAttribute("aria-valuenow", value.toFixed(2));
    const knob = element.querySelector("i");
    if (name === "steer") knob.style.left = `${50 + value * 36}%`;
    else knob.style.transform = `translateY(${-value * 24}px)`;
  }
  for (const [name, element] of [["steer", steer], ["throttle", throttle]]) {
    const move = (event) => {
      const box = element.getBoundingClientRect();
      const along = name === "steer"
        ? (event.clientX - box.left - box.width / 2) / (box.width / 2)
        : (box.top + box.height / 2 - event.clientY) / (box.height / 2);
      drag(name, element, clamp(along * 1.2));
    };
    element.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      element.setPointerCapture(event.pointerId);
      move(event);
    });
    element.addEventListener("pointermove", (event) => dragged[name] !== null && move(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) element.addEventListener(end, () => drag(name, element, null));
    element.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  function towards(now, wanted, step) {
    return now + Math.max(-step, Math.min(step, wanted - now));
  }

  function readKeys(seconds) {
    const turn = down.has("right") - down.has("left"), go = down.has("up") - down.has("down");
    held.steer = towards(held.steer, turn, (turn && turn * held.steer >= 0 ? TURN : BACK) * seconds);
    held.throttle = go ? towards(held.throttle, go, FASTER * seconds) : 0; // a key that is let go of is neutral at once
  }

  function readPad() {
    const pads = [...(navigator.getGamepads?.() ?? [])];
    if (pad !== null && !pads[pad]?.connected) {
      pad = null;
      onGamepadGone();
      return null;
    }
    const rest = (value) => (Math.abs(value ?? 0) < DEAD ? 0 : value);
    for (const each of pads) {
      if (!each?.connected) continue;
      const values = { steer: rest(each.axes[0]), throttle: rest((each.buttons[7]?.value ?? 0) - (each.buttons[6]?.value ?? 0)) };
      if (values.steer || values.throttle) pad = each.index;
      if (pad === each.index) return values;
    }
    return null;
  }

  function read() {
    const now = performance.now();
    readKeys(Math.min(0.1, (now - then) / 1000));
    then = now;
    const stick = readPad() ?? { steer: 0, throttle: 0 };
    const pick = (name) => clamp(dragged[name] ?? (held[name] || stick[name]));
    const both = { steer: pick("steer"), throttle: pick("throttle") };
    place("steer", steer, both.steer);
    place("throttle", throttle, both.throttle);
    return both;
  }
  return { read, release };
}
