"""What `compare`, `suite` and `runs` stand on: run folders read, grouped, measured, drawn and told."""
