"""The learner: one for all products shards. It learns from settled labels and publishes models."""
