// The rows cut from a tree, message by message, as a trainer gets them.

const CONFIGS = {
  sft: "The loss falls on the marked replies alone; everything else is context (masked).",
  prompt_completion: "The same replies, one to a row: all that came before is the prompt, and masked.",
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
    const rows = config === "prompt_completion" ? tree.rows.flatMap(singleReplies) : tree.rows.filter((row) => row.config === config);
    if (!rows.length) continue;
    box.append(el("h3", {}, el("code", {}, config), ` ${plural(rows.length, "row")}`), el("p", { class: "quiet" }, sense));
    const chosen = tree.tried[view.pair]?.row;
    box.append(...rows.map((row) => rowOf(row, row.id === chosen)));
  }
  return box;
}

// What `prompt_completion` makes of an sft row; an earlier reply is there without its reasoning.
function singleReplies(row) {
  if (row.config !== "sft") return [];
  const plain = (message) => (message.train ? { ...message, train: false, text: message.text.replace(/^<think>\n[^]*?\n<\/think>\n\n/, "") } : message);
  return row.messages.flatMap((message, at) => (message.train ? [[message, at]] : [])).map(([message, at], count) => ({
    config: "prompt_completion", id: `${row.id}-${count}`, kind: row.kind, reward: row.reward, at: row.messages.slice(0, at).filter((one) => one.role === "assistant").length,
    messages: [...row.messages.slice(0, at).map(plain), message],
  }));
}

function rowOf(row, open) {
  const replies = (row.messages ?? []).filter((message) => message.role === "assistant");
  const trained = replies.filter((message) => message.train).length;
  const told = {
    sft: () => `${row.kind} · reward ${amount(row.reward)} · ${trained} of ${plural(replies.length, "reply", "replies")} trained`,
    prompt_completion: () => `${row.kind} · reply ${row.at + 1}`,
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
