"""Step 3: a `Request` and its price become a `Quote`: what the call may cost before it is sent."""
