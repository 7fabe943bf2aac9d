"""Reference runs: made of a run (`promote`), and checked against what they say of themselves (`checks`)."""
