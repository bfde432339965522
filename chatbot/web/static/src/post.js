// What is asked of the server before there is a socket: a route that takes JSON and answers with it.

/** An answer that was none: a sentence for the person, the code, and how long to wait where the server says so. */
class Refused extends Error {
  constructor(message, code, waitS = 0) {
    super(message);
    Object.assign(this, { code, waitS });
  }
}

/** Send an object to a route; its answer. Throws Refused. */
export async function post(path, body = {}) {
  const headers = { "Content-Type": "application/json", Accept: "application/json", "X-Paddock": "1" };
  let answer;
  try {
    answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  } catch {
    throw new Refused("The chat server does not answer: try again when it is back.", "no_answer");
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  const { message = `The chat server refused this with status ${answer.status}.`, code = "" } = told.error ?? {};
  throw new Refused(message, code, Number(answer.headers.get("Retry-After")) || 0);
}
