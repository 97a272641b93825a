"""What users write: the config's models, its sweeps and their settings."""
