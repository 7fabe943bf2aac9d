// Colours of shared/style.css for canvases, which do not understand light-dark().
//
//   context.fillStyle = colour("--accent");     // as rgb(), of the scheme that holds now
//   onScheme(draw);                             // the system went from light to dark, or back

const known = new Map();
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => known.clear());

export function colour(name) {
  if (!known.has(name)) {
    const probe = document.createElement("i"); // only a colour that an element has is a colour of the scheme
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    known.set(name, getComputedStyle(probe).color);
    probe.remove();
  }
  return known.get(name);
}

export const onScheme = (draw) => dark.addEventListener("change", draw);

// A canvas in the pixels of the screen, empty; returns its context in CSS pixels, and its size in them.
export function cleared(canvas) {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height };
}
