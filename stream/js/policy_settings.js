// The settings of a policy, checked as stream/policy_settings.py checks them.

import { PRESETS, RANGES } from "./presets.js";

export { PRESETS };

/**
 * The settings of a preset in which some values are replaced.
 *
 * @param {string} policy name of a preset: fast, balanced or patient
 * @param {object} values that replace those of the preset, such as { end_threshold: 0.8 }
 * @throws {RangeError} there is no such preset or value, or a value is out of range
 */
export function policySettings(policy, values = {}) {
  if (!Object.hasOwn(PRESETS, policy)) {
    const known = Object.keys(PRESETS).join(", ");
    throw new RangeError(`policy: expected one of ${known}; got ${shown(policy)}`);
  }
  const settings = { ...PRESETS[policy], ...values };
  for (const [name, value] of Object.entries(settings)) checkValue(name, value);
  const { eager_threshold, end_threshold, eager_silence_secs, end_silence_secs } = settings;
  if (eager_threshold > end_threshold || eager_silence_secs > end_silence_secs) {
    throw new RangeError(
      `expected eager values of at most end_threshold ${end_threshold} `
      + `and end_silence_secs ${end_silence_secs}, got eager_threshold ${eager_threshold} `
      + `and eager_silence_secs ${eager_silence_secs}`,
    );
  }
  if (settings.timeout_secs < end_silence_secs) {
    throw new RangeError(
      `expected timeout_secs >= end_silence_secs (${end_silence_secs}), `
      + `got ${settings.timeout_secs}`,
    );
  }
  return settings;
}

function checkValue(name, value) {
  if (!Object.hasOwn(RANGES, name)) {
    const known = Object.keys(RANGES).join(", ");
    throw new RangeError(`expected values of a policy (${known}), got ${shown(name)}`);
  }
  const [low, high] = RANGES[name];
  if (typeof value !== "number" || !(value >= low && value <= high)) {
    throw new RangeError(`${name}: expected a number from ${low} to ${high}, got ${shown(value)}`);
  }
}

function shown(value) {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
