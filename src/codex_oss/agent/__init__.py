"""The agent behind `run` and `chat`: what follows an answer, the tools it may ask for, and the record of a session."""
