// HTML that cannot be broken out of: whatever is put into a template is escaped, unless it is HTML itself.

/** A piece of HTML. */
export class Html {
  readonly text: string

  /** Trusts `text`: use {@link html}. */
  constructor(text: string) {
    this.text = text
  }
}

/** What a template takes; null and undefined give nothing. */
export type HtmlValue = Html | readonly HtmlValue[] | string | number | null | undefined

/**
 * Makes HTML of a template. Values go into text and into quoted attributes.
 *
 * @example
 * html`<p title="${name}">${items.map((item) => html`<b>${item}</b>`)}</p>`
 */
export function html(parts: TemplateStringsArray, ...values: HtmlValue[]): Html {
  return new Html(String.raw({ raw: parts }, ...values.map(textOf)))
}

function textOf(value: HtmlValue): string {
  if (value === null || value === undefined) return ''
  if (value instanceof Html) return value.text
  if (typeof value === 'object') return value.map(textOf).join('')
  return escapeHtml(String(value))
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/**
 * Escapes text. Control characters, which a process's name may hold, become their pictures (␀ is U+2400): HTML
 * has no way to write most of them.
 */
export function escapeHtml(text: string): string {
  return (
    text
      // oxlint-disable-next-line no-control-regex
      .replaceAll(/[\0-\x1f]/g, (control) => String.fromCharCode(0x2400 + control.charCodeAt(0)))
      .replaceAll('\x7f', '\u2421')
      .replaceAll(/[&<>"']/g, (character) => entities[character] ?? '')
  )
}
