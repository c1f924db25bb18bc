"""What operators ask for beside the worker: checks, health and metrics, repairs."""
