"""Kafka at arm's length: topics, clients, and batches of records."""
