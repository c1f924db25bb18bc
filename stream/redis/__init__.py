"""Redis at arm's length: documents, clients, checkpoints, and the reader for others."""
