/** The texts of a diagram: those that its source holds, and those that a drawing shows. */

const FRONT_MATTER = /^---\n[^]*?\n---\n/;
const FRAME = /^(alt|opt|loop|par) (.+)$/;
const SECTION = /^(?:else|and) (.+)$/;

/** Return the lines of a diagram's source, without its settings and without indentation. */
export function linesOf(source) {
  return source.replace(FRONT_MATTER, '').split('\n').map((line) => line.trim()).filter(Boolean);
}

/** Return the labels of a flowchart's source: everything in quotes. */
export function flowchartLabels(source) {
  return [...linesOf(source).join('\n').matchAll(/"([^"]*)"/g)].map(([, label]) => label);
}

/**
 * Return the labels of a sequence diagram's source, by what they are. A participant is drawn at the top and at the bottom.
 *
 * @param {string} source
 * @returns {{participants: string[], boxes: string[], messages: string[], notes: string[], frames: string[], sections: string[]}}
 */
export function sequenceLabels(source) {
  const lines = linesOf(source);
  const first = (pattern) => lines.flatMap((line) => pattern.exec(line)?.[1] ?? []);
  return {
    participants: first(/^participant \w+ as (.+)$/),
    boxes: first(/^box \w+ (.+)$/),
    messages: first(/^\w+-(?:->>|>>|\))\w+: (.+)$/),
    notes: first(/^Note over [\w,]+: (.+)$/),
    frames: first(/^(alt|opt|loop|par) /),
    sections: lines.flatMap((line) => FRAME.exec(line)?.[2] ?? SECTION.exec(line)?.[1] ?? []),
  };
}

/** Return the labels of a source of either kind. */
export function labelsOf(source) {
  if (linesOf(source)[0] !== 'sequenceDiagram') return flowchartLabels(source);
  const { participants, boxes, messages, notes, sections } = sequenceLabels(source);
  return [...participants, ...boxes, ...messages, ...notes, ...sections];
}

/** Return a label as one line of text. */
export function textOf(label) {
  return label.replace(/<br>/g, ' ').replace(/#(\d+);/g, (_, code) => String.fromCodePoint(code)).replace(/\s+/g, ' ').trim();
}
