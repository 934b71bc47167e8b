"""What `allowance doctor` looks at. Each check is a function that looks, changes nothing, and answers."""
