// The rows cut from a tree, message by message, as a trainer gets them.

const CONFIGS = {
  sft: "The loss falls on the marked replies alone; everything else is context (masked). `prompt_completion` has the same replies, one to a row.",
  preference: "What to do at the fork, and what not to. The prompt is masked; a preference loss raises the chosen reply above the rejected one.",
  critique: "The judge's own prompt and judgement. The loss falls on the judgement alone.",
};

function rowsOf(tree, view) {
  const box = el("section", { class: "dataset-rows" }, el("h2", {}, "Rows, as the trainer sees them"));
  if (!tree.rows.length) {
    box.append(el("p", { class: "quiet" }, "No row was cut from this tree."));
    return box;
  }
  for (const [config, sense] of Object.entries(CONFIGS)) {
    const rows = tree.rows.filter((row) => row.config === config);
    if (!rows.length) continue;
    box.append(el("h3", {}, el("code", {}, config), ` ${plural(rows.length, "row")}`), el("p", { class: "quiet" }, sense));
    const chosen = tree.tried[view.pair]?.row;
    box.append(...rows.map((row) => rowOf(row, row.id === chosen)));
  }
  return box;
}

function rowOf(row, open) {
  const replies = (row.messages ?? []).filter((message) => message.role === "assistant");
  const trained = replies.filter((message) => message.train).length;
  const told = {
    sft: () => `${row.kind} · reward ${amount(row.reward)} · ${trained} of ${plural(replies.length, "reply", "replies")} trained`,
    preference: () => `fork after step ${row.fork_step} · ${amount(row.reward_chosen)} over ${amount(row.reward_rejected)}`,
    critique: () => `step ${row.step + 1} · ${row.verdict}${row.agrees_with_value === false ? " · the value disagrees" : ""}`,
  }[row.config]();
  const made = el("details", { class: `row ${row.kind ?? ""}`, open },
    el("summary", {}, el("b", {}, told), " ", el("code", {}, row.id)));
  const fill = () => { if (made.open && made.children.length === 1) made.append(...messagesOf(row)); };
  made.addEventListener("toggle", fill);
  fill();
  return made;
}

function messagesOf(row) {
  let replies = 0;
  const reply = (message) => (message.role === "assistant" ? { part: row.parts?.[replies], thought: row.reasoning?.[replies++] } : {});
  if (row.config === "preference") {
    return [
      ...row.prompt.map((message) => messageOf(message, "masked")),
      ...row.chosen.map((message) => messageOf(message, "chosen ▲", "trained")),
      ...row.rejected.map((message) => messageOf(message, "rejected ▼", "rejected")),
    ];
  }
  const found = row.messages.map((message) => messageOf(message, message.train ? "trained" : "masked", message.train ? "trained" : "", reply(message)));
  if (row.final) found.push(el("p", { class: "quiet" }, "Not in the row's messages, the world's last answer: ", short(row.final, 300)));
  return found;
}

function messageOf(message, fate, className = "", { part = "", thought = "" } = {}) {
  return el("div", { class: `message ${message.role} ${className || "masked"}` },
    el("span", { class: "gutter" }, el("b", {}, message.role), part ? el("span", {}, part) : null, el("span", { class: "fate" }, fate)),
    el("div", {}, block(message.text), thought ? reasoningOf(thought, "Reasoning: the column `reasoning`, and not in the message") : null));
}
