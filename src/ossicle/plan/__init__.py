"""What a call spends, before anything is computed."""
