// Waiting for what the person asked for: where it fails the page says why.

/** problem: shows a sentence, with the code of what went wrong. */
export function attempting(conversation, problem) {
  /** Wait for something to be done: its answer, or undefined when it failed. */
  const attempt = async (promise) => {
    problem("");
    try {
      return (await promise) ?? true;
    } catch (failure) {
      problem(failure.message, failure.code);
      return undefined;
    }
  };
  /** The same for what is to be seen in the open chat: undefined, too, when another one is open by then. */
  const attemptHere = async (promise) => {
    const { place } = conversation;
    const done = await attempt(promise);
    return conversation.place === place ? done : undefined;
  };
  return { attempt, attemptHere };
}
