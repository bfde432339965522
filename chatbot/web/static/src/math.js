// Formulas to MathML, which browsers set with their own fonts: a file of its own, fetched at the first formula.
import katex from "katex";

const LIMITS = { output: "mathml", strict: "ignore", trust: false, maxExpand: 200, maxSize: 20 };

/** A formula as HTML, or null where it is none. */
export function typeset(source, displayMode) {
  try {
    return katex.renderToString(source, { ...LIMITS, displayMode, throwOnError: true });
  } catch {
    return null;
  }
}
