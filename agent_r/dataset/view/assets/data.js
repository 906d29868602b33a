// What the page holds: a line for each tree, and chunks that are unpacked when a tree is opened.

const about = JSON.parse(byId("about").textContent);
const trees = JSON.parse(byId("trees").textContent);
trees.forEach((tree, place) => {
  tree.place = place;
  tree.why = tree.doubts; // by node
  tree.doubts = Object.keys(tree.why).length;
  tree.dropped = Object.values(tree.drops).reduce((a, b) => a + b, 0);
  tree.words = [tree.task, tree.env, tree.actor, tree.id, ...Object.keys(tree.drops)].join("\n").toLowerCase();
});
const placeOf = new Map(trees.map((tree) => [tree.id, tree.place]));

// All of a tree; null where the page has its line alone.
async function load(place) {
  const at = trees[place].at;
  if (!at) return null;
  const tree = (await unpack(at[0]))[at[1]];
  for (const [node, why] of Object.entries(trees[place].why)) tree.nodes[node].doubt = why;
  return tree;
}

// Fill in what follows of the rest: children, depths, values.
function grow(tree) {
  tree.nodes.forEach((node, index) => {
    Object.assign(node, { index, children: [] });
    for (const key of ["said", "action", "saw", "reasoning", "judge"]) {
      if (node[key] != null) node[key] = tree.texts[node[key]];
    }
    const parent = node.parent == null ? null : tree.nodes[node.parent];
    node.depth = parent ? parent.depth + 1 : 0;
    node.value = node.visits ? node.total / node.visits : node.reward;
    node.known = node.visits > 0 || node.stop != null;
    node.change = parent && node.known ? node.value - parent.value : null;
    if (parent) parent.children.push(index);
  });
  for (const row of tree.rows) {
    for (const part of ["messages", "prompt", "chosen", "rejected"]) {
      if (row[part]) row[part] = row[part].map(([role, text, train]) => ({ role, text: tree.texts[text], train: Boolean(train) }));
    }
    if (row.final != null) row.final = tree.texts[row.final];
    if (row.reasoning) row.reasoning = row.reasoning.map((text) => tree.texts[text]);
  }
  return tree;
}

function pathTo(tree, index) {
  const path = [];
  for (let at = index; tree.nodes[at].parent != null; at = tree.nodes[at].parent) path.push(at);
  return path.reverse();
}
