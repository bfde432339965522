// A text that is a command: it is done, and stands in the composer again where it fails.
import { askServer } from "./deeds.js";
import { Failure } from "./link.js";

/** parts: link, conversation, composer, note, list (of commands), deeds, attempt. Gives a function that does what a text
 *  says when it is a command; it is false for a message. */
export function obeying({ link, conversation, composer, note, list, deeds, attempt }) {
  const doCommand = async ({ name, rest, lacks, refusal, prompt }, text) => {
    if (prompt) return composer.write(prompt);
    if (refusal) throw new Failure(refusal);
    if (!name) return askServer({ link, conversation, composer, note }, text); // it says which one comes near
    if (lacks) throw new Failure(`/${lacks.name} ${lacks.args}: ${lacks.help}.`);
    composer.write("");
    note.hide();
    if (deeds[name]) await deeds[name](rest);
    else await askServer({ link, conversation, composer, note }, text);
    return undefined;
  };
  /** Do a command; one that fails stands in the composer again, to be put right. */
  const tryCommand = async (command, text) => {
    const { place } = conversation;
    const isDone = await attempt(doCommand(command, text));
    if (isDone || conversation.place !== place || composer.input.value) return;
    list.keepClosed(text);
    composer.write(text);
  };
  return (text) => {
    if (!list.commands.length && /^\/[a-z?]/i.test(text)) {
      composer.wait(list.known).then((isSame) => isSame && composer.submit()); // it may be a command: sent when that is known
      return true;
    }
    const command = list.parse(text);
    if (command) tryCommand(command, text);
    return command !== null;
  };
}
