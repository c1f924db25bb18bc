"""A shop that lives by a seed: customers, clicks, orders, and what is about to take off."""
