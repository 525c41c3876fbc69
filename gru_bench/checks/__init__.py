"""What may be wrong with a study: a code for each check, and the condition behind it."""
