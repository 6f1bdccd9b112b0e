"""What comes before and after a training: configs, corpora changed for it."""
