"""What lies on a Doc."""
