"""Files of what was found, made from the records of our JSONL, one at a time where the format allows."""
