/** What a program finds in the environment of a guest when nobody says otherwise. */
export const GUEST_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  TERM: 'linux',
}

/**
 * Variables for a Bun of ours in a guest that is emulated, or traced as in User Mode Linux: to compile what runs a few
 * hundred times, or to collect garbage because there is time, costs far more there than it gives. A restored guest
 * answers in six tenths of the time, one of User Mode Linux boots in three quarters. What is really hot is compiled
 * all the same.
 */
export const EMULATED_BUN: Readonly<Record<string, string>> = {
  // Ten times the default (Source/JavaScriptCore/runtime/OptionsList.h).
  BUN_JSC_thresholdForJITAfterWarmUp: '5000',
  BUN_GC_TIMER_DISABLE: '1',
}
