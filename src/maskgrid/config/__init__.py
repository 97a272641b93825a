"""What users write: the config's models, sweeps, settings."""
