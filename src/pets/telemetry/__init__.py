"""What the service tells about itself: ids of requests, the log, metrics and traces."""
