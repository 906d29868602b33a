// One episode as a column, or two side by side: what was asked, each step, and how it ended.

function columns(sides) {
  const grid = el("div", { class: `columns ${sides.length > 1 ? "two" : "one"}` }, sides.map(headingOf));
  const parts = sides.length > 1 ? parting(...sides.map((side) => side.record.steps)) : -1;
  const longest = Math.max(...sides.map((side) => side.record.steps.length));
  for (let at = 0; at <= longest; at++) {
    if (at === parts) grid.append(el("p", { class: "parting" }, at ? `≠ The same up to here; they part at step ${at + 1}.` : "≠ They part at the first step."));
    grid.append(...sides.map((side) => cellOf(side, at)));
  }
  return el("div", { class: "sideways", tabindex: 0, role: "region", "aria-label": "steps" }, grid);
}

// The first step at which two episodes do something else; -1 where they are the same to the end.
function parting(one, other) {
  const at = one.findIndex((step, index) => step.action !== other[index]?.action || step.saw !== other[index]?.saw);
  return at < 0 && other.length > one.length ? one.length : at;
}

function headingOf({ episode }) {
  return el("div", { class: `heading ${outcome(episode)}` }, el("b", {}, `${MARK[outcome(episode)]} ${nameOf(episode)}`), " ",
    el("span", {}, [two ? short(about.actors[episode.actor], 40) : null, `reward ${amount(episode.reward)}`, plural(episode.steps, "step"),
      episode.calls ? plural(episode.calls, "call") : null, episode.calls ? `${number(episode.tokens[0])} + ${number(episode.tokens[1])} tokens` : null]
      .filter(Boolean).join(" · ")));
}

const nameOf = (episode) => (episode.opening ? `After ${number(episode.opening)} given` : `Attempt ${episode.attempt + 1}`);

function cellOf({ episode, record }, at) {
  const step = record.steps[at];
  if (at === record.steps.length) {
    return el("p", { class: `step end ${outcome(episode)}` }, `■ ${ended(episode)}, reward ${amount(episode.reward)}`);
  }
  if (!step) return el("div", { class: "step none" });
  const led = at < episode.opening;
  return el("div", { class: `step ${led ? "led" : ""}` },
    el("span", { class: "place" }, `${at + 1}${led ? " · given" : ""}${step.action ? "" : " · no action was found"}`),
    step.reasoning ? el("details", { class: "reasoning" }, el("summary", {}, "Reasoning, apart from the reply"), block(step.reasoning)) : null,
    reply(step.said, step.action), block(step.saw, "saw"));
}

function asked(task, record) {
  const instruction = about.instructions[task.world];
  return [
    instruction ? el("details", { class: "asked" }, el("summary", {}, "What the world tells every actor"), block(instruction)) : null,
    el("details", { class: "asked", open: true }, el("summary", {}, "The task, as the actor sees it"), block(record.prompt)),
  ];
}
