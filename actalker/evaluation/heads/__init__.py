"""What heads in portraits reach: numbers and sheets of the report `ablate --preset heads`."""
