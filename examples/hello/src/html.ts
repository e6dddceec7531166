// HTML in which nothing is left unescaped by mistake: what is put into a template is text, unless it is Html.

/** Markup that came out of {@link html}. */
export class Html {
  readonly markup: string

  constructor(markup: string) {
    this.markup = markup
  }
}

type Content = string | number | Html | readonly Content[]

/** Tag of a template: its own words are markup, every value in it is text (or Html, or a list of them). */
export function html(words: TemplateStringsArray, ...values: Content[]): Html {
  return new Html(String.raw({ raw: words }, ...values.map(render)))
}

function render(content: Content): string {
  if (content instanceof Html) return content.markup
  if (typeof content === 'string' || typeof content === 'number') return escapeHtml(String(content))
  return content.map(render).join('')
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Text that means itself, both between tags and in a quoted attribute. */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character)
}
