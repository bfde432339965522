// Pictures: turned upright and made smaller before they are sent, so that a phone's photo need not travel whole; shown
// in their message, and larger in a box.
import { showDialog } from "./dialog.js";
import { make } from "./dom.js";

const MOST_PX = 1536;
const QUALITY = 0.9;
const HEADER_BYTES = 131072;
const TAKEN = new Set(["image/png", "image/jpeg", "image/webp", "image/gif"]);
const OPAQUE = new Set(["image/jpeg", "image/bmp", "image/heic", "image/heif"]);
const EXIF = 0x45786966;
const ORIENTATION = 0x0112;

/** Whether the browser takes a file for a picture of pixels. A drawing in SVG is text. */
export function isPicture({ type }) {
  return type.startsWith("image/") && type !== "image/svg+xml";
}

/** The picture as it is sent: itself when it is small and upright. What cannot be drawn here goes as it is: the server
 *  says what is wrong with it. */
export async function fitting(file) {
  let drawn;
  try {
    drawn = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return file;
  }
  const share = Math.min(1, MOST_PX / Math.max(drawn.width, drawn.height));
  const isTurned = file.type === "image/jpeg" && orientation(await file.slice(0, HEADER_BYTES).arrayBuffer()) > 1;
  if (share === 1 && !isTurned && TAKEN.has(file.type)) return file;
  const type = OPAQUE.has(file.type) ? "image/jpeg" : "image/png";
  const blob = await redrawn(drawn, share, type);
  return blob ? new File([blob], nameAs(file, type), { type }) : file;
}

function redrawn(drawn, share, type) {
  const [width, height] = [drawn.width, drawn.height].map((side) => Math.max(1, Math.round(side * share)));
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const brush = canvas.getContext("2d");
  brush.imageSmoothingQuality = "high";
  brush.drawImage(drawn, 0, 0, width, height);
  drawn.close();
  return new Promise((take) => canvas.toBlob(take, type, QUALITY));
}

function nameAs(file, type) {
  return type === file.type ? file.name : `${file.name.replace(/\.[^.]*$/, "")}.${type === "image/png" ? "png" : "jpg"}`;
}

/** How a camera was held, 1 to 8 as EXIF counts; models do not read it, so 1 alone may stay. */
function orientation(buffer) {
  const view = new DataView(buffer);
  try {
    for (let at = 2; view.getUint8(at) === 0xff; at += 2 + view.getUint16(at + 2)) {
      if (view.getUint8(at + 1) === 0xe1 && view.getUint32(at + 4) === EXIF) return orientationAt(view, at + 10);
    }
  } catch (trouble) {
    if (!(trouble instanceof RangeError)) throw trouble; // else its header ends too early, or is none
  }
  return 1;
}

function orientationAt(view, start) {
  const isLittle = view.getUint16(start) === 0x4949;
  const table = start + view.getUint32(start + 4, isLittle);
  for (let n = view.getUint16(table, isLittle), at = table + 2; n > 0; n -= 1, at += 12) {
    if (view.getUint16(at, isLittle) === ORIENTATION) return view.getUint16(at + 8, isLittle);
  }
  return 1;
}

export const isShown = ({ kind }) => kind === "image";

export function addressOf({ id }) {
  return `/files/${encodeURIComponent(id)}`;
}

/** A picture of a message: a click shows it larger. */
export function pictureLine(file) {
  const image = make("img", { src: addressOf(file), alt: file.name, decoding: "async", loading: "lazy" });
  const larger = () => {
    const whole = make("img", { src: addressOf(file), alt: file.name });
    showDialog(file.name, whole).classList.add("picture-box");
  };
  const show = make("button", { type: "button", class: "picture", title: "Show larger", "aria-haspopup": "dialog", onclick: larger }, image);
  return make("li", { class: "pictured" }, show);
}
