"""What is known of the user's ChatGPT accounts, and what follows from it: pure; tokens are data here, never sent."""
