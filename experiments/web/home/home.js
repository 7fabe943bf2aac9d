// The front door: tabs, one connection, and what all tabs share. Each tab has a file of its own.
import { connect } from "/shared/stream.js";
import * as games from "./games.js";
import * as runs from "./runs.js";
import * as train from "./train.js";
import * as car from "./car.js";
import * as more from "./more.js";

const $ = (id) => document.getElementById(id);
const TABS = { games, runs, train, car, more };
const SOON = 2000, LATER = 10000; // ms between two looks: while something trains, and otherwise

let shown = null; // the name of the open tab
let listing = { runs: [], jobs: [], trash: 0 };
let questions = 0;
const waiting = new Map(); // number of a question -> what to do with the answer

const link = connect({
  onMessage: (message) => {
    const answer = waiting.get(message.ask);
    waiting.delete(message.ask);
    if (message.type === "done") answer?.resolve(message);
    else if (message.type === "refused" || message.type === "error") {
      const text = message.text ?? message.message;
      tell(text, true);
      answer?.reject(new Refused(text));
    }
  },
  onLink: (open) => {
    document.body.dataset.link = open ? "open" : "closed";
    if (!open) {
      for (const { reject } of waiting.values()) reject(new Refused("the program does not answer"));
      waiting.clear();
    } else look();
  },
});

class Refused extends Error {}

// Asks the program for something; the answer, or nothing where it refused (the page has told why).
async function ask(name, value = null) {
  const number = ++questions;
  if (!link.send({ type: "command", name, value, ask: number })) {
    tell("The program does not answer.", true);
    return null;
  }
  try {
    const message = await new Promise((resolve, reject) => waiting.set(number, { resolve, reject }));
    if (message.open) location.href = message.open;
    if (message.outside) {
      window.open(message.outside, "_blank", "noopener"); // many browsers refuse it so long after the click
      tell("It is open at ", false, message.outside);
    }
    if (message.text) tell(message.text);
    look();
    return message;
  } catch (fault) {
    if (fault instanceof Refused) return null;
    throw fault;
  }
}

// What the program serves as JSON; nothing where it does not answer.
async function get(path) {
  try {
    const reply = await fetch(`data/${path}`);
    if (!reply.ok) return null;
    return await reply.json();
  } catch {
    return null; // the bar at the top says that the program does not answer
  }
}

// A sentence for the person; with a way to somewhere else it stays until the next one.
let silent = 0;
function tell(text, bad = false, way = "") {
  $("told").replaceChildren(text);
  if (way) $("told").append(Object.assign(document.createElement("a"), { href: way, target: "_blank", rel: "noopener", textContent: way }));
  $("told").classList.toggle("bad", bad);
  $("told").hidden = !text;
  clearTimeout(silent);
  if (text && !way) silent = setTimeout(() => ($("told").hidden = true), bad ? 12000 : 6000);
}

// A button does nothing twice while its answer is awaited.
export async function once(button, action) {
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    return await action();
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

export const shared = { ask, get, tell, open, once, listing: () => listing, go };
window.joypad = { link, shared, listing: () => listing, tab: () => shown }; // for tests and the curious

// Looks: the list of runs and jobs, as often as something may have changed; never while the page is hidden.
let timer = 0, looking = false;
async function look() {
  clearTimeout(timer);
  if (document.hidden) return;
  if (!looking) {
    looking = true;
    const found = await get("runs");
    looking = false;
    if (found) {
      listing = found;
      const own = listing.runs.filter((run) => !run.reference).length;
      $("run-count").textContent = own || "";
      const busy = listing.jobs.filter((job) => job.running).length;
      $("job-count").textContent = busy ? `● ${busy}` : "";
      $("job-count").setAttribute("aria-label", busy ? `${busy} running` : "");
      for (const tab of Object.values(TABS)) tab.refresh?.(listing, shown);
    }
  }
  clearTimeout(timer);
  const busy = listing.jobs.some((job) => job.running) || listing.runs.some((run) => run.state === "training");
  timer = setTimeout(look, busy ? SOON : LATER);
}
document.addEventListener("visibilitychange", look);

// Tabs. The address names the open one: #runs, #train/breakout.
const buttons = [...document.querySelectorAll("[role=tab]")];
function go(name, rest = "") {
  location.hash = rest ? `${name}/${encodeURIComponent(rest)}` : name;
}
function select() {
  const [name, rest] = location.hash.slice(1).split("/");
  shown = name in TABS ? name : "games";
  for (const button of buttons) {
    const mine = button.id === `tab-${shown}`;
    button.setAttribute("aria-selected", mine);
    button.tabIndex = mine ? 0 : -1;
    $(button.getAttribute("aria-controls")).hidden = !mine;
  }
  document.title = `joypad: ${shown}`;
  TABS[shown].enter?.(rest ? decodeURIComponent(rest) : "");
}
for (const button of buttons) {
  button.addEventListener("click", () => go(button.id.slice(4)));
  button.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const place = event.key === "Home" ? 0 : event.key === "End" ? buttons.length - 1 : step === undefined ? -1
      : (buttons.indexOf(button) + step + buttons.length) % buttons.length;
    if (place < 0) return;
    event.preventDefault();
    buttons[place].focus();
    go(buttons[place].id.slice(4));
  });
}
addEventListener("hashchange", select);
for (const tab of Object.values(TABS)) tab.begin(shared);
select();
