// What the page holds: a line for each episode, gathered by task; steps are unpacked when they are read.

const about = JSON.parse(byId("about").textContent);
const episodes = JSON.parse(byId("episodes").textContent);
const tasks = gathered();
const worlds = [...new Set(tasks.map((task) => task.world))].sort();
const two = about.actors.length > 1;

const grow = (record) => ({
  prompt: record.prompt,
  steps: record.steps.map(([said, action, saw, reasoning]) => ({ said, action, saw, reasoning })),
});

function gathered() {
  const found = new Map();
  episodes.forEach((episode, place) => {
    Object.assign(episode, { place, won: episode.reward >= 1 });
    const key = `${episode.world}\n${episode.task}`;
    if (!found.has(key)) {
      found.set(key, { place: found.size, task: episode.task, world: episode.world, depth: episode.depth, episodes: [] });
    }
    const task = found.get(key);
    task.depth ||= episode.depth;
    task.episodes.push(episode);
  });
  for (const task of found.values()) {
    task.episodes.sort((a, b) => a.actor - b.actor || a.opening - b.opening || a.attempt - b.attempt || a.place - b.place);
    task.rates = about.actors.map((_, actor) => rate(whole(task, actor)));
    task.words = `${task.task}\n${task.world}`.toLowerCase();
  }
  return [...found.values()];
}

// An actor's attempts at a whole task, without those that went on from given steps.
function whole(task, actor) {
  return task.episodes.filter((one) => one.actor === actor && !one.opening);
}

// All attempts at it, of all actors; where there is none, what there is.
function attempts(task) {
  const some = task.episodes.filter((one) => !one.opening);
  return some.length ? some : task.episodes;
}

function rate(some) {
  return some.length ? some.filter((one) => one.won).length / some.length : null;
}

// All that was said in an episode; null where the page has its line alone.
async function load(episode) {
  return episode.at ? (await unpack(episode.at[0]))[episode.at[1]] : null;
}

const OURS = ["terminated", "step_limit", "context_overflow"]; // ends that say something of the actor
const ended = (episode) => (episode.stop === "terminated" ? "ended by the world" : episode.stop.replaceAll("_", " "));
const outcome = (episode) => (episode.won ? "won" : OURS.includes(episode.stop) ? "lost" : "other");
const MARK = { won: "✓", lost: "✕", other: "–" };
