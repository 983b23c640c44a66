"""Does it work, how sure is that, and does it listen? Metrics, scores with controls, reports."""
