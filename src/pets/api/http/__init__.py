"""What HTTP needs and the framework lacks."""
