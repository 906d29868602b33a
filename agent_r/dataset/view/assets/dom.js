// Elements are made here and filled with text nodes: no text of a model is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

// Characters that would hide something or turn a line round are spelt out.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child != null && child !== ""));
  return made;
}

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value != null) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child != null));
  return made;
}

// A text as it is: hidden characters spelt out, its own direction.
function say(text) {
  const pieces = [];
  let rest = String(text).replace(/\r\n/g, "\n");
  for (let found = HIDDEN.exec(rest); found; found = HIDDEN.exec(rest)) {
    if (found.index) pieces.push(rest.slice(0, found.index));
    pieces.push(el("span", { class: "hidden-character", title: "a character that is not seen" }, spell(found[0])));
    rest = rest.slice(found.index + 1);
  }
  return [...pieces, rest];
}

function spell(character) {
  return "U+" + character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
}

// One line for a label: no line ends, at most so many characters.
function short(text, most) {
  const line = [...String(text).slice(0, 4 * most).replace(/\s+/g, " ").trim()].map((c) => (HIDDEN.test(c) ? "�" : c));
  return line.length > most ? line.slice(0, most - 1).join("") + "…" : line.join("");
}

function block(text, className = "") {
  return el("div", { class: `text ${className}`, dir: "auto" }, say(text));
}

// A reply with its action marked: the action is what went to the world.
function reply(text, action) {
  const at = action ? text.lastIndexOf(action) : -1;
  if (at < 0) return block(text, "reply");
  return el("div", { class: "text reply", dir: "auto" },
    say(text.slice(0, at)), el("b", { class: "action" }, say(action)), say(text.slice(at + action.length)));
}

const number = (n) => (n == null ? "" : n.toLocaleString("en"));
const plural = (n, one, many = one + "s") => `${number(n)} ${n === 1 ? one : many}`;
const amount = (x) => (Number.isInteger(x) ? String(x) : x.toFixed(2));
const signed = (x) => (x > 0 ? "+" : x < 0 ? "−" : "±") + Math.abs(x).toFixed(2);
