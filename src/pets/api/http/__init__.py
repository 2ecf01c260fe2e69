"""What HTTP needs and Litestar lacks."""
