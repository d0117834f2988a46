const ESCAPED = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** A piece of HTML; whatever is none is text, and escaped. */
class Html {
  constructor(text) {
    this.text = text;
  }

  toString() {
    return this.text;
  }
}

/** Tag of a template: its own text is HTML, values are escaped, lists are joined, `null` and `undefined` are nothing. */
export function html(strings, ...values) {
  return new Html(strings.reduce((text, string, index) => text + fragment(values[index - 1]) + string));
}

function fragment(value) {
  if (Array.isArray(value)) return value.map(fragment).join('');
  if (value instanceof Html) return value.text;
  return String(value ?? '').replace(/[&<>"']/g, (character) => ESCAPED[character]);
}
