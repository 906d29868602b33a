// The tree as a picture. Every meaning has a form of its own beside its colour.

const R = 9; // pixels, of a state
const GLYPH = { Good: "✓", Bad: "✕", Uncertain: "?", failed: "!" };

function picture(tree, view) {
  const tried = tree.tried[view.pair];
  const shown = visibleNodes(tree, tried, view.all);
  const marks = marksOf(tree, tried);
  const fold = folded(tree, shown, view, (index) => classOf(index, marks));
  const laid = place(tree, shown, tried, fold);
  const spot = (index) => ({ x: 20 + laid.at.get(index).x * DX, y: 28 + laid.at.get(index).y * DY });
  const width = 20 + laid.columns * DX + 130, height = 28 + laid.rows * DY;
  const drawing = svg("svg", { class: "tree", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "the search tree" }, arrowHead());
  const edges = [], nodes = [];
  for (const index of laid.at.keys()) {
    const node = tree.nodes[index];
    const { at, left } = before(tree, index, fold);
    if (at != null) edges.push(edgeOf(node, spot(at), spot(index), marks, left));
    nodes.push(nodeOf(tree, node, spot(index), marks, view, shown.hidden.get(index)));
  }
  edges.sort((a, b) => a.order - b.order);
  drawing.append(...edges.map((edge) => edge.drawn));
  const splice = tried && spliceOf(tree, tried, spot);
  if (splice) drawing.append(splice);
  drawing.append(...nodes);
  return { drawing, width, height, spot: (index) => (laid.at.has(index) ? spot(index) : null), whole: !shown.hidden.size && !fold.size };
}

function marksOf(tree, tried) {
  const best = tree.nodes.reduce((most, node) => (node.stop != null ? Math.max(most, node.reward) : most), 0);
  if (!tried) return { best, bad: new Set(), good: new Set(), error: null, fall: null };
  return { best, bad: new Set(pathTo(tree, tried.bad)), good: new Set(pathTo(tree, tried.good)), error: tried.error, fall: tried.fall };
}

function classOf(index, marks) {
  const [bad, good] = [marks.bad.has(index), marks.good.has(index)];
  return bad && good ? "shared" : bad ? "bad" : good ? "good" : "other";
}

function edgeOf(node, from, to, marks, left) {
  const kind = classOf(node.index, marks);
  const turn = from.x + 16, r = Math.min(8, Math.abs(to.y - from.y) / 2);
  const down = to.y > from.y ? 1 : -1;
  const d = to.y === from.y ? `M${from.x} ${from.y}H${to.x}` :
    `M${from.x} ${from.y}H${turn - r}Q${turn} ${from.y} ${turn} ${from.y + down * r}V${to.y - down * r}Q${turn} ${to.y} ${turn + r} ${to.y}H${to.x}`;
  const told = left ? `${left} steps, ${short(node.action || "no action", 15)}` : short(node.action || "no action", 23);
  const value = node.known ? `${amount(node.value)} · ${number(node.visits)}×` : "not tried";
  return {
    order: { other: 0, shared: 1, good: 2, bad: 3 }[kind],
    drawn: svg("g", { class: `edge ${kind} ${node.known ? "" : "unknown"} ${left ? "folded" : ""}` },
      svg("path", { d }),
      svg("text", { class: "does", x: turn + 8, y: to.y - 6 }, svg("title", {}, short(node.action || "no action", 400)), told),
      svg("text", { class: "value", x: turn + 8, y: to.y + 13 }, value, ...tags(node, marks))),
  };
}

// What a step is known for stands in words below its line.
function tags(node, marks) {
  const found = [];
  if (node.index === marks.error) found.push(svg("tspan", { class: "error", dx: 6 }, "✕ error"));
  if (node.index === marks.fall) found.push(svg("tspan", { class: "fall", dx: 6 }, `▼ ${node.change == null ? "" : signed(node.change)}`));
  return found;
}

function nodeOf(tree, node, { x, y }, marks, view, hidden) {
  const kind = classOf(node.index, marks);
  const end = node.stop != null;
  const shape = end ? svg("rect", { x: x - R, y: y - R, width: 2 * R, height: 2 * R, rx: 2 }) : svg("circle", { cx: x, cy: y, r: node.known ? R : 5 });
  const best = end && node.reward > 0 && node.reward === marks.best;
  const made = svg("g", {
    class: `node ${kind} ${end ? "end" : ""} ${best ? "best" : ""} ${CUT_OFF.has(node.stop) ? "cut-off" : ""} ${node.verdict ?? ""} ${node.index === view.node ? "selected" : ""}`,
    "data-node": node.index, tabindex: -1, role: "button", "aria-label": `state ${node.index}`,
  });
  if (node.index === marks.error) made.append(svg("path", { class: "ring", d: `M${x} ${y - 16}L${x + 16} ${y}L${x} ${y + 16}L${x - 16} ${y}Z` }));
  if (node.index === view.node) made.append(svg("circle", { class: "halo", cx: x, cy: y, r: node.index === marks.error ? 21 : R + 5 }));
  made.append(shape);
  if (node.parent == null) made.append(svg("text", { class: "glyph", x, y: y + 3.5 }, "▸"));
  if (node.verdict) made.append(svg("text", { class: "glyph", x, y: y + 4 }, GLYPH[node.verdict]));
  if (node.doubt) made.append(svg("text", { class: "doubt", x, y: y - 12 }, svg("title", {}, node.doubt), "⚠"));
  if (end) made.append(svg("text", { class: "ends", x: x + R + 5, y: y + 4 }, `${amount(node.reward)} ${best ? "★ " : CUT_OFF.has(node.stop) ? "⊗ " : ""}${stopWord(node.stop)}`));
  if (hidden) made.append(svg("text", { class: "more", x: x - 2, "text-anchor": "end", y: y + (node.index === marks.error ? 29 : R + 12) }, `+${hidden}`, svg("title", {}, `${hidden} more from here: press a`)));
  return made;
}

// Ends that are the server's or the world's doing, and not what the actor came to.
const CUT_OFF = new Set(["context_overflow", "refused", "no_reply", "cut", "filtered", "failed", "fault"]);
const stopWord = (stop) => (stop === "terminated" ? "ended" : String(stop).replaceAll("_", " "));

// From the first error over to the good path: where the actor is made to notice.
function spliceOf(tree, tried, spot) {
  if (tried.error == null || !tried.row) return null;
  const next = pathTo(tree, tried.good)[tried.fork];
  if (next == null) return null;
  const from = spot(tried.error), to = spot(next);
  const between = from.y - 28, r = Math.min(9, Math.abs(from.x - to.x) / 2), side = to.x < from.x ? -1 : 1;
  const turn = `V${between + r}Q${from.x} ${between} ${from.x + side * r} ${between}H${to.x - side * r}Q${to.x} ${between} ${to.x} ${between - r}`;
  const d = `M${from.x} ${from.y - 17}${r ? turn : ""}V${to.y + R + 4}`;
  return svg("g", { class: "splice" }, svg("path", { d, "marker-end": "url(#head)" }),
    svg("text", { x: to.x + 9, y: between - 5 }, "splice"));
}

function arrowHead() {
  return svg("defs", {}, svg("marker", { id: "head", viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" },
    svg("path", { class: "head", d: "M0 0L8 4L0 8Z" })));
}
