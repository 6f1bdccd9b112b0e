"""A reference of all components and registered functions, made from the code."""
