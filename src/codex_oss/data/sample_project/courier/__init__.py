"""courier: webhooks delivered, retried, and never lost silently."""
