// Where the part of a conversation begins that the model gets as it stands: behind what is folded into notes, or what a
// rule leaves out.

export const NO_EDGE = { n: 0, words: "", outdated: new Set() };

/** So many of the oldest messages the model does not get as they stand; the words for the line behind them; the ids of
 *  answers that the notes tell as they were before they were edited. rule: the chat's context rule. */
export function edgeOf(conversation, rule, keepTurns) {
  if (rule === "window") return { ...NO_EDGE, n: nBefore(conversation, keepTurns), words: "Older messages are not sent any more" };
  if (rule !== "fold") return NO_EDGE;
  return { n: conversation.nFolded, words: "Older messages are folded into notes", outdated: conversation.outdated };
}

/** How many messages stand before the last turns, which go with the question on its way, else with the next one. */
function nBefore({ shown, running }, keepTurns) {
  const refused = refusedIn(shown);
  const asked = shown.flatMap(({ id, role, refusal }, at) => (role === "user" && !refusal && !refused.has(id) ? at : []));
  const isAsking = running || shown.some(({ pending, refusal }) => pending && !refusal);
  const nKept = keepTurns + (isAsking ? 1 : 0);
  if (!nKept) return shown.length;
  return asked.length > nKept ? asked.at(-nKept) : 0;
}

/** The ids of the questions that the model never gets, because they are too long. */
export function refusedIn(shown) {
  return new Set(shown.filter(isTooLong).map(({ parent_id: question }) => question));
}

function isTooLong({ content, meta }) {
  return !content && meta?.error?.code === "context_full";
}
