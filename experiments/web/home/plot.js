// Curves on a canvas: lines over steps or minutes, with the few numbers that one reads.
import { cleared, colour } from "/shared/colours.js";

export const short = (x) => {
  const size = Math.abs(x);
  if (size >= 1e6) return `${Number((x / 1e6).toPrecision(3))} M`;
  if (size >= 1e4) return `${Number((x / 1e3).toPrecision(3))} k`;
  return size && size < 1e-3 ? x.toExponential(1) : Number(x.toPrecision(3)).toString();
};

// points: [[steps, minutes, value], ...]; over: 0 for steps, 1 for minutes
export function curve(canvas, points, { over = 0, bare = false } = {}) {
  const { context, width, height } = cleared(canvas);
  const kept = points.filter((p) => p[over] !== null);
  if (kept.length < 2 || !width) return;
  const left = bare ? 1 : 44, bottom = bare ? 2 : 20, top = bare ? 2 : 8, right = bare ? 2 : 10;
  const xs = kept.map((p) => p[over]), ys = kept.map((p) => p[2]);
  const [x0, x1] = [Math.min(0, xs[0]), xs[xs.length - 1] || 1];
  let [y0, y1] = [Math.min(...ys), Math.max(...ys)];
  if (y0 === y1) [y0, y1] = [y0 - 1, y1 + 1];
  const x = (v) => left + ((width - left - right) * (v - x0)) / (x1 - x0 || 1);
  const y = (v) => height - bottom - ((height - bottom - top) * (v - y0)) / (y1 - y0);
  if (!bare) {
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = colour("--quiet");
    context.strokeStyle = colour("--edge");
    context.textBaseline = "middle";
    for (const part of [0, 0.5, 1]) {
      const value = y0 + part * (y1 - y0);
      context.textAlign = "right";
      context.fillText(short(value), left - 6, y(value));
      context.beginPath();
      context.moveTo(left, y(value));
      context.lineTo(width - right, y(value));
      context.stroke();
      context.textAlign = part === 1 ? "right" : part ? "center" : "left";
      context.fillText(short(x0 + part * (x1 - x0)), x(x0 + part * (x1 - x0)), height - 8);
    }
  }
  context.strokeStyle = colour("--accent");
  context.lineWidth = bare ? 1.5 : 2;
  context.lineJoin = "round";
  context.beginPath();
  kept.forEach((p, i) => context[i ? "lineTo" : "moveTo"](x(p[over]), y(p[2])));
  context.stroke();
}
