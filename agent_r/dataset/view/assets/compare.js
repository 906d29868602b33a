// The bad path, the good path and the revision, step beside step.

function compare(tree, view, choose) {
  const tried = tree.tried[view.pair];
  const box = el("section", { class: "compare" }, el("h2", {}, "Side by side"));
  if (!tried) {
    box.append(el("p", { class: "quiet" }, tree.nodes.some((node) => node.stop != null) ?
      "This tree has no pair: no failed end beside a good one." : "No episode of this tree has come to its end."));
    return box;
  }
  const [bad, good] = [pathTo(tree, tried.bad), pathTo(tree, tried.good)];
  const row = tree.rows.find((one) => one.id === tried.row);
  const turns = row ? turnsOf(row) : [];
  box.append(el("p", { class: "quiet" }, storyOf(tree, tried, row)));
  const grid = el("div", { class: `columns ${row ? "" : "two"}` },
    heading("bad", "✕ Bad path", `reward ${amount(tree.nodes[tried.bad].reward)}`),
    heading("good", "✓ Good path", `reward ${amount(tree.nodes[tried.good].reward)}`),
    row ? heading("revision", "⤳ Revision", `reward ${amount(row.reward)}${row.verified ? ", executed" : ", assumed"}`) : null);
  const longest = Math.max(bad.length, good.length, turns.length);
  const hidden = view.shared ? 0 : Math.max(0, tried.fork - 1);
  if (hidden > 1) {
    grid.append(el("button", { class: "cell unfold", onclick: () => { view.shared = true; showBelow(); } }, `… the first ${hidden} steps are the same in all: show them`));
  }
  const after = view.rest ? longest : Math.max(good.length, turns.length, bad.indexOf(tried.error) + 1) + 1;
  for (let at = hidden > 1 ? hidden : 0; at < (longest > after + 1 ? after : longest); at++) {
    if (at < tried.fork) grid.append(cell(tree, bad[at], "shared", tried, choose));
    else grid.append(cell(tree, bad[at], "bad", tried, choose), cell(tree, good[at], "good", tried, choose));
    if (row) grid.append(turnCell(turns[at], at));
  }
  if (longest > after + 1) {
    grid.append(el("button", { class: "cell unfold", onclick: () => { view.rest = true; showBelow(); } }, `… ${longest - after} more steps of the bad path: show them`));
  }
  box.append(el("div", { class: "sideways", tabindex: 0, role: "region", "aria-label": "paths side by side" }, grid));
  return box;
}

function storyOf(tree, tried, row) {
  const shared = tried.fork ? `The two paths share ${plural(tried.fork, "step")}` : "The two paths part at the start";
  const error = tried.error == null ? "no step was judged Bad" : `step ${tree.nodes[tried.error].depth} is the first one judged Bad`;
  const fall = tried.fall == null ? "the tree's value falls nowhere" : `the tree's value falls most at step ${tree.nodes[tried.fall].depth}`;
  const end = row ? "The revision keeps the bad path up to the error, and goes on from there as the good one." :
    tried.reason ? `The pair was dropped: ${tried.reason}.` : "Its row is not in this version.";
  return `${shared}; ${row && row.localiser !== "actor" ? `the error was found by: ${row.localiser}` : error}; ${fall}. ${end}`;
}

function heading(kind, name, about) {
  return el("div", { class: `heading ${kind}` }, el("b", {}, name), " ", el("span", {}, about));
}

function cell(tree, index, kind, tried, choose) {
  if (index == null) return el("div", { class: `cell ${kind} none` });
  const node = tree.nodes[index];
  const notes = [];
  if (kind !== "good" && index === tried.error) notes.push(el("span", { class: "note error" }, "✕ first error"));
  if (kind !== "good" && index === tried.fall) notes.push(el("span", { class: "note fall" }, `▼ value ${signed(node.change ?? 0)}`));
  if (node.doubt) notes.push(el("span", { class: "note doubtful", title: node.doubt }, "⚠ doubtful"));
  if (node.stop != null) notes.push(el("span", { class: "note" }, `■ ${stopWord(node.stop)}, reward ${amount(node.reward)}`));
  return el("button", { class: `cell ${kind}`, onclick: () => choose(index) },
    el("span", { class: "place" }, String(node.depth), kind === "shared" ? " · both" : "", " ", node.verdict ? el("span", { class: `mini ${node.verdict}`, title: VERDICTS[node.verdict] }, GLYPH[node.verdict]) : null),
    ...turn(thoughtOf(node.said, node.action), node.action, node.saw), ...notes);
}

function turnCell(one, at) {
  if (!one) return el("div", { class: "cell revision none" });
  return el("div", { class: `cell revision part-${one.part} ${one.train ? "trained" : "masked"}` },
    el("span", { class: "place" }, String(at + 1), ` · ${one.part} `, el("span", { class: "train" }, one.train ? "trained" : "masked")),
    ...turn(one.said, "", one.saw));
}

function turn(thought, action, saw) {
  return [
    thought ? el("span", { class: "thought", dir: "auto" }, say(thought.trim())) : null,
    action ? el("b", { class: "action", dir: "auto" }, say(action)) : null,
    el("span", { class: "answer", dir: "auto" }, "→ ", short(saw, 240)),
  ].filter(Boolean);
}

// What a reply says before its action, without the two words of the format.
function thoughtOf(said, action) {
  const at = action ? said.lastIndexOf(action) : -1;
  const before = at < 0 ? said : said.slice(0, at);
  return before.replace(/\s*Action:\s*$/i, "").replace(/^\s*Thought:\s*/i, "");
}

// The replies of an sft row with what was answered.
function turnsOf(row) {
  const found = [];
  row.messages.forEach((message, at) => {
    if (message.role !== "assistant") return;
    const after = row.messages[at + 1];
    found.push({ said: message.text, saw: after ? after.text : row.final ?? "", train: message.train, part: row.parts?.[found.length] ?? "" });
  });
  return found;
}
