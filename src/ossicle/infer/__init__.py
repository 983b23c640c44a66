"""Functions that take a model and give answers, each with a ledger of what was heard and spent."""
