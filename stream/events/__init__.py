"""What happened: the events' types, and bytes to events."""
