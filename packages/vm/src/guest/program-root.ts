/** Where programs of a guest find the host's root, with the guest's changes over it. */
export const PROGRAM_ROOT = '/run/host-root'
