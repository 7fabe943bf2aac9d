// Boards of games that have one, and recordings.
const $ = (id) => document.getElementById(id);
const make = (kind, name = "", text = "") => Object.assign(document.createElement(kind), { className: name, textContent: text });
let shared;

export function begin(given) {
  shared = given;
}

export async function enter() {
  const [games, recordings] = await Promise.all([shared.get("games"), shared.get("recordings")]);
  const boards = (games?.cards ?? []).filter((card) => card.room);
  $("boards").replaceChildren(...boards.map((card) => row(card.game, card.about, "Open the board", () => shared.ask("board", card.game))));
  const size = (bytes) => (bytes >= 2 ** 20 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${Math.ceil(bytes / 1024)} KiB`);
  $("recordings").replaceChildren(
    ...(recordings ?? []).map((one) =>
      row(one.name, `${one.kind}, ${size(one.size)}`, one.opens ? "Look through" : "", () => shared.ask("recording", one.name))
    )
  );
  $("no-recordings").hidden = (recordings ?? []).length > 0;
}

function row(title, about, action, act) {
  const item = make("li", "card"), bar = make("div", "bar");
  bar.style.margin = 0;
  bar.append(make("b", "", title), make("span", "quiet", about), make("span", "grow"));
  if (action) {
    const button = make("button", "", action);
    button.setAttribute("aria-label", `${action}: ${title}`);
    button.addEventListener("click", () => shared.once(button, act));
    bar.append(button);
  }
  item.append(bar);
  return item;
}
