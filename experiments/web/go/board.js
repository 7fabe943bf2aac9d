// A Go board on a canvas: wood, slate and shell, coordinates, and what a player thinks laid over it.
const LETTERS = "ABCDEFGHJKLMNOPQRST";

function random(seed) { // mulberry32: the same grain at every drawing
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function wood(side) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const g = canvas.getContext("2d");
  const ground = g.createLinearGradient(0, 0, side, side);
  ground.addColorStop(0, "#e6bd7c");
  ground.addColorStop(0.5, "#dfb26c");
  ground.addColorStop(1, "#d3a35c");
  g.fillStyle = ground;
  g.fillRect(0, 0, side, side);
  const draw = random(7);
  for (let i = 0; i < 190; i++) { // grain: long, slightly bent streaks
    const x = draw() * side, bend = (draw() - 0.5) * side * 0.05, dark = draw() < 0.6;
    g.strokeStyle = dark ? `rgba(120,72,24,${0.03 + draw() * 0.07})` : `rgba(255,232,180,${0.03 + draw() * 0.08})`;
    g.lineWidth = 0.5 + draw() * side * 0.005;
    g.beginPath();
    g.moveTo(x, 0);
    g.bezierCurveTo(x + bend, side * 0.3, x - bend, side * 0.7, x + bend * draw(), side);
    g.stroke();
  }
  const edge = g.createRadialGradient(side / 2, side / 2, side * 0.45, side / 2, side / 2, side * 0.75);
  edge.addColorStop(0, "rgba(70,35,5,0)");
  edge.addColorStop(1, "rgba(70,35,5,0.28)");
  g.fillStyle = edge;
  g.fillRect(0, 0, side, side);
  return canvas;
}

export function stars(size) {
  const line = size > 12 ? 3 : 2, far = size - 1 - line, middle = (size - 1) / 2;
  if (size < 9) return size % 2 && size > 3 ? [[middle, middle]] : [];
  const points = [[line, line], [line, far], [far, line], [far, far]];
  if (size % 2) points.push([middle, middle]);
  if (size % 2 && size > 13) points.push([line, middle], [far, middle], [middle, line], [middle, far]);
  return points;
}

export const nameOf = (action, size) =>
  action >= size * size ? "pass" : `${LETTERS[action % size]}${size - Math.floor(action / size)}`;

export class Board {
  constructor(canvas) {
    this.canvas = canvas;
    this.hover = this.cursor = -1;
    this.view = null;
    this.overlay = "off";
    this.line = null; // actions of a line that is shown as stones with numbers
    this.counted = null; // whose each point is, once a game is counted
  }

  measure() {
    const side = Math.round(this.canvas.clientWidth * (window.devicePixelRatio || 1));
    const size = this.view.size, gap = side / (size + 1.25);
    return { side, size, gap, first: (side - gap * (size - 1)) / 2 };
  }

  // Between two lines, in CSS pixels.
  gap() {
    const { side, gap } = this.measure();
    return (gap * this.canvas.clientWidth) / side;
  }

  // The action of the point nearest to a mouse event, or -1.
  at(event) {
    if (!this.view) return -1;
    const box = this.canvas.getBoundingClientRect(), { side, size, gap, first } = this.measure();
    const column = Math.round((((event.clientX - box.left) / box.width) * side - first) / gap);
    const row = Math.round((((event.clientY - box.top) / box.height) * side - first) / gap);
    return column >= 0 && row >= 0 && column < size && row < size ? row * size + column : -1;
  }

  // Where a point is, in CSS pixels from the canvas's corner; for tests.
  place(action) {
    const { side, size, gap, first } = this.measure(), scale = this.canvas.clientWidth / side;
    return [(first + gap * (action % size)) * scale, (first + gap * Math.floor(action / size)) * scale];
  }

  draw() {
    if (!this.view || !this.canvas.clientWidth) return;
    const { side, size, gap, first } = this.measure(), { canvas, view } = this, g = canvas.getContext("2d");
    if (canvas.width !== side || this.drawnSize !== size) {
      canvas.width = canvas.height = side;
      this.drawnSize = size;
      this.ground = this.empty(side, size, gap, first);
    }
    const xy = (action) => [first + gap * (action % size), first + gap * Math.floor(action / size)];
    g.drawImage(this.ground, 0, 0);
    const found = view.found, radius = gap * 0.477;
    if (this.overlay === "ownership" && found.ownership) {
      found.ownership.forEach((owner, action) => { // territory below the stones
        if (Math.abs(owner) < 0.05) return;
        const [x, y] = xy(action);
        g.fillStyle = owner > 0 ? `rgba(15,15,20,${0.6 * owner})` : `rgba(255,255,255,${-0.75 * owner})`;
        g.fillRect(x - gap / 2, y - gap / 2, gap, gap);
      });
    }
    view.board.forEach((colour, action) => colour && this.shadow(g, ...xy(action), radius));
    view.board.forEach((colour, action) => colour && this.stone(g, ...xy(action), radius, colour));
    if (this.overlay === "ownership" && found.ownership) this.owners(g, xy, gap, view, found.ownership);
    if (this.counted) this.area(g, xy, gap, view, this.counted);
    if (this.overlay === "visits" && found.shares) this.heat(g, xy, gap, view, found.shares, found.moves);
    if (this.overlay === "policy" && found.policy) this.heat(g, xy, gap, view, found.policy, null);
    if (view.last >= 0 && !view.passed) {
      const [x, y] = xy(view.last);
      g.strokeStyle = view.board[view.last] === 1 ? "#f4efe4" : "#26221c";
      g.lineWidth = Math.max(1.5, gap * 0.055);
      g.beginPath();
      g.arc(x, y, gap * 0.2, 0, 7);
      g.stroke();
    }
    if (view.ko >= 0) {
      const [x, y] = xy(view.ko);
      g.strokeStyle = "#c2402c";
      g.lineWidth = Math.max(1.5, gap * 0.05);
      g.strokeRect(x - gap * 0.16, y - gap * 0.16, gap * 0.32, gap * 0.32);
    }
    if (this.line) this.ahead(g, xy, gap, view, this.line);
    for (const action of this.line ? [] : [this.hover, this.cursor]) {
      if (action < 0 || action >= size * size) continue;
      const [x, y] = xy(action);
      if (!view.board[action] && view.mine) {
        g.globalAlpha = 0.45;
        this.stone(g, x, y, radius, view.turn + 1);
        g.globalAlpha = 1;
      }
      if (action === this.cursor) {
        g.strokeStyle = "#0b6bcb";
        g.lineWidth = 3;
        g.strokeRect(x - gap * 0.46, y - gap * 0.46, gap * 0.92, gap * 0.92);
      }
    }
  }

  empty(side, size, gap, first) {
    const canvas = wood(side), g = canvas.getContext("2d"), last = first + gap * (size - 1);
    g.strokeStyle = g.fillStyle = "#3a2612";
    for (let i = 0; i < size; i++) {
      const at = Math.round(first + gap * i) + 0.5;
      g.lineWidth = Math.max(1, (gap / 40) * (i === 0 || i === size - 1 ? 1.8 : 1));
      g.beginPath();
      g.moveTo(first, at);
      g.lineTo(last, at);
      g.moveTo(at, first);
      g.lineTo(at, last);
      g.stroke();
    }
    for (const [row, column] of stars(size)) {
      g.beginPath();
      g.arc(first + gap * column, first + gap * row, Math.max(2.5, gap * 0.075), 0, 7);
      g.fill();
    }
    g.font = `${Math.max(10, Math.min(20, gap * 0.3))}px system-ui, sans-serif`;
    g.textAlign = "center";
    g.textBaseline = "middle";
    const away = gap * 0.78;
    for (let i = 0; i < size; i++) {
      for (const end of [first - away, last + away]) {
        g.fillText(LETTERS[i], first + gap * i, end);
        g.fillText(size - i, end, first + gap * i);
      }
    }
    return canvas;
  }

  shadow(g, x, y, radius) {
    const fall = g.createRadialGradient(x + radius * 0.12, y + radius * 0.18, radius * 0.7, x + radius * 0.12, y + radius * 0.18, radius * 1.22);
    fall.addColorStop(0, "rgba(30,15,0,0.55)");
    fall.addColorStop(1, "rgba(30,15,0,0)");
    g.fillStyle = fall;
    g.beginPath();
    g.arc(x + radius * 0.12, y + radius * 0.18, radius * 1.22, 0, 7);
    g.fill();
  }

  stone(g, x, y, radius, colour) {
    const light = g.createRadialGradient(x - radius * 0.35, y - radius * 0.42, radius * 0.05, x, y, radius * 1.05);
    const steps = colour === 1
      ? [[0, "#85888f"], [0.28, "#3d4046"], [0.7, "#1b1c20"], [1, "#08090b"]]
      : [[0, "#ffffff"], [0.5, "#f5f3ee"], [0.85, "#dcd8cf"], [1, "#b7b2a7"]];
    for (const [at, paint] of steps) light.addColorStop(at, paint);
    g.fillStyle = light;
    g.beginPath();
    g.arc(x, y, radius, 0, 7);
    g.fill();
    if (colour === 2 && radius > 9) { // the faint lines of a shell
      g.save();
      g.clip();
      g.strokeStyle = "rgba(140,130,110,0.13)";
      g.lineWidth = radius * 0.05;
      for (let i = -3; i < 4; i++) {
        g.beginPath();
        g.arc(x - radius * 2.4, y - radius * 0.6, radius * (2.4 + i * 0.27), -0.6, 0.9);
        g.stroke();
      }
      g.restore();
    }
  }

  area(g, xy, gap, view, counted) {
    counted.forEach((owner, action) => { // on free points, and on stones that are dead
      if (!owner || view.board[action] === (owner > 0 ? 1 : 2)) return;
      const [x, y] = xy(action), half = gap * 0.16;
      g.fillStyle = owner > 0 ? "#15161a" : "#fbfaf6";
      g.strokeStyle = owner > 0 ? "#fbfaf6" : "#15161a";
      g.lineWidth = Math.max(1, gap * 0.03);
      g.fillRect(x - half, y - half, 2 * half, 2 * half);
      g.strokeRect(x - half, y - half, 2 * half, 2 * half);
    });
  }

  ahead(g, xy, gap, view, line) { // a line that may follow, numbered; a point that is played twice shows its first stone
    const taken = new Set();
    line.forEach((action, i) => {
      if (action >= view.size ** 2 || taken.has(action) || view.board[action]) return;
      taken.add(action);
      const [x, y] = xy(action), colour = ((view.turn + i) % 2) + 1, radius = gap * 0.45;
      g.globalAlpha = i ? 0.8 : 1;
      this.stone(g, x, y, radius, colour);
      g.globalAlpha = 1;
      g.fillStyle = colour === 1 ? "#fff" : "#111";
      g.font = `600 ${gap * 0.42}px system-ui, sans-serif`;
      g.textAlign = "center";
      g.textBaseline = "middle";
      g.fillText(i + 1, x, y + gap * 0.02);
    });
  }

  owners(g, xy, gap, view, ownership) {
    view.board.forEach((colour, action) => { // on stones: only where they are expected to fall
      const owner = ownership[action];
      if (!colour || Math.sign(owner) === (colour === 1 ? 1 : -1) || Math.abs(owner) < 0.2) return;
      const [x, y] = xy(action);
      g.fillStyle = owner > 0 ? "#111" : "#fff";
      g.fillRect(x - gap * 0.14, y - gap * 0.14, gap * 0.28, gap * 0.28);
    });
  }

  heat(g, xy, gap, view, shares, moves) {
    const most = Math.max(...shares, 1e-6), told = new Map((moves || []).map((move) => [move.action, move]));
    g.textAlign = "center";
    g.textBaseline = "middle";
    shares.forEach((share, action) => {
      const part = share / most;
      if (view.board[action] || part < 0.03) return;
      const [x, y] = xy(action), hue = 210 - 200 * Math.sqrt(part), r = gap * (0.24 + 0.2 * Math.sqrt(part));
      const glow = g.createRadialGradient(x, y, 0, x, y, r);
      glow.addColorStop(0, `hsla(${hue},85%,50%,${0.35 + 0.55 * part})`);
      glow.addColorStop(0.75, `hsla(${hue},85%,48%,${0.3 + 0.5 * part})`);
      glow.addColorStop(1, `hsla(${hue},85%,45%,0)`);
      g.fillStyle = glow;
      g.beginPath();
      g.arc(x, y, r, 0, 7);
      g.fill();
      const move = told.get(action);
      if (moves ? move && part > 0.08 : part > 0.12) { // chances where they are known, shares of the policy
        g.fillStyle = "#fff";
        g.shadowColor = "#000a";
        g.shadowBlur = 3;
        g.font = `600 ${gap * 0.24}px system-ui, sans-serif`;
        const chance = move ? (view.turn ? 1 - move.chance : move.chance) : null;
        g.fillText(chance === null ? Math.round(share * 100) : Math.round(chance * 100), x, y + 1);
        g.shadowBlur = 0;
      }
    });
  }
}
