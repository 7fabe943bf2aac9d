// The charts of a recording: steering over all records, and how often each steering occurs.
import { cleared, colour } from "/shared/colours.js";

const LEFT = 58, RIGHT = 10, TOP = 8, BOTTOM = 22; // CSS pixels around the field of a chart
const FONT = "12px system-ui, sans-serif";

const between = (value, from, to, low, high) => low + ((value - from) / (to - from || 1)) * (high - low);

// Where a record stands in a chart of `width`, and which record stands at a place in it.
export const xOf = (row, rows, width) => between(row, 0, rows - 1, LEFT, width - RIGHT);
export const rowAt = (x, rows, width) => Math.max(0, Math.min(rows - 1, Math.round(between(x, LEFT, width - RIGHT, 0, rows - 1))));

function label(context, text, x, y, align, baseline) {
  context.font = FONT;
  context.fillStyle = colour("--quiet");
  context.textAlign = align;
  context.textBaseline = baseline;
  context.fillText(text, x, y);
}

// In the middle of pixels: between two of them it would be two faint ones.
function rule(context, x1, y1, x2, y2) {
  const sharp = (place) => Math.floor(place) + 0.5;
  context.beginPath();
  context.moveTo(sharp(x1), sharp(y1));
  context.lineTo(sharp(x2), sharp(y2));
  context.stroke();
}

// data: of experiments/driving/page.py. mark: [first row, last row] or null. row: the one that is shown.
export function drawLine(canvas, data, mark, row) {
  const { context, width, height } = cleared(canvas), base = height - BOTTOM;
  const x = (r) => xOf(r, data.rows, width), y = (steer) => between(steer, -1, 1, TOP, base);
  if (mark) {
    context.fillStyle = colour("--accent");
    context.globalAlpha = 0.22;
    context.fillRect(x(mark[0]), TOP, Math.max(2, x(mark[1]) - x(mark[0])), base - TOP);
    context.globalAlpha = 1;
  }
  context.strokeStyle = colour("--edge");
  context.lineWidth = 1;
  for (let r = 1; r < data.rows; r++) if (data.lap[r] !== data.lap[r - 1]) rule(context, x(r), TOP, x(r), base);
  for (const [steer, text] of [[-1, "left −1"], [0, "0"], [1, "right +1"]]) {
    rule(context, LEFT, y(steer), width - RIGHT, y(steer));
    label(context, text, LEFT - 6, y(steer), "right", "middle");
  }
  if (data.rows) {
    label(context, `record ${data.index[0]}`, LEFT, height - 4, "left", "bottom");
    label(context, `${data.index[data.rows - 1]}`, width - RIGHT, height - 4, "right", "bottom");
  }
  if (data.pilot.some((value) => value !== null)) curve(context, data, data.pilot, x, y, width, "--accent");
  curve(context, data, data.steer, x, y, width, "--good");
  context.fillStyle = colour("--ink");
  context.fillRect(x(row) - 1, TOP, 2, base - TOP);
}

// One line through all values; where several records share a pixel, through the extremes of them, so that no peak is
// lost. It is broken where a record does not follow the one before.
function curve(context, data, values, x, y, width, ink) {
  const begins = new Set(data.starts), column = Math.max(1, Math.floor(data.rows / Math.max(1, width - LEFT - RIGHT)));
  context.strokeStyle = colour(ink);
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.beginPath();
  let pen = false;
  const to = (r, value) => {
    if (pen) context.lineTo(x(r), y(value));
    else context.moveTo(x(r), y(value));
    pen = true;
  };
  for (let first = 0; first < data.rows; first += column) {
    let low = null, high = null;
    for (let r = first; r < Math.min(data.rows, first + column); r++) {
      if (begins.has(r)) pen = false;
      if (values[r] === null) continue;
      if (low === null || values[r] < values[low]) low = r;
      if (high === null || values[r] > values[high]) high = r;
    }
    if (low === null) pen = false;
    else for (const r of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) to(r, values[r]);
  }
  context.stroke();
}

export function drawBars(canvas, counts) {
  const { context, width, height } = cleared(canvas), base = height - BOTTOM, most = Math.max(1, ...counts);
  const x = (k) => between(k, 0, counts.length, LEFT, width - RIGHT), y = (count) => between(count, 0, most, base, TOP);
  context.strokeStyle = colour("--edge");
  for (const count of [0, most]) {
    rule(context, LEFT, y(count), width - RIGHT, y(count));
    label(context, count.toLocaleString("en"), LEFT - 6, y(count), "right", "middle");
  }
  context.fillStyle = colour("--accent");
  counts.forEach((count, k) => context.fillRect(x(k) + 1, y(count), x(k + 1) - x(k) - 2, base - y(count)));
  label(context, "left −1", LEFT, height - 4, "left", "bottom");
  label(context, "0", (LEFT + width - RIGHT) / 2, height - 4, "center", "bottom");
  label(context, "right +1", width - RIGHT, height - 4, "right", "bottom");
}

// The histogram in words, for those who do not see it.
export function barsInWords(counts) {
  const sum = (part) => part.reduce((a, b) => a + b, 0), all = Math.max(1, sum(counts)), middle = (counts.length - 1) / 2;
  const share = (part) => `${Math.round((100 * sum(part)) / all)} %`;
  return `How often each steering occurs: ${share(counts.slice(0, middle))} left, ${share(counts.slice(middle, middle + 1))} straight on, ${share(counts.slice(middle + 1))} right of ${sum(counts)} records`;
}
