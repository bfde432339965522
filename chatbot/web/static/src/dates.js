// In which part of the list a chat stands: pinned, or by the day of its last message. Days begin at the reader's midnight.
const MONTH = new Intl.DateTimeFormat("en", { month: "long", year: "numeric" });

/** Chats in groups {name, chats}, each newest first; groups without chats are left out. */
export function groups(chats, now = new Date()) {
  const starts = [[midnight(now, 0), "Today"], [midnight(now, 1), "Yesterday"], [midnight(now, 7), "Last 7 days"]];
  const months = new Map(); // putting a date into words is slow
  const monthOf = (at) => {
    const date = new Date(at * 1000);
    const month = 12 * date.getFullYear() + date.getMonth();
    if (!months.has(month)) months.set(month, MONTH.format(date));
    return months.get(month);
  };
  const nameOf = ({ pinned, updated_at: at }) =>
    pinned ? "Pinned" : starts.find(([start]) => at * 1000 >= start)?.[1] ?? monthOf(at);
  const found = new Map([["Pinned", []]]);
  for (const chat of [...chats].sort((a, b) => b.updated_at - a.updated_at)) {
    const name = nameOf(chat);
    if (!found.has(name)) found.set(name, []);
    found.get(name).push(chat);
  }
  return [...found].filter(([, members]) => members.length).map(([name, members]) => ({ name, chats: members }));
}

/** The midnight that began the day so many days ago, in milliseconds. */
export function midnight(now, daysAgo) {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() - daysAgo).getTime();
}
