"""The text of a mention, as names are compared."""


def normalize_space(text: str) -> str:
    """Turn each run of white space into one space, so that a name broken over two lines is still the same name."""
    return " ".join(text.split())
