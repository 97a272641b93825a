"""How files become pictures: every format, any depth, whole or window by window."""
