// The page's looks. Plain CSS, inside of the page: no second request.

/** What stands in the page's <style>. */
export const style = `
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d2129; --soft: #5b6270;
  --line: #e3dfd6; --accent: #a3430f; --tint: #fbeee4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --card: #1c1f25; --ink: #e9e7e1; --soft: #a3a9b5;
    --line: #30353e; --accent: #ffb183; --tint: #35261c;
  }
}
* { box-sizing: border-box }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif; -webkit-text-size-adjust: 100%;
}
main, header, footer { max-width: 68rem; margin: 0 auto; padding: 0 1.25rem }
header { padding-top: 3.5rem }
h1 { margin: 0; font-size: clamp(2rem, 6vw, 3.25rem); line-height: 1.1; letter-spacing: -.03em; overflow-wrap: anywhere }
h2 { margin: 3rem 0 .75rem; font-size: 1.2rem; letter-spacing: -.01em }
p { max-width: 62ch }
.lead { margin: .75rem 0 0; font-size: 1.15rem; color: var(--soft) }
td, .number { font-variant-numeric: tabular-nums }
code { font: .92em ui-monospace, monospace; overflow-wrap: anywhere }
td code, tbody th code { overflow-wrap: normal }
a { color: var(--accent); text-underline-offset: .2em }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: .25rem }
dl.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .75rem; margin: 2rem 0 0 }
.facts > div, .scroll, details { background: var(--card); border: 1px solid var(--line); border-radius: .75rem }
.facts > div { padding: .9rem 1.1rem }
dt { color: var(--soft); font-size: .85rem }
dd { margin: 0; font-size: 1.15rem; font-weight: 600; overflow-wrap: anywhere }
dd small { display: block; font-size: .85rem; font-weight: 400; color: var(--soft) }
meter { width: 100%; height: .6rem; margin-top: .35rem }
.scroll { overflow-x: auto }
table { width: 100%; border-collapse: collapse; font-size: .93rem }
th, td { padding: .5rem .9rem; text-align: left; vertical-align: top }
thead th { color: var(--soft); font-size: .82rem; font-weight: 500; white-space: nowrap }
tbody tr { border-top: 1px solid var(--line) }
tbody th { font-weight: 600 }
th.number, td.number { text-align: right; white-space: nowrap }
.marked { background: var(--tint) }
.who { color: var(--accent); font-weight: 600 }
details { margin-top: .75rem }
summary { padding: .75rem 1.1rem; cursor: pointer }
details .scroll { border-width: 1px 0 0; border-radius: 0 0 .75rem .75rem }
footer { padding-top: 2.5rem; padding-bottom: 3.5rem; color: var(--soft); font-size: .9rem }
`
