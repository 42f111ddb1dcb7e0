// turnstream in JavaScript: predicts here, or lets a server predict.

export { Engine } from "./engine.js";
export { policySettings, PRESETS } from "./policy_settings.js";
export { TurnPredictor } from "./predictor.js";
export { TurnstreamClient, TurnstreamError } from "./turnstream.js";
