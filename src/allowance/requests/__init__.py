"""Step 2: the arguments of a call become a `Request`, by their shape; no SDK is imported."""
