"""The room where concrete things meet: what one edge needs, built of its services. Everything below takes arguments."""
