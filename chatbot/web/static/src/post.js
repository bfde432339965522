// What is asked of the server without a socket: routes that take JSON or a file, and answer with JSON.

const HEADERS = { Accept: "application/json", "X-Paddock": "1" };

/** An answer that was none: a sentence for the person, the code, and how long to wait where the server says so. */
class Refused extends Error {
  constructor(message, code, waitS = 0) {
    super(message);
    Object.assign(this, { code, waitS });
  }
}

/** Send an object to a route; its answer. Throws Refused. */
export function post(path, body = {}) {
  const sent = { headers: { ...HEADERS, "Content-Type": "application/json" }, body: JSON.stringify(body) };
  return answerTo(path, sent, "The chat server does not answer: try again when it is back.", "The chat server refused this");
}

/** Send a file to a route, with more fields of its form as pairs of name and value; its answer. Throws Refused. */
export function sendFile(path, file, more = []) {
  const body = new FormData();
  for (const [name, value] of more) body.append(name, value);
  body.append("file", file, file.name);
  return answerTo(path, { headers: HEADERS, body }, `The file ${file.name} could not be sent: the chat server does not answer.`, `The file ${file.name} was refused`);
}

async function answerTo(path, sent, silence, refusal) {
  let answer;
  try {
    answer = await fetch(path, { method: "POST", ...sent });
  } catch {
    throw new Refused(silence, ""); // without a code: that something else is answered does not mend it
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  const { message = `${refusal} with status ${answer.status}.`, code = "" } = told.error ?? {};
  throw new Refused(message, code, Number(answer.headers.get("Retry-After")) || 0);
}
