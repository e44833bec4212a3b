// Puts the page together: who is talked with, whose conversation is shown, and what the keys do.

import { Announcer } from "./announcer.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { element } from "./element.js";
import { Failure } from "./failure.js";
import { keyForm } from "./key.js";
import { PassagePanel } from "./passage.js";
import { PersonaCards } from "./personas.js";
import { personas } from "./server.js";
import { attachTheme } from "./theme.js";

const byId = (id) => document.getElementById(id);

const scroller = byId("scroller");
const region = byId("announcements");
const announcer = new Announcer(region);
const panel = new PassagePanel(byId("passage"));
const cards = new PersonaCards(byId("personas"), choose);
const conversations = new Map();
let current = null;

const composer = new Composer(byId("composer"), {
  send: (text) => (current ? current.ask(text) : false),
  stop: () => current?.stop(),
});

function choose(id) {
  if (current?.persona.id === id) return;
  panel.close({ returnFocus: false });
  if (current) current.show(false);
  current = conversations.get(id);
  current.show(true);
  cards.select(id);
  composer.address(current.persona);
  announcer.say(`Now speaking with ${current.persona.name}.`);
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  changed(current);
  scroller.scrollTop = current.length ? scroller.scrollHeight : 0;
}

function changed(conversation) {
  cards.update(conversation);
  if (conversation !== current) return;
  composer.show(conversation.busy);
  byId("restart").disabled = conversation.length === 0;
  document.body.dataset.begun = String(conversation.length > 0);
}

// A new question goes to the top and its reply fills the space below: words that are being read do not move.
function follow(turn) {
  turn.scrollIntoView({ block: "start" });
}

byId("restart").addEventListener("click", () => {
  panel.close({ returnFocus: false });
  current.clear();
  announcer.say(`A new conversation with ${current.persona.name}.`);
  scroller.scrollTop = 0;
  composer.input.focus();
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("textarea, input:not([type=radio])");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    composer.input.focus();
  } else if (event.key === "Escape") {
    if (event.isComposing) return; // it leaves the input method, nothing else
    // The nearest thing goes first: the panel one is reading in, then the running reply, then a panel left open.
    if (panel.isOpen && (panel.holdsFocus || !current?.busy)) panel.close();
    else current?.stop();
  }
});

async function start() {
  const notice = byId("notice");
  notice.replaceChildren();
  let found;
  try {
    found = await personas();
    if (!found.length) throw new Failure(404);
  } catch (error) {
    notice.append(element("div", { class: "failure" }, element("p", {}, error.message), error.kind === 401 ? keyForm(start) : again()));
    announcer.say(error.message);
    return;
  }
  const outlets = { region, changed, follow, openPassage: (...opening) => panel.open(...opening), edit: (text) => composer.write(text) };
  for (const persona of found) {
    const conversation = new Conversation(persona, outlets);
    conversations.set(persona.id, conversation);
    scroller.append(conversation.element);
  }
  cards.show(found);
  const asked = location.hash.slice(1);
  choose((found.find((persona) => encodeURIComponent(persona.id) === asked) ?? found[0]).id);
}

function again() {
  return element("button", { type: "button", class: "button", onclick: start }, "Try again");
}

attachTheme(byId("theme"));
start();
