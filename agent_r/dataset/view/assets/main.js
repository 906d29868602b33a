// What is open is named by the address: #tree or #tree/node. Keys and clicks change it.

let asked = 0; // which tree was asked for last: a slower one must not come after it

async function route() {
  const [name, node] = location.hash.slice(1).split("/"); // ids are plain letters and digits
  const place = placeOf.get(name);
  document.body.classList.toggle("opened", place != null);
  if (place == null) {
    list.open = -1;
    drawList();
    return name ? notFound(name) : welcome();
  }
  const mine = ++asked;
  const fresh = list.open !== place;
  list.open = place;
  byId("list").setAttribute("aria-activedescendant", `line-${place}`);
  drawList();
  showInList();
  if (fresh || !view.tree) {
    let tree;
    try {
      tree = await load(place);
    } catch (error) {
      byId("main").replaceChildren(el("p", { class: "nothing" }, `This tree could not be unpacked (${error.message}). A newer browser may.`));
      return;
    }
    if (mine !== asked) return;
    Object.assign(view, { tree, line: trees[place], pair: 0, all: false, zoom: null, node: 0, shared: false, rest: false });
    if (tree) view.node = startOf(tree);
  }
  if (view.tree && node && view.tree.nodes[Number(node)]) {
    view.node = Number(node);
    if (fresh) view.pair = Math.max(0, view.tree.tried.findIndex((one) => pathTo(view.tree, one.bad).includes(view.node)));
  }
  document.title = `${short(trees[place].task, 60)} · ${about.title}`;
  showTree();
  if (view.tree) centre();
  if (fresh) byId("main").scrollTop = 0;
}

// Where a person should look first: a doubtful judgement, else the first error, else the start.
function startOf(tree) {
  const error = tree.tried[0]?.error;
  if (error != null) return error;
  return tree.nodes.find((node) => node.doubt)?.index ?? 0;
}

function chooseNode(index, quiet = false) {
  view.node = index;
  history.replaceState(null, "", `#${view.line.id}/${index}`);
  if (!drawn.spot(index)) {
    const pair = view.tree.tried.findIndex((one) => pathTo(view.tree, one.bad).includes(index));
    if (pair >= 0 && pair !== view.pair) {
      view.pair = pair;
      showTree();
    }
    if (!drawn.spot(index)) view.all = true;
  }
  const { scrollLeft, scrollTop } = byId("canvas");
  drawPicture();
  Object.assign(byId("canvas"), { scrollLeft, scrollTop });
  if (!quiet) centre();
  showNode();
  document.querySelectorAll(".judged").forEach((one) => one.classList.toggle("selected", Number(one.dataset.judged) === index));
}

function choosePair(at) {
  view.pair = at;
  view.node = view.tree.tried[at].error ?? view.tree.tried[at].bad;
  history.replaceState(null, "", `#${view.line.id}/${view.node}`);
  showTree();
  centre();
}

function openTree(tree) {
  if (tree) location.hash = tree.id;
}

// The next judgement that something speaks against: in this tree, else in the next tree of the list.
function nextDoubt() {
  const doubted = (view.tree?.nodes ?? []).filter((node) => node.doubt).map((node) => node.index);
  const later = list.open >= 0 ? doubted.find((index) => index > view.node) : null;
  if (later != null) return chooseNode(later);
  const from = list.found.findIndex((tree) => tree.place === list.open);
  const next = list.found.slice(from + 1).find((tree) => tree.doubts && tree.at);
  if (next) load(next.place).then((tree) => { location.hash = `${next.id}/${tree.nodes.find((node) => node.doubt)?.index ?? 0}`; });
}

function walk(key) {
  const { tree, node } = view;
  const here = tree.nodes[node];
  const drawnOnly = (indices) => indices.filter((index) => drawn.spot(index));
  if (key === "ArrowLeft") return here.parent;
  if (key === "ArrowRight") return drawnOnly(here.children).sort((a, b) => drawn.spot(a).y - drawn.spot(b).y)[0];
  const column = drawnOnly(tree.nodes.filter((one) => one.depth === here.depth).map((one) => one.index)).sort((a, b) => drawn.spot(a).y - drawn.spot(b).y);
  return column[column.indexOf(node) + (key === "ArrowUp" ? -1 : 1)];
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "Escape") return escape(typing);
  if (typing && !(event.target.id === "text" && ["ArrowDown", "ArrowUp", "Enter"].includes(event.key))) return;
  const inTree = view.tree && event.target.closest?.("#canvas") && list.open >= 0;
  const keys = {
    j: () => openTree(neighbour(1)), k: () => openTree(neighbour(-1)), n: nextDoubt,
    "/": () => { document.body.classList.remove("opened"); byId("text").focus(); }, "?": showHelp,
    a: () => byId("whole")?.click(), "+": () => byId("zoom-in")?.click(), "-": () => byId("zoom-out")?.click(), 0: () => byId("zoom-fit")?.click(),
    "[": () => view.tree?.tried[view.pair - 1] && choosePair(view.pair - 1), "]": () => view.tree?.tried[view.pair + 1] && choosePair(view.pair + 1),
    Enter: () => (list.open < 0 ? openTree(list.found[0]) : focusTree()),
    ArrowDown: () => openTree(neighbour(1)), ArrowUp: () => openTree(neighbour(-1)), ArrowRight: focusTree, ArrowLeft: focusTree,
  };
  if (event.key === "Enter" && event.target.closest("button, a, summary")) return;
  if (inTree && event.key.startsWith("Arrow")) {
    const next = walk(event.key);
    if (next != null) chooseNode(next);
  } else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
}

function focusTree() {
  document.body.classList.toggle("opened", list.open >= 0);
  byId("canvas")?.focus();
}

function escape(typing) {
  if (typing) return document.activeElement.blur();
  if (document.activeElement === byId("canvas")) return byId("list").focus();
  location.hash = "";
  byId("list").focus();
}

function welcome() {
  document.title = about.title;
  const doubts = trees.reduce((sum, tree) => sum + tree.doubts, 0);
  const some = trees.filter((tree) => tree.doubts).length;
  byId("main").replaceChildren(el("article", { class: "welcome" }, el("h2", {}, about.title),
    el("p", {}, summary()),
    about.account.length ? el("pre", { class: "account" }, about.account.join("\n")) : null,
    doubts ? el("p", { class: "doubt-note" }, `⚠ Something speaks against ${plural(doubts, "judgement")}, in ${plural(some, "tree")}. `,
      el("button", { class: "link", onclick: nextDoubt }, "Show me one"), " (or press ", el("kbd", {}, "n"), ")") : null,
    about.drawn < trees.length ? el("p", {}, `The page holds the pictures of ${number(about.drawn)} trees, spread evenly over all ${number(trees.length)}; the list has every tree.`) : null,
    about.growing ? el("p", {}, `${plural(about.growing, "tree")} more ${about.growing === 1 ? "is" : "are"} growing: make the page again to see them.`) : null,
    el("p", { class: "quiet" }, "Choose a tree, or press ", el("kbd", {}, "j"), ". All keys: ", el("kbd", {}, "?"))));
}

function notFound(name) {
  byId("main").replaceChildren(el("p", { class: "nothing" }, "This page has no tree of that name: ", short(name, 80)));
}

function summary() {
  const total = (key) => trees.reduce((sum, tree) => sum + tree[key], 0);
  return [plural(trees.length, "tree"), plural(total("pairs"), "pair"), plural(total("revisions"), "revision"),
    `${number(total("interleaved"))} interleaved`, plural(total("good"), "good row"), `${number(total("dropped"))} dropped`, plural(total("judged"), "judged step")].join(" · ");
}

const KEYS = [["j k ↓ ↑", "next, previous tree"], ["enter →", "into the tree; there the arrows move from state to state"], ["n", "next judgement that something speaks against"],
  ["[ ]", "previous, next pair"], ["a", "all states, or the pair's paths alone"], ["+ − 0", "larger, smaller, fit"], ["/", "filter"], ["esc", "back to the list"], ["?", "this"]];

function showHelp() {
  const help = byId("help");
  help.replaceChildren(el("h2", {}, "Keys"),
    el("dl", {}, ...KEYS.flatMap(([keys, what]) => [el("dt", {}, ...keys.split(" ").map((key) => el("kbd", {}, key))), el("dd", {}, what)])),
    el("p", { class: "quiet" }, "The address names the tree and the step: copy it to show somebody the same. ⚠ marks a judgement that something speaks against: the tree's value, the step before, or the judge's own words on answers alike. Either side may be wrong: read it."),
    el("form", { method: "dialog" }, el("button", {}, "close")));
  help.showModal();
}

function begin() {
  byId("title").textContent = about.title;
  byId("summary").textContent = summary();
  fillPickers();
  const doubts = trees.reduce((sum, tree) => sum + tree.doubts, 0);
  byId("next-doubt").hidden = !doubts;
  byId("next-doubt").replaceChildren(`⚠ ${plural(doubts, "doubtful judgement")}: next `, el("kbd", {}, "n"));
  byId("next-doubt").addEventListener("click", nextDoubt);
  byId("filters").addEventListener("input", refilter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("direction").addEventListener("click", () => { list.reversed = !list.reversed; refilter(); });
  byId("list").addEventListener("scroll", drawList, { passive: true });
  byId("help-button").addEventListener("click", showHelp);
  byId("back").addEventListener("click", () => { location.hash = ""; });
  addEventListener("hashchange", route);
  addEventListener("keydown", onKey);
  addEventListener("resize", () => { drawList(); if (view.tree && byId("canvas")) scale(); });
  refilter();
  route();
}

begin();
