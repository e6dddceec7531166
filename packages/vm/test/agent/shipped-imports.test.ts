import { expect, test } from 'vitest'
import { renameImports } from '../../src/guest/shipped-imports.ts'

test.each([
  ['await import("x")', 'await $mport("x")'],
  ['import.meta.url', '$mport.meta.url'],
  ['[...import("x")]', '[...$mport("x")]'],
  ['import /* why */ ("x")', '$mport /* why */ ("x")'],
  ['a.import("x"); important("y"); $import("z")', 'a.import("x"); important("y"); $import("z")'],
  [`"import('x')" + 'it\\'s import("y")'`, `"import('x')" + 'it\\'s import("y")'`],
  ['`import("x") ${import("y")} import("z")`', '`import("x") ${$mport("y")} import("z")`'],
  [
    '`${`import("x") ${{ a: import("y") }}`}` + import("z")',
    '`${`import("x") ${{ a: $mport("y") }}`}` + $mport("z")',
  ],
  ['`\\${import("x")} $` + import("y")', '`\\${import("x")} $` + $mport("y")'],
  ['// import("x")\nimport("y") /* import("z") */', '// import("x")\n$mport("y") /* import("z") */'],
  [`/['"\`]/.test(a); import("x")`, `/['"\`]/.test(a); $mport("x")`],
  ['return /import("x")/g', 'return /import("x")/g'],
  ['a / b / import("x")', 'a / b / $mport("x")'],
])('renameImports() of %s', (source, expected) => {
  expect(renameImports(source, '$mport')).toBe(expected)
})
