"""The Faust apps: which topic feeds which shard. The only package that knows Faust."""
