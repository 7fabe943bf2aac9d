// The tab of games: a living thumbnail of each game's best agent, and its score beside others'.
const $ = (id) => document.getElementById(id);
let shared, all = [];
const cards = new Map(); // game -> its card
const reels = new Map(); // canvas -> the frames that are shown on it
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export function begin(given) {
  shared = given;
  $("game-filter").addEventListener("input", filter);
  $("game-filter").addEventListener("keydown", (event) => {
    if (event.key === "Enter") unlisted(event.target.value.trim());
  });
  load();
}

let known = "";
export function refresh(listing) {
  // A new score, or a new agent, changes the cards.
  const told = JSON.stringify(listing.runs.map((run) => [run.name, run.score?.value]));
  if (known && told !== known) load();
  known = told;
}

async function load() {
  const found = await shared.get("games");
  if (!found) return setTimeout(load, 3000);
  all = found.games;
  $("all-games").replaceChildren(...[...found.cards.map((c) => c.game), ...all].filter((g, i, a) => a.indexOf(g) === i).map((g) => new Option(g, g)));
  const rank = (card) => (card.missing ? 2 : card.best ? 0 : 1);
  found.cards.sort((a, b) => rank(a) - rank(b));
  for (const card of found.cards) draw(card);
  $("cards").replaceChildren(...found.cards.map((card) => cards.get(card.game).element));
  $("game-note").textContent = `${found.cards.length} shown; any other of ${all.length} games, or gym:ID, by its name and Enter`;
  filter();
}

const number = (x) => (Math.abs(x) >= 1000 ? Math.round(x).toLocaleString("en") : Number(x.toPrecision(4)).toString());

function draw(card) {
  let kept = cards.get(card.game);
  if (!kept) {
    const element = $("card").content.firstElementChild.cloneNode(true);
    kept = { element, asked: false };
    cards.set(card.game, kept);
    const canvas = element.querySelector("canvas");
    element.querySelector(".thumb").classList.add("waits");
    element.querySelector(".thumb").addEventListener("click", (event) => act(event.currentTarget, card.game, card.room ? "board" : "watch"));
    canvas.setAttribute("aria-label", `Watch ${card.game}:`);
    for (const button of element.querySelectorAll("[data-do]")) {
      button.addEventListener("click", () => act(button, card.game, button.dataset.do));
      button.setAttribute("aria-label", `${button.textContent} ${card.game}`);
    }
    seen.observe(element);
    element.dataset.game = card.game;
  }
  const { element } = kept;
  kept.still = Boolean(card.missing || card.window); // a game that is not there, or would open a window of its own
  const put = (name, text) => (element.querySelector(name).textContent = text);
  put("h3", card.game);
  put(".about", card.missing || card.about);
  const best = card.best;
  if (best?.name !== kept.best || best?.steps !== kept.steps) {
    Object.assign(kept, { best: best?.name, steps: best?.steps, asked: false });
    if (visible.has(element)) want(element);
  }
  const who = best ? `${best.agent} · ${best.reference ? "reference" : "yours"}${best.minutes ? ` · ${Math.max(1, Math.round(best.minutes))} min` : ""}` : "";
  put(".who", who);
  scale(element.querySelector(".scale"), card);
  const score = best?.score;
  put(".protocol", score ? `protocol ${score.protocol}${score.games ? `, ${score.games} games` : ""}${published(card.others, score.protocol)}` : best || card.missing ? "" : card.scripted ? "no trained agent yet: the game's own scripted player plays" : "no trained agent yet");
  for (const [name, on] of Object.entries({ watch: true, play: !card.room, race: Boolean(best) && !card.room, board: card.room, train: true }))
    element.querySelector(`[data-do=${name}]`).hidden = !on || Boolean(card.missing);
  if (card.missing) element.querySelector(".thumb").disabled = true;
}

// Scores of the literature have a protocol of their own, which stands beside ours.
function published(others, protocol) {
  const theirs = others.filter((one) => one.protocol && one.protocol !== protocol);
  return theirs.length ? `; ${theirs.map((one) => one.who).join(", ")}: ${theirs[0].protocol}` : "";
}

// Everybody's score as a bar, from the lowest to the highest of them.
function scale(list, card) {
  const rows = card.best?.score ? [{ who: card.best.reference ? "joypad" : "your run", score: card.best.score.value, ours: true }, ...card.others] : [];
  rows.sort((a, b) => b.score - a.score);
  const values = rows.map((row) => row.score), low = Math.min(0, ...values), high = Math.max(...values, low + 1e-9);
  list.replaceChildren(...rows.map((row) => {
    const item = document.createElement("li");
    item.className = row.ours ? "ours" : "";
    if (row.source) item.title = row.source;
    const who = document.createElement("span"), track = document.createElement("span"), fill = document.createElement("span"), value = document.createElement("span");
    who.textContent = row.who;
    track.className = "track";
    fill.className = "fill";
    fill.style.width = `${Math.max(1.5, (100 * (row.score - low)) / (high - low))}%`;
    value.className = "value";
    value.textContent = number(row.score);
    track.append(fill);
    item.append(who, track, value);
    return item;
  }));
  list.hidden = !rows.length;
  list.setAttribute("aria-label", `Scores in ${card.game}`);
}

function act(button, game, what) {
  if (what === "train") return shared.go("train", game);
  shared.tell(what === "board" ? "opening the board ..." : "loading the agent ...");
  return shared.once(button, () => (what === "board" ? shared.ask("board", game) : shared.ask("visit", { mode: what, what: [game] })));
}

async function unlisted(word) {
  if (!word) return;
  const name = word.toLowerCase(), same = [...cards.keys()].filter((game) => game.toLowerCase() === name);
  const near = same.length ? same : [...cards.keys()].filter((game) => game.toLowerCase().includes(name));
  if (near.length === 1) return cards.get(near[0]).element.querySelector(".thumb").focus();
  shared.tell(`loading ${word} ...`);
  await shared.ask("visit", { mode: "watch", what: [word] });
}

function filter() {
  const word = $("game-filter").value.trim().toLowerCase();
  for (const [game, { element }] of cards) element.hidden = !game.toLowerCase().includes(word);
}

// Thumbnails: only of cards that are to be seen, one after the other.
const visible = new Set();
const queue = [];
let busy = 0; // thumbnails that are being made
const AT_ONCE = 2;
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) visible.add(target);
    else visible.delete(target);
    if (isIntersecting) want(target);
  }
}, { rootMargin: "120px" });

function want(element) {
  const kept = cards.get(element.dataset.game);
  if (!kept || kept.asked) return;
  if (kept.still) return element.querySelector(".thumb").classList.remove("waits");
  kept.asked = true;
  queue.push(element);
  setTimeout(next);
}

async function next() {
  if (busy >= AT_ONCE || !queue.length) return;
  if (document.hidden) return document.addEventListener("visibilitychange", next, { once: true });
  busy += 1;
  const element = queue.shift();
  try {
    if (visible.has(element)) {
      const found = await shared.get(`thumbnail?game=${encodeURIComponent(element.dataset.game)}`);
      if (found) await reel(element, found);
    } else cards.get(element.dataset.game).asked = false;
  } catch (fault) {
    console.warn(`no picture of ${element.dataset.game}: ${fault}`);
  } finally {
    if (cards.get(element.dataset.game).asked) element.querySelector(".thumb").classList.remove("waits");
    busy -= 1;
    next();
  }
}

async function reel(element, found) {
  const image = new Image();
  image.src = found.image;
  await image.decode();
  const canvas = element.querySelector("canvas");
  const { width, height } = found;
  canvas.width = 320;
  canvas.height = 200;
  const scale = Math.min(320 / width, 200 / height), box = [(320 - scale * width) / 2, (200 - scale * height) / 2, scale * width, scale * height];
  reels.set(canvas, { ...found, image, element, box });
  // What the picture does not fill is filled with the picture, large and dim.
  const back = canvas.getContext("2d"), cover = Math.max(320 / width, 200 / height);
  back.filter = "blur(14px) brightness(0.55)";
  back.drawImage(image, 0, 0, width, height, (320 - cover * width) / 2, (200 - cover * height) / 2, cover * width, cover * height);
  back.filter = "none";
  element.querySelector(".thumb").classList.remove("waits");
  if (!element.querySelector(".who").textContent) element.querySelector(".who").textContent = found.who;
  show(canvas, 0);
}

function show(canvas, at) {
  const { image, width, height, box } = reels.get(canvas);
  canvas.getContext("2d").drawImage(image, 0, at * height, width, height, ...box);
}

setInterval(() => {
  if (document.hidden || calm.matches || $("panel-games").hidden) return;
  const now = performance.now() / 1000;
  for (const [canvas, { frames, rate, element }] of reels) if (visible.has(element)) show(canvas, Math.floor(now * rate) % frames);
}, 125);
