"""Step 6: a model's name and its `Usage` become nano-dollars."""
