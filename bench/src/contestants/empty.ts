// What an import costs by itself: a module with nothing in it.
export const nothing = undefined
