// One state: what the actor said, what it did, what the world answered, what the judge said.

function inspect(tree, index) {
  const node = tree.nodes[index];
  const box = el("section", { class: "inspect", "aria-label": "the chosen step" });
  if (node.parent == null) {
    box.append(el("h3", {}, "Start"), factsOf(node), el("h4", {}, "The task, as the actor sees it"), block(node.saw, "saw"));
    return box;
  }
  box.append(el("h3", {}, `Step ${node.depth} `, verdictChip(node)), factsOf(node));
  if (node.doubt) box.append(el("p", { class: "doubt-note" }, "⚠ ", node.doubt, "."));
  if (node.reasoning) box.append(reasoningOf(node.reasoning, "Reasoning, apart from the reply"));
  box.append(el("h4", {}, "The actor"), reply(node.said, node.action));
  if (!node.action) box.append(el("p", { class: "quiet" }, "No action was found in this reply."));
  box.append(el("h4", {}, "The world"), block(node.saw, "saw"));
  if (node.judge != null) {
    box.append(el("h4", {}, "The judge, of this step"), block(node.judge || "(nothing)", `judge ${node.verdict}`));
  } else if (node.verdict) {
    box.append(el("p", { class: "quiet" }, "This dataset holds the verdict, and not the judge's words."));
  }
  return box;
}

function reasoningOf(text, name) {
  return el("details", { class: "reasoning" }, el("summary", {}, name), block(text));
}

const VERDICTS = { Good: "✓ judged Good", Bad: "✕ judged Bad", Uncertain: "? judged Uncertain", failed: "! the judge failed" };

function verdictChip(node) {
  return node.verdict ? el("span", { class: `chip ${node.verdict}` }, VERDICTS[node.verdict] ?? node.verdict) : null;
}

function factsOf(node) {
  const facts = [`value ${node.known ? node.value.toFixed(2) : "unknown"}`];
  if (node.change != null) facts.push(`change ${signed(node.change)}`);
  facts.push(plural(node.visits, "visit"), `reward so far ${amount(node.reward)}`);
  if (node.stop != null) facts.push(`the episode ended here: ${stopWord(node.stop)}`);
  else if (!node.known) facts.push("no simulation went on from here");
  return el("p", { class: "quiet facts" }, facts.join(" · "));
}

// All judged steps of the tree, in the tree's order: what a person checks first.
function judgements(tree, view, choose) {
  const judged = tree.nodes.filter((node) => node.verdict);
  const box = el("section", { class: "judgements" }, el("h2", {}, "What the judge said"));
  if (!judged.length) {
    box.append(el("p", { class: "quiet" }, "No step of this tree was judged."));
    return box;
  }
  const doubted = judged.filter((node) => node.doubt).length;
  box.append(el("p", { class: "quiet" }, `${plural(judged.length, "step")} judged; ` + (doubted ?
    `something speaks against ${plural(doubted, "judgement")} (⚠): read them first.` :
    "nothing speaks against any of them.")));
  const order = [...judged].sort((a, b) => Boolean(b.doubt) - Boolean(a.doubt) || a.index - b.index);
  const table = el("div", { class: "judged-list" });
  for (const node of order) {
    table.append(el("button", { class: `judged ${node.index === view.node ? "selected" : ""}`, "data-judged": node.index, onclick: () => choose(node.index) },
      el("span", { class: `chip ${node.verdict}` }, `${GLYPH[node.verdict] ?? ""} ${node.verdict}`),
      el("span", { class: "where" }, `step ${node.depth}${node.change == null ? "" : ` · value ${signed(node.change)}`}`),
      el("b", { class: "action", dir: "auto" }, short(node.action || "no action", 120)),
      el("span", { class: "answer", dir: "auto" }, "→ ", short(node.saw, 160)),
      node.judge == null ? null : el("span", { class: "words", dir: "auto" }, "“", short(node.judge, 300), "”"),
      node.doubt ? el("span", { class: "why" }, `⚠ ${node.doubt}`) : null));
  }
  box.append(table);
  return box;
}
