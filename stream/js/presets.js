// Written by `python tests/stream/js/vectors.py --presets` from
// stream/policy_settings.py, which says what the values mean. Do not edit.

/** Settings of the policy by the name of the preset. */
export const PRESETS = {
  "fast": {
    "end_threshold": 0.3,
    "end_silence_secs": 0.3,
    "timeout_secs": 2.0,
    "eager_threshold": 0.24,
    "eager_silence_secs": 0.1,
    "start_secs": 0.1,
    "overlap_secs": 0.3,
    "backchannel_threshold": 0.5,
    "backchannel_max_secs": 0.8,
    "min_level_dbfs": -60.0,
    "speech_range_db": 25.0
  },
  "balanced": {
    "end_threshold": 0.5,
    "end_silence_secs": 0.4,
    "timeout_secs": 2.5,
    "eager_threshold": 0.34,
    "eager_silence_secs": 0.2,
    "start_secs": 0.1,
    "overlap_secs": 0.3,
    "backchannel_threshold": 0.5,
    "backchannel_max_secs": 0.8,
    "min_level_dbfs": -60.0,
    "speech_range_db": 25.0
  },
  "patient": {
    "end_threshold": 0.5,
    "end_silence_secs": 0.9,
    "timeout_secs": 2.5,
    "eager_threshold": 0.4,
    "eager_silence_secs": 0.3,
    "start_secs": 0.1,
    "overlap_secs": 0.3,
    "backchannel_threshold": 0.5,
    "backchannel_max_secs": 0.8,
    "min_level_dbfs": -60.0,
    "speech_range_db": 25.0
  }
};

/** Smallest and largest value of each setting. */
export const RANGES = {
  "end_threshold": [0, 1],
  "end_silence_secs": [0, 60],
  "timeout_secs": [0, 60],
  "eager_threshold": [0, 1],
  "eager_silence_secs": [0, 60],
  "start_secs": [0, 60],
  "overlap_secs": [0, 60],
  "backchannel_threshold": [0, 1],
  "backchannel_max_secs": [0, 60],
  "min_level_dbfs": [-120, 0],
  "speech_range_db": [0, 120],
};
