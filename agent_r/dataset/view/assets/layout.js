// Where each state of a tree stands: depth to the right, one row for each end.

const DX = 178; // pixels from a state to the next
const DY = 46; // from row to row
const MANY = 36; // rows beyond which only what matters is drawn at first

// The nodes that are drawn. What is left out is counted at the node it hangs on.
function visibleNodes(tree, tried, all) {
  const rows = tree.nodes.filter((node) => !node.children.length).length;
  if (all || rows <= MANY) return { nodes: new Set(tree.nodes.keys()), hidden: new Map() };
  const kept = new Set([0]);
  const keep = (index) => pathTo(tree, index).forEach((at) => kept.add(at));
  for (const pair of tried ? [tried] : tree.tried.slice(0, 4)) [pair.bad, pair.good].forEach(keep);
  if (kept.size === 1) {
    const ends = tree.nodes.filter((node) => node.stop != null).sort((a, b) => b.reward - a.reward || a.index - b.index);
    [...ends.slice(0, 2), ...ends.slice(-2)].forEach((node) => keep(node.index));
  }
  tree.nodes.forEach((node) => { if (node.doubt) keep(node.index); });
  const hidden = new Map();
  for (const index of kept) {
    const left = tree.nodes[index].children.filter((child) => !kept.has(child)).length;
    if (left) hidden.set(index, left);
  }
  return { nodes: kept, hidden };
}

// Runs of states that nothing hangs on, neither chosen nor judged nor where the two paths differ, are
// one line with a number: they take no room.
function folded(tree, shown, view, kindOf) {
  const below = (index) => tree.nodes[index].children.filter((child) => shown.nodes.has(child));
  const plain = (index) => index !== 0 && index !== view.node && !tree.nodes[index].verdict && below(index).length === 1 &&
    ["shared", "other"].includes(kindOf(index));
  const fold = new Set();
  if (view.all) return fold;
  for (const index of shown.nodes) {
    if (!plain(index) || plain(tree.nodes[index].parent)) continue;
    const run = [];
    for (let at = index; plain(at); [at] = below(at)) run.push(at);
    if (run.length > 2) run.forEach((one) => fold.add(one));
  }
  return fold;
}

// The state that is drawn before this one, and how many are folded between them.
function before(tree, index, fold) {
  let at = tree.nodes[index].parent, left = 0;
  for (; at != null && fold.has(at); at = tree.nodes[at].parent) left++;
  return { at, left };
}

// The good path first and the bad one next to it: what is to be compared stands side by side.
function place(tree, shown, tried, fold) {
  const first = new Map();
  const rank = (index, order) => pathTo(tree, index).forEach((at) => { if (!first.has(at)) first.set(at, order); });
  if (tried) { rank(tried.good, 0); rank(tried.bad, 1); }
  const at = new Map();
  const bad = new Set(tried ? pathTo(tree, tried.bad).slice(tried.fork) : []);
  let row = 0, columns = 0, apart = false;
  const stack = [[0, false]];
  while (stack.length) {
    const [index, done] = stack.pop();
    const node = tree.nodes[index];
    const below = node.children.filter((child) => shown.nodes.has(child))
      .sort((a, b) => (first.get(a) ?? 2) - (first.get(b) ?? 2) || a - b);
    const up = before(tree, index, fold).at;
    if (!at.has(index)) at.set(index, { x: up == null ? 0 : at.get(up).x + (fold.has(index) ? 0 : 1), y: null });
    const spot = at.get(index);
    columns = Math.max(columns, spot.x);
    if (bad.has(index) && !apart) { apart = true; row += row ? 0.65 : 0; } // room for the splice
    if (!below.length) spot.y = row++;
    else if (done) spot.y = at.get(below[0]).y;
    else {
      stack.push([index, true]);
      for (const child of below.reverse()) stack.push([child, false]);
    }
  }
  fold.forEach((index) => at.delete(index));
  return { at, rows: row, columns };
}
