/** How the master ends, after sysexits.h, so that whatever started it knows whether starting again can help. */
export const EXIT = Object.freeze({
  /** Stopped as asked. */
  stopped: 0,
  /** A unit is dead for good (EX_UNAVAILABLE). */
  unitFailed: 69,
  /** The master itself failed (EX_SOFTWARE). */
  internal: 70,
  /** The stop budget ran out, or a second signal cut it short, and work was cut off (EX_TEMPFAIL). */
  stopBudget: 75,
  /** The configuration, an address or a file it names cannot be used (EX_CONFIG). */
  config: 78,
})
