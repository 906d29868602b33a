// The page of one tree: its facts, its pairs, the picture with the chosen step, and what follows.

const view = { tree: null, line: null, node: 0, pair: 0, all: false, zoom: null, shared: false, rest: false };
let drawn = null; // the picture as it stands

function showTree() {
  const { tree, line } = view;
  const main = byId("main");
  if (!tree) {
    main.replaceChildren(el("article", {}, titleOf(line), el("p", { class: "quiet" },
      `This page holds ${number(about.drawn)} of ${number(trees.length)} trees, spread evenly over all; this one is in the list alone. `,
      "For its picture: ", el("code", {}, `agent-r view PATH --task ${JSON.stringify(line.task)}`))));
    return;
  }
  main.replaceChildren(el("article", {},
    titleOf(line), factsLine(tree, line), replies(tree), pairTabs(tree),
    el("div", { class: "stage" },
      el("div", { class: "canvas-box" }, tools(), el("div", { id: "canvas", tabindex: 0, role: "application", "aria-label": "the tree; arrows move from state to state" }), legend()),
      el("div", { id: "inspect" })),
    el("div", { id: "below" })));
  drawPicture();
  showNode();
  showBelow();
}

function titleOf(line) {
  const goal = view.tree ? goalOf(view.tree.nodes[0].saw) : "";
  return el("div", { class: "heading-box" }, el("h2", { class: "task", dir: "auto" }, short(line.task, 200)),
    goal ? el("p", { class: "goal", dir: "auto" }, short(goal, 300)) : null);
}

// A task's goal often stands in the last line of what the actor sees first.
const goalOf = (text) => text.split("\n").map((one) => one.trim()).filter(Boolean).pop() ?? "";

function factsLine(tree, line) {
  const facts = [line.env, `iteration ${line.iteration}`, line.actor, plural(line.states, "state"), plural(line.ends, "end"),
    plural(tree.calls, "request"), plural(line.judged, "judged step"), `${plural(line.good, "good row")}`];
  if (line.depth) facts.splice(1, 0, `depth ${line.depth}`);
  const box = el("p", { class: "facts quiet" }, facts.map((fact) => short(fact, 80)).join(" · "));
  return box;
}

// Replies without an action, with one of each sort to read: an unhealthy share is seen here.
function replies(tree) {
  const odd = Object.entries(tree.replies).filter(([kind, n]) => n && kind !== "action");
  if (!odd.length) return null;
  const all = Object.values(tree.replies).reduce((a, b) => a + b, 0);
  const many = odd.reduce((sum, [, n]) => sum + n, 0) > all / 10;
  return el("details", { class: many ? "odd much" : "odd" },
    el("summary", {}, `Of ${plural(all, "reply", "replies")}: ${odd.map(([kind, n]) => `${number(n)} ${kind}`).join(", ")}`),
    ...Object.entries(tree.samples).map(([kind, text]) => el("div", {}, el("h4", {}, `The first: ${kind}`), block(tree.texts[text]))));
}

function pairTabs(tree) {
  const box = el("div", { class: "pairs", role: "tablist", "aria-label": "pairs" });
  tree.tried.forEach((tried, at) => {
    const name = tried.reason ? `dropped: ${tried.reason}` : tried.row ? "revision" : "pair";
    const again = tried.reason && at > 0 && tree.tried[at - 1].reason === tried.reason; // said once
    box.append(el("button", { class: `pair ${tried.reason ? "dropped" : "kept"}`, role: "tab", title: name, "data-pair": at, "aria-selected": String(at === view.pair), onclick: () => choosePair(at) },
      `${tried.reason ? "⊘" : "⤳"} ${at + 1} `, again ? null : el("span", {}, name)));
  });
  const missing = Object.entries(tree.drops).map(([why, n]) => [why, n - tree.tried.filter((one) => one.reason === why).length]).filter(([, n]) => n > 0);
  if (missing.length) box.append(el("span", { class: "quiet" }, `dropped, and not recorded which: ${missing.map(([why, n]) => `${number(n)} ${why}`).join(", ")}`));
  if (!tree.tried.length && !missing.length) box.append(el("span", { class: "quiet" }, view.line.unjudged ? "Not judged yet: the run is still at it." : "No pair."));
  return box;
}

function tools() {
  const tool = (id, text, title, act) => el("button", { id, class: "plain", title, onclick: act }, text);
  return el("div", { class: "tools" }, el("span", { class: "hint quiet" }, "Click a state, or walk with the arrows"),
    tool("zoom-out", "−", "smaller (−)", () => zoom(0.8)), tool("zoom-in", "+", "larger (+)", () => zoom(1.25)),
    tool("zoom-fit", "fit", "the whole picture (0)", () => zoom(0)), tool("whole", "", "all states, or the pair's paths (a)", () => { view.all = !view.all; drawPicture(); centre(); }));
}

function drawPicture() {
  const canvas = byId("canvas");
  drawn = picture(view.tree, view);
  canvas.replaceChildren(drawn.drawing);
  byId("whole").textContent = drawn.whole ? (view.all ? "less" : "all states shown") : `all ${number(view.tree.nodes.length)} states`;
  byId("whole").disabled = drawn.whole && !view.all;
  drawn.drawing.addEventListener("click", (event) => {
    const node = event.target.closest("[data-node]");
    if (node) chooseNode(Number(node.dataset.node), true);
  });
  scale();
}

// Fitted where its letters stay readable, else at full size and scrolled.
function scale() {
  const canvas = byId("canvas");
  const fit = Math.min(1, canvas.clientWidth / drawn.width);
  const size = view.zoom === 0 ? fit : view.zoom ?? (fit > 0.72 ? fit : 0.92);
  drawn.size = size;
  drawn.drawing.setAttribute("width", Math.round(drawn.width * size));
  drawn.drawing.setAttribute("height", Math.round(drawn.height * size));
  canvas.style.height = `${Math.round(Math.max(190, drawn.height * size + 22))}px`; // the style sheet says how much at most
}

function zoom(factor) {
  view.zoom = factor === 0 ? 0 : Math.min(3, Math.max(0.2, drawn.size * factor));
  scale();
  centre();
}

function centre() {
  const spot = drawn.spot(view.node);
  const canvas = byId("canvas");
  if (!spot) return;
  const [x, width] = [spot.x * drawn.size, canvas.clientWidth];
  canvas.scrollLeft = x < width - 170 ? 0 : x - width * 0.45; // the start stays in sight if it can
  canvas.scrollTop = spot.y * drawn.size - canvas.clientHeight / 2;
}

function showNode() {
  byId("inspect").replaceChildren(inspect(view.tree, view.node));
}

function showBelow() {
  const choose = (index) => { chooseNode(index); byId("canvas").scrollIntoView({ block: "nearest" }); };
  byId("below").replaceChildren(compare(view.tree, view, choose), judgements(view.tree, view, choose), rowsOf(view.tree, view));
}

function legend() {
  const sign = (className, form, text) => el("span", { class: `sign ${className}` }, el("i", {}, form), text);
  return el("p", { class: "legend" },
    sign("good", "━", "good path"), sign("bad", "╍", "bad path"), sign("splice", "⤳", "splice"),
    sign("error", "◇", "first judged error"), sign("fall", "▼", "value falls most"),
    sign("Good", "✓", "judged Good"), sign("Bad", "✕", "Bad"), sign("Uncertain", "?", "Uncertain"),
    sign("doubtful", "⚠", "something speaks against it"), sign("end", "■", "an end, its reward"), sign("", "★", "best reward"),
    sign("", "0.25 · 4×", "mean return · visits"));
}
