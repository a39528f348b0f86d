"""The one place where concrete things meet: configuration is read, services are built, lanes are tied to them."""
