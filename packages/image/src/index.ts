/** The root export: the tree that every writer of this package takes. Formats are imported one by one. */
export { FileTree } from './tree.ts'
export type { NewNode, TreeNode } from './tree.ts'
