// The list of tasks: filtered by what their episodes came to, sorted; only lines that are seen are there.

const LINE = 58; // pixels
const list = { found: [], open: null };

const partly = (task) => task.rates.some((share) => share > 0 && share < 1);
// By episode, of those that the attempt leaves; or by task.
const SHOWN = {
  all: ["all tasks", () => true],
  lost: ["failed", (task, some) => some.some((one) => !one.won)],
  won: ["succeeded", (task, some) => some.some((one) => one.won)],
  partly: ["in some attempts only", partly],
  never: ["in no attempt", (task) => task.rates.every((share) => !share)],
  limit: ["out of steps", (task, some) => some.some((one) => one.stop === "step_limit")],
  other: ["ended by the server", (task, some) => some.some((one) => outcome(one) === "other")],
  apart: ["where the two differ", (task) => two && task.rates[0] !== task.rates[1]],
};
const SORTS = {
  task: ["task", (task) => task.task],
  depth: ["depth", (task) => -task.depth],
  success: ["fewest successes", (task) => task.rates[0] ?? 2],
  gain: ["largest difference", (task) => -Math.abs((task.rates[1] ?? 0) - (task.rates[0] ?? 0))],
  steps: ["longest", (task) => -Math.max(...task.episodes.map((one) => one.steps))],
};

function fillPickers() {
  const fill = (select, pairs) => select.replaceChildren(...pairs.map(([value, text]) => el("option", { value }, text)));
  const shown = Object.entries(SHOWN).map(([key, [name, test]]) => [key, name, tasks.filter((task) => test(task, attempts(task))).length]);
  fill(byId("show"), shown.filter(([key, , n]) => n || key === "all").map(([key, name, n]) => [key, `${name} (${number(n)})`]));
  const numbers = [...new Set(episodes.filter((one) => !one.opening).map((one) => one.attempt))].sort((a, b) => a - b);
  fill(byId("attempt"), [["", "any attempt"], ...numbers.map((n) => [n, `attempt ${n + 1}`]),
    ...(episodes.some((one) => one.opening) ? [["led", "from given steps"]] : [])]);
  byId("attempt").hidden = byId("attempt").options.length < 3;
  fill(byId("world"), [["", "all worlds"], ...worlds.map((world) => [world, short(world, 40)])]);
  byId("world").hidden = worlds.length < 2;
  fill(byId("sort"), Object.entries(SORTS).filter(([key]) => two || key !== "gain").map(([key, [name]]) => [key, name]));
}

// The episodes of a task that the choice of an attempt leaves.
function chosen(task) {
  const attempt = byId("attempt").value;
  if (!attempt) return attempts(task);
  return task.episodes.filter((one) => (attempt === "led" ? one.opening : !one.opening && one.attempt === Number(attempt)));
}

function refilter() {
  const words = byId("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const [world, test] = [byId("world").value, SHOWN[byId("show").value][1]];
  const key = SORTS[byId("sort").value][1];
  list.found = tasks.filter((task) => {
    const some = chosen(task);
    return some.length && (!world || task.world === world) && words.every((word) => task.words.includes(word)) && test(task, some);
  });
  list.found.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) || a.place - b.place);
  byId("count").textContent = list.found.length === tasks.length ? plural(tasks.length, "task") : `${number(list.found.length)} of ${number(tasks.length)}`;
  byId("rows").style.height = `${list.found.length * LINE}px`;
  byId("list").scrollTop = 0;
  drawList();
}

function drawList() {
  const box = byId("list");
  const first = Math.max(0, Math.floor(box.scrollTop / LINE) - 6);
  const last = Math.min(list.found.length, Math.ceil((box.scrollTop + box.clientHeight) / LINE) + 6);
  byId("rows").replaceChildren(...list.found.slice(first, last).map((task, at) => lineOf(task, first + at)));
  if (!list.found.length) byId("rows").replaceChildren(el("p", { class: "nothing" }, "No task is like that."));
}

function lineOf(task, at) {
  const facts = [worlds.length > 1 ? task.world : null, task.depth ? `depth ${task.depth}` : null].filter(Boolean).join(" · ");
  const marks = about.actors.map((_, actor) => whole(task, actor).map((one) => el("i", { class: outcome(one) }, MARK[outcome(one)])));
  const line = el("a", {
    class: "line", href: `#${addressOf(task)}`, role: "option", tabindex: -1, "aria-selected": task === list.open ? "true" : "false",
  },
    el("span", { class: "task", dir: "auto" }, short(task.task, 80)),
    el("span", { class: "reward", title: "attempts that succeed" }, task.rates.map((share) => (share == null ? "–" : `${Math.round(100 * share)} %`)).join(" · ")),
    el("span", { class: "facts marks" }, ...marks.flatMap((some, actor) => (actor ? [" · ", ...some] : some)), facts ? `  ${facts}` : ""));
  line.style.top = `${at * LINE}px`;
  return line;
}

// The first of a task's episodes that the filters ask for.
function addressOf(task) {
  const kinds = { lost: (one) => !one.won, won: (one) => one.won, limit: (one) => one.stop === "step_limit", other: (one) => outcome(one) === "other" };
  const some = chosen(task);
  return (some.find(kinds[byId("show").value] ?? (() => true)) ?? some[0]).place;
}

function showInList() {
  const at = list.found.indexOf(list.open);
  if (at < 0) return;
  const box = byId("list");
  if (at * LINE < box.scrollTop) box.scrollTop = at * LINE;
  else if ((at + 1) * LINE > box.scrollTop + box.clientHeight) box.scrollTop = (at + 1) * LINE - box.clientHeight;
}

function neighbour(step) {
  const at = list.found.indexOf(list.open);
  return list.found[at < 0 ? 0 : Math.min(list.found.length - 1, Math.max(0, at + step))];
}
