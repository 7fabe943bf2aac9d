// The browser's half of experiments/web/page.py: draws the newest pictures and states, and says when it is ready for more.
//
//   const link = connect({
//     pictures: { main: canvas },              // name -> canvas, which takes the picture's size
//     onState: { now: (state) => ... },        // name -> function
//     onMessage: (message) => ...,             // everything else that the server sends
//     onLink: (isOpen) => ...,                 // the connection came or went
//   });
//   link.send({ type: "pause" });              // was there a connection to send it over?
//   link.figures                               // age of the shown picture in ms, pictures drawn, and so on

// Where the program does not answer, a bar at the top says so, with the command that starts it again; body.lost dims the rest.

const clock = () => Date.now() / 1000; // seconds since 1970

const lost = document.createElement("p");
lost.id = "lost";
lost.hidden = true;
lost.setAttribute("role", "alert");
let restart = ""; // the command of the program
let home = ""; // the path of the page that leads to all others
let gone = false; // was this page closed, while the program goes on?

// The way to the front page, on every page that is part of one.
function welcome({ command, home: path }) {
  restart = command;
  home = path;
  const head = document.querySelector("header, main");
  if (!home || location.pathname.startsWith(home) || document.getElementById("home") || !head) return;
  const way = document.createElement("a");
  way.id = "home";
  way.href = home;
  way.textContent = "‹ joypad";
  way.title = "All games, runs and trainings";
  head.prepend(way);
}

function tellLost(closed, ended) {
  document.body.classList.toggle("lost", closed);
  lost.hidden = !closed;
  if (!closed) return;
  document.body.prepend(lost);
  if (gone) {
    const back = document.createElement("a");
    back.href = home;
    back.textContent = "to all games";
    return lost.replaceChildren("This play has ended, because nobody looked or its game failed: ", back);
  }
  const what = ended ? "The program has ended." : "The program does not answer; this page tries again.";
  const code = document.createElement("code");
  code.textContent = restart;
  lost.replaceChildren(...(restart ? [`${what} Start it again: `, code, " and open the address that it prints."] : [what]));
}

export function connect({ pictures = {}, onState = {}, onMessage = () => {}, onLink = () => {} }) {
  const figures = { drawn: 0, age: 0, ages: [], offset: 0, open: false };
  let socket = null;
  let ended = false; // has the program said that it ends?
  let wait = 500; // ms until the next attempt to connect
  let work = Promise.resolve(); // what arrived is worked off in order
  let trip = Infinity; // the shortest round trip tells the difference of the clocks best

  const send = (message) => {
    if (socket?.readyState !== WebSocket.OPEN) return false;
    socket.send(JSON.stringify(message));
    return true;
  };

  function draw(name, canvas, image, at) {
    if (canvas.width !== image.width || canvas.height !== image.height) {
      canvas.width = image.width;
      canvas.height = image.height;
    }
    canvas.getContext("2d").drawImage(image, 0, 0);
    image.close();
    if (name !== Object.keys(pictures)[0]) return;
    figures.drawn += 1;
    figures.age = (clock() + figures.offset - at) * 1000;
    figures.ages.push(figures.age);
    if (figures.ages.length > 600) figures.ages.shift();
  }

  async function take(data, arrived) {
    if (typeof data !== "string") {
      const length = new DataView(data).getUint32(0);
      const about = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
      const canvas = pictures[about.name];
      if (!canvas) return;
      draw(about.name, canvas, await createImageBitmap(new Blob([new Uint8Array(data, 4 + length)], { type: about.media })), about.at);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "state") onState[message.name]?.(message.state);
    else if (message.type === "pong") {
      if (arrived - message.sent <= trip) {
        trip = arrived - message.sent;
        figures.offset = message.now - (message.sent + arrived) / 2;
      }
    } else if (message.type === "end") ready();
    else if (message.type === "welcome") welcome(message);
    else if (message.type === "gone") socket.close((gone = true) && 1000);
    else onMessage(message);
  }

  // A page that nobody sees asks for nothing.
  function ready() {
    if (document.hidden) document.addEventListener("visibilitychange", ready, { once: true });
    else send({ type: "ready" });
  }

  function open() {
    const address = new URL("ws", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      ended = false;
      wait = 500;
      trip = Infinity;
      figures.open = true;
      tellLost(false);
      for (const after of [0, 300, 600, 1000]) setTimeout(ping, after);
      onLink(true);
    };
    socket.onmessage = ({ data }) => {
      const arrived = clock();
      work = work.then(() => take(data, arrived)).catch((fault) => console.error(fault));
    };
    socket.onclose = ({ code }) => {
      figures.open = false;
      ended = code === 1001 || (ended && code === 1006); // it said so, or did so before and is still not there
      tellLost(true, ended);
      onLink(false);
      if (!gone) setTimeout(open, wait);
      wait = Math.min(2 * wait, 5000);
    };
  }

  const ping = () => send({ type: "ping", sent: clock() });
  open();
  setInterval(ping, 5000);
  return { send, figures };
}
