"""White space in texts and names."""


def normalize_space(text: str) -> str:
    """Turn each run of white space into one space, so that a name broken over two lines is still the same name."""
    return " ".join(text.split())
