"""What everything else stands on: reading files that nobody has checked."""
