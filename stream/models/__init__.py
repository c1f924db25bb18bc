"""What is learned: River's learners, how right they have been, and how they are kept.

Products shards need `linear` alone, which does not import River.
"""
