"""What the model that ships must show: lips, drivers, independence and life, read from drawn frames."""
