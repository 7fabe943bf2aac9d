"""Go: rules, scoring, ladders, game records and the Gymnasium environment; nothing is imported here."""
