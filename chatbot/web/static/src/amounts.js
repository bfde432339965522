// Sizes and times as a person reads them.
const UNITS = ["bytes", "kB", "MB", "GB", "TB"];
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric" });
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const STEPS = [[60, "minute"], [24, "hour"], [30, "day"], [12, "month"], [Infinity, "year"]];

/** A number of bytes: 980 bytes, 3.4 MB, 12 GB. */
export function bytes(n) {
  const step = n < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(n) / 3));
  return `${rounded(n / 1000 ** step)}\u00a0${UNITS[step]}`;
}

/** A number with two figures or more: 0, 0.4, 3.4, 12, 1,234. */
export function rounded(n) {
  return (n < 9.95 ? Math.round(n * 10) / 10 : Math.round(n)).toLocaleString("en");
}

/** How long ago a time in seconds was: just now, 5 minutes ago, 2 days ago. */
export function ago(at, now = Date.now()) {
  let n = (now / 1000 - at) / 60;
  for (const [most, name] of STEPS) {
    const whole = Math.floor(n);
    if (whole < 1 && name === "minute") return "just now";
    if (whole < most) return `${whole} ${name}${whole === 1 ? "" : "s"} ago`;
    n /= most;
  }
  return "";
}

/** The day of a time in seconds: 28 November 2026. */
export function day(at) {
  return DAY.format(new Date(at * 1000));
}

/** The day and the minute of a time in seconds. */
export function moment(at) {
  return `${day(at)}, ${TIME.format(new Date(at * 1000))}`;
}
