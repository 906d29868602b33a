// The list: filtered, sorted, and only the lines that are seen are in the document.

const LINE = 58; // pixels
const SHOWN = {
  all: ["all trees", () => true],
  doubts: ["doubtful judgements", (t) => t.doubts > 0],
  revisions: ["with a revision", (t) => t.revisions > 0],
  lost: ["pairs, but no revision", (t) => t.pairs > 0 && !t.revisions],
  dropped: ["with dropped pairs", (t) => t.dropped > 0],
  none: ["without a pair", (t) => !t.pairs],
};
const SORTS = {
  place: ["as they were made", (t) => t.place],
  task: ["task", (t) => t.task],
  env: ["world", (t) => t.env],
  depth: ["task's depth", (t) => t.depth, true],
  steps: ["longest path", (t) => t.steps, true],
  states: ["states", (t) => t.states, true],
  best: ["best reward", (t) => t.best, true],
  mean: ["mean reward", (t) => t.mean, true],
  pairs: ["pairs", (t) => t.pairs, true],
  revisions: ["revisions", (t) => t.revisions, true],
  dropped: ["dropped pairs", (t) => t.dropped, true],
  reason: ["drop reason", (t) => Object.keys(t.drops).sort().join()],
  doubts: ["doubtful judgements", (t) => t.doubts, true],
};

const list = { found: [], open: -1, reversed: false };

function fillPickers() {
  const options = (select, pairs) => select.replaceChildren(...pairs.map(([value, text]) => el("option", { value }, text)));
  const count = (test) => trees.filter(test).length;
  options(byId("show"), Object.entries(SHOWN).map(([key, [name, test]]) => [key, `${name} (${number(count(test))})`]));
  options(byId("sort"), Object.entries(SORTS).map(([key, [name]]) => [key, name]));
  const worlds = [...new Set(trees.map((t) => t.env))].sort();
  options(byId("world"), [["", "all worlds"], ...worlds.map((w) => [w, short(w, 40)])]);
  byId("world").hidden = worlds.length < 2;
  const reasons = [...new Set(trees.flatMap((t) => Object.keys(t.drops)))].sort();
  options(byId("reason"), [["", "any drop reason"], ...reasons.map((r) => [r, `dropped: ${short(r, 40)}`])]);
  byId("reason").hidden = !reasons.length;
}

function refilter() {
  const words = byId("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const [world, reason, test] = [byId("world").value, byId("reason").value, SHOWN[byId("show").value][1]];
  const [, key, falls] = SORTS[byId("sort").value];
  list.found = trees.filter((t) => test(t) && (!world || t.env === world) && (!reason || t.drops[reason]) &&
    words.every((word) => t.words.includes(word)));
  const up = Boolean(falls) === list.reversed ? 1 : -1;
  list.found.sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    return up * (x < y ? -1 : x > y ? 1 : 0) || a.place - b.place;
  });
  byId("direction").textContent = up > 0 ? "↑" : "↓";
  byId("direction").title = up > 0 ? "smallest first" : "largest first";
  byId("count").textContent = list.found.length === trees.length ? plural(trees.length, "tree") :
    `${number(list.found.length)} of ${number(trees.length)}`;
  byId("rows").style.height = `${list.found.length * LINE}px`;
  byId("list").scrollTop = 0;
  drawList();
  showInList();
}

function drawList() {
  const box = byId("list");
  const first = Math.max(0, Math.floor(box.scrollTop / LINE) - 6);
  const last = Math.min(list.found.length, Math.ceil((box.scrollTop + box.clientHeight) / LINE) + 6);
  byId("rows").replaceChildren(...list.found.slice(first, last).map((tree, i) => lineOf(tree, first + i)));
  if (!list.found.length) byId("rows").replaceChildren(el("p", { class: "nothing" }, "No tree is like that."));
}

function lineOf(tree, at) {
  const facts = [plural(tree.states, "state"), tree.pairs ? plural(tree.pairs, "pair") : noPair(tree)];
  if (tree.revisions) facts.push(plural(tree.revisions, "revision"));
  if (tree.dropped) facts.push(`${number(tree.dropped)} dropped`);
  if (tree.unjudged) facts.push("not judged yet");
  const line = el("a", {
    class: "line", href: `#${tree.id}`, role: "option", tabindex: -1, id: `line-${tree.place}`,
    "aria-selected": tree.place === list.open ? "true" : "false",
  },
    el("span", { class: "task", dir: "auto" }, short(tree.task, 80)),
    el("span", { class: "reward", title: "best reward · mean reward of its ends" }, `${amount(tree.best)} · ${amount(tree.mean)}`),
    el("span", { class: "facts" }, facts.join(" · ")),
    tree.doubts ? el("span", { class: "doubts", title: `${plural(tree.doubts, "judgement")} that something speaks against` }, `⚠ ${tree.doubts}`) : null);
  line.style.top = `${at * LINE}px`;
  return line;
}

function noPair(tree) {
  if (!tree.ends) return "no end";
  return tree.best - tree.mean < 1e-9 ? `no pair: every end ${amount(tree.best)}` : "no pair";
}

// Scroll to the open tree's line, if it is among those found.
function showInList() {
  const at = list.found.findIndex((tree) => tree.place === list.open);
  if (at < 0) return;
  const box = byId("list");
  const [top, bottom] = [at * LINE, (at + 1) * LINE];
  if (top < box.scrollTop) box.scrollTop = top;
  else if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = bottom - box.clientHeight;
}

function neighbour(step) {
  const at = list.found.findIndex((tree) => tree.place === list.open);
  const next = at < 0 ? 0 : Math.min(list.found.length - 1, Math.max(0, at + step));
  return list.found[next];
}
