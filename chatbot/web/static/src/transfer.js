// Chats to files and back: downloads, and what the server made of a file that was brought.
const HEADERS = { "X-Paddock": "1" };
const SHOWN_NOTICES = 20;

/** Save what the server has at a path as a file. Throws an Error with a sentence. */
export async function download(path) {
  const answer = await ask(path);
  const named = /filename\*?=(?:UTF-8'')?"?([^";]+)/i.exec(answer.headers.get("Content-Disposition") ?? "")?.[1];
  save(await answer.blob(), named ? decodeURIComponent(named) : path.split("/").pop());
}

/** Save several chats as one file: a list, which can be imported as it is. Throws an Error with a sentence. */
export async function downloadSeveral(ids) {
  const texts = [];
  for (const id of ids) texts.push(await (await ask(`/export/${id}.json`)).text());
  save(new Blob(["[", texts.join(",\n"), "]\n"], { type: "application/json" }), "chats.json");
}

function save(blob, name) {
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(blob);
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 60_000); // the browser reads it after the click
}

/** Bring files to the server, one after the other. Returns {said, notices}: what came of them, in sentences. */
export async function bring(files) {
  const sum = { n_chats: 0, n_messages: 0, n_skipped: 0, notices: [] };
  for (const file of files) {
    try {
      const body = new FormData();
      body.append("file", file);
      const made = await (await ask("/import", { method: "POST", body })).json();
      for (const name of ["n_chats", "n_messages", "n_skipped"]) sum[name] += made[name] ?? 0;
      sum.notices.push(...(made.notices ?? []));
    } catch (why) {
      sum.notices.push(`“${file.name}”: ${why.message}`);
    }
  }
  return { said: words(sum), notices: shortened(sum.notices) };
}

function words({ n_chats: nChats, n_messages: nMessages, n_skipped: nSkipped }) {
  const skipped = nSkipped ? ` ${count(nSkipped, "was", "were")} left out.` : "";
  if (!nChats) return `No chat was imported.${skipped}`;
  return `Imported ${count(nChats, "chat", "chats")} with ${count(nMessages, "message", "messages")}.${skipped}`;
}

const count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

function shortened(notices) {
  const more = notices.length - SHOWN_NOTICES;
  return more > 0 ? [...notices.slice(0, SHOWN_NOTICES), `And ${count(more, "more", "more")}.`] : notices;
}

async function ask(path, init = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...init, headers: { Accept: "application/json", ...HEADERS } });
  } catch {
    throw new Error("the chat server does not answer; try again when it is back");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  throw new Error(told?.error?.message ?? `the chat server refused this (${answer.status})`);
}
