"""sam2 on a device: checkpoints, the model, predictors, decoders, memory."""
