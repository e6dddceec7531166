// What an import costs by itself.
export {}
