"""What lies on a Doc: where each layer is kept, how it is read and written, and the views that users read."""
