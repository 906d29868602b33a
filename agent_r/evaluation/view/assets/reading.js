// What is read is named by the address: #episode, or #episode/another beside it. Keys and clicks change it.

let wanted = 0; // what was asked for last: a slower one must not come after it

async function route() {
  const [left, right] = location.hash.slice(1).split("/").map((place) => (place ? episodes[Number(place)] : undefined));
  document.body.classList.toggle("opened", left != null);
  list.open = left ? tasks.find((task) => task.episodes.includes(left)) : null;
  drawList();
  if (!left) return welcome();
  showInList();
  const mine = ++wanted;
  const beside = location.hash.includes("/") ? right : besideOf(list.open, left);
  const sides = [left, beside].filter((one) => one && list.open.episodes.includes(one));
  const records = await Promise.all(sides.map(load));
  if (mine === wanted) show(list.open, sides, records);
}

// What a person would compare it with: the other actor's, or the first attempt that came out otherwise.
function besideOf(task, left) {
  const others = task.episodes.filter((one) => one !== left && one.opening === left.opening);
  if (two) return others.find((one) => one.actor !== left.actor && one.attempt === left.attempt) ?? others.find((one) => one.actor !== left.actor);
  return others.find((one) => one.won !== left.won);
}

function show(task, sides, records) {
  document.title = `${short(task.task, 60)} · ${about.title}`;
  const known = sides.map((episode, at) => ({ episode, record: records[at] })).filter((side) => side.record);
  byId("main").replaceChildren(el("article", {},
    el("div", { class: "heading-box" }, el("h2", { class: "task", dir: "auto" }, short(task.task, 200))),
    el("p", { class: "facts quiet" }, [task.world, task.depth ? `depth ${task.depth}` : null].filter(Boolean).join(" · ")),
    ...about.actors.map((_, actor) => chips(task, actor, sides)),
    known.length ? [...asked(task, known[0].record), columns(known)] :
      el("p", { class: "quiet" }, "This page holds the steps of a sample of the episodes, and not of this one. For it: ",
        el("code", {}, `agent-r view PATH --task ${JSON.stringify(task.task)}`))));
  byId("main").scrollTop = 0;
}

// All of an actor's episodes of the task. A click reads one; a second one is laid beside it.
function chips(task, actor, [left, right]) {
  const all = task.episodes.filter((one) => one.actor === actor);
  return el("div", { class: "who" }, el("b", { dir: "auto" }, short(about.actors[actor], 60)),
    all.map((one) => el("button", { class: `attempt ${outcome(one)}`, title: one.opening ? "it went on from so many given steps" : ended(one), "aria-pressed": one === left || one === right ? "true" : "false", onclick: () => press(one, left, right) },
      `${MARK[outcome(one)]} ${nameOf(one).toLowerCase()}`)));
}

function press(one, left, right) {
  if (one === left) location.hash = right ? `${right.place}/` : `${one.place}/`;
  else if (one === right) location.hash = `${left.place}/`;
  else if (two && one.actor === left.actor) location.hash = right ? `${one.place}/${right.place}` : `${one.place}`;
  else location.hash = `${left.place}/${one.place}`;
}

function welcome() {
  document.title = about.title;
  byId("main").replaceChildren(el("article", { class: "welcome" }, el("h2", { dir: "auto" }, about.title), el("p", {}, summary()),
    el("p", { class: "quiet" }, Object.entries(about.conditions[0]).map(([name, value]) => `${name}: ${short(value, 80)}`).join(" · ")),
    el("p", { class: "quiet" }, "Choose a task, or press ", el("kbd", {}, "j"), ". ", el("kbd", {}, "j"), " ", el("kbd", {}, "k"), ": next, previous task; ",
      el("kbd", {}, "/"), ": filter; ", el("kbd", {}, "esc"), ": back. A task's attempts stand above its steps: a click lays one beside the other.")));
}

function summary() {
  return about.actors.map((name, actor) => {
    const some = episodes.filter((one) => one.actor === actor && !one.opening);
    const led = episodes.filter((one) => one.actor === actor && one.opening).length;
    const more = led ? `, and ${number(led)} that went on from given steps` : "";
    return `${two ? `${name}: ` : ""}${plural(some.length, "episode")}, ${number(some.filter((one) => one.won).length)} successful${more}`;
  }).join(" · ");
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input, select");
  const go = (task) => { if (task) location.hash = addressOf(task); };
  const keys = { j: () => go(neighbour(1)), k: () => go(neighbour(-1)), "/": () => byId("text").focus(), Escape: () => { location.hash = ""; } };
  if (typing && event.key === "Escape") return document.activeElement.blur();
  if (typing || !keys[event.key]) return;
  keys[event.key]();
  event.preventDefault();
}

function begin() {
  byId("title").textContent = about.title;
  byId("summary").textContent = summary();
  fillPickers();
  byId("filters").addEventListener("input", refilter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("list").addEventListener("scroll", drawList, { passive: true });
  byId("back").addEventListener("click", () => { location.hash = ""; });
  addEventListener("hashchange", route);
  addEventListener("keydown", onKey);
  addEventListener("resize", drawList);
  refilter();
  route();
}

begin();
