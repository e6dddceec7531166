// How the page looks. No font, image or script is loaded: everything is in the one answer.

/** The style sheet. */
export const style = `
:root {
  color-scheme: light dark;
  --ground: #f6f5f1; --card: #fff; --ink: #1c1b19; --soft: #65625b; --line: #e3e0d8;
  --accent: #9a3412; --mark: #fdf0e3; --good: #1f6b3a; --bad: #b3261e;
  --mono: ui-monospace, 'SF Mono', 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #141312; --card: #1d1c1a; --ink: #eceae4; --soft: #a19d94; --line: #33312d;
    --accent: #f5a66b; --mark: #33241a; --good: #7ccb96; --bad: #ff8a80;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: clamp(1rem, 4vw, 3.5rem) clamp(1rem, 4vw, 3rem); max-width: 74rem;
  background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif;
}
a { color: var(--accent); text-underline-offset: .2em; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--card); padding: .5rem 1rem; }
header p { margin: 0; color: var(--soft); overflow-wrap: anywhere; }
header p.who { color: var(--accent); font-weight: 600; }
h1 { margin: 0 0 .25rem; font-size: clamp(2.5rem, 9vw, 5rem); line-height: 1; letter-spacing: -.04em; overflow-wrap: anywhere; }
h2 { margin: 0; font-size: 1.15rem; letter-spacing: -.01em; }
section { margin-top: 2.75rem; }
section > p { margin: .15rem 0 0; color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(13.5rem, 1fr)); gap: .9rem; margin: 2rem 0 0; }
.tiles > div { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1rem 1.15rem; }
dt { color: var(--soft); font-size: .875rem; }
dd { margin: 0; font-size: .875rem; color: var(--soft); }
dd.figure { font-size: 1.75rem; line-height: 1.35; font-weight: 650; letter-spacing: -.02em; color: var(--ink); font-variant-numeric: tabular-nums; }
dd .good { color: var(--good); } dd .bad { color: var(--bad); font-weight: 650; }
svg.bar { display: block; width: 100%; height: .5rem; margin: .35rem 0 .3rem; border-radius: .25rem; background: var(--line); }
svg.bar rect { fill: var(--accent); }
.scroll { margin-top: .8rem; overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .75rem; }
table { width: 100%; border-collapse: collapse; font-size: .875rem; }
th, td { padding: .5rem .8rem; text-align: left; vertical-align: baseline; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--soft); font-weight: 500; white-space: nowrap; }
tbody th { font-weight: 600; }
th:first-child, td:first-child { padding-left: 1.15rem; } th:last-child, td:last-child { padding-right: 1.15rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.mono { font-family: var(--mono); font-size: .8125rem; overflow-wrap: anywhere; }
.soft { color: var(--soft); }
tr.marked { background: var(--mark); }
.role { display: block; color: var(--accent); font-weight: 600; }
.wide { min-width: 44rem; }
td .bar { min-width: 5rem; margin: .1rem 0; }
details { margin-top: .8rem; }
summary { cursor: pointer; color: var(--accent); }
.threads { columns: 12rem; margin: .6rem 0 0; padding: 0; list-style: none; font-size: .8125rem; color: var(--soft); }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .875rem; }
@media print { body { padding: 0; } .scroll { overflow: visible; } }
`
