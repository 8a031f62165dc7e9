"""What AWS Lambda hands over to a function, and how it is set to do so."""
