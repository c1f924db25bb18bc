"""The products stage: what happens to each product, what waits for its label, and the scores."""
