"""How right the models are on a recorded log, reckoned from the log itself."""
